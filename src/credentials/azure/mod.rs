//! Azure's registries: an identity of Microsoft Entra is exchanged, at the registry itself, for a refresh token.

mod identity;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use serde::Deserialize;

use super::Credential;
use super::cloud::{Cloud, Granted};
use super::http::{Call, Server};

/// The user name that goes with a refresh token.
const USER: &str = "00000000-0000-0000-0000-000000000000";

/// One of Azure's clouds.
struct Sky {
    /// What registries' names end with.
    registries: &'static str,
    /// Where identities are.
    authority: &'static str,
    /// What tokens are for, as kaniko's helper asks.
    resource: &'static str,
}

const SKIES: [Sky; 4] = [
    Sky {
        registries: ".azurecr.io",
        authority: "https://login.microsoftonline.com",
        resource: "https://management.azure.com/",
    },
    Sky {
        registries: ".azurecr.cn",
        authority: "https://login.chinacloudapi.cn",
        resource: "https://management.chinacloudapi.cn/",
    },
    Sky {
        registries: ".azurecr.us",
        authority: "https://login.microsoftonline.us",
        resource: "https://management.usgovcloudapi.net/",
    },
    Sky {
        registries: ".azurecr.de",
        authority: "https://login.microsoftonline.de",
        resource: "https://management.microsoftazure.de/",
    },
];

/// The cloud of a registry's host name: one label, and the ending. Look-alikes have none.
fn sky(host: &str) -> Option<&'static Sky> {
    SKIES.iter().find(|sky| {
        host.strip_suffix(sky.registries).is_some_and(|name| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
    })
}

/// Whether `host` is one of Azure's registries.
pub(super) fn serves(host: &str) -> bool {
    sky(host).is_some()
}

/// A credential for `host`. `None` if there is no identity here.
pub(super) fn find(cloud: &Cloud<'_>, host: &str) -> Result<Option<Granted>, String> {
    let Some(sky) = sky(host) else { return Ok(None) };
    let Some(found) = identity::find(cloud, sky)? else { return Ok(None) };
    let mut fields = vec![("grant_type", "access_token"), ("service", host), ("access_token", found.token.expose())];
    fields.extend(cloud.environment.get("AZURE_TENANT_ID").map(|tenant| ("tenant", tenant)));
    let call = Call::form(&format!("https://{host}/oauth2/exchange"), &fields)?;
    #[derive(Deserialize)]
    struct Body {
        refresh_token: String,
    }
    let body: Result<Body, String> = cloud.http.send(Server::Service, &call).and_then(|answer| answer.json());
    let body = body.map_err(|why| format!("{}: exchange: {why}", found.whose))?;
    Ok(Some(Granted {
        lifetime: lifetime(&body.refresh_token).unwrap_or(Duration::from_secs(3600)),
        credential: Credential::basic(USER, body.refresh_token),
        source: format!("Azure, by {}", found.whose),
    }))
}

/// How long a token (JWT) is good by its own account.
fn lifetime(token: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Duration::from_secs(claims.exp).checked_sub(now)
}
