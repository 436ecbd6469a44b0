//! Google's registries: an access token of the application default credentials, or of the machine's service account.
//!
//! A key file, gcloud's user credentials, a federated identity or an impersonated account (`account`), else the metadata server.

mod account;
mod federation;
mod jwt;
mod metadata;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::cloud::{Cloud, Granted};
use super::http::Answer;
use super::{Credential, Environment, Secret, places};

/// The user name that goes with an access token.
const USER: &str = "oauth2accesstoken";

/// What tokens are asked for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// An access token.
struct Token {
    text: Secret,
    lifetime: Duration,
}

impl Token {
    /// Reads the answer of a token endpoint (RFC 6749, section 5.1).
    fn read(answer: &Answer) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Body {
            access_token: Option<String>,
            expires_in: Option<f64>,
        }
        let body: Body = answer.json()?;
        let text = body.access_token.filter(|text| !text.is_empty()).ok_or("the answer has no access token")?;
        let lifetime = body.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Ok(Token { text: Secret::new(text), lifetime: lifetime.unwrap_or(Duration::from_secs(600)) })
    }
}

/// The application default credentials of this environment, read at the start.
#[derive(Default)]
pub(super) struct Adc {
    file: Option<(PathBuf, Result<Vec<u8>, String>)>,
    /// Why they must not be used.
    excluded: Option<String>,
}

impl Adc {
    /// Reads the file that `GOOGLE_APPLICATION_CREDENTIALS` names, else gcloud's, and what `DOCKER_CREDENTIAL_GCR_CONFIG` allows.
    pub(super) fn read(environment: &Environment) -> Self {
        let read = |path: PathBuf| {
            let text = places::read(&path).map_err(|error| error.to_string());
            (path, text)
        };
        let named = environment.path("GOOGLE_APPLICATION_CREDENTIALS").map(read);
        let file = named.or_else(|| {
            let dir = environment.path("CLOUDSDK_CONFIG").or_else(|| environment.home(".config/gcloud"))?;
            Some(read(dir.join("application_default_credentials.json"))).filter(|(_, text)| text.is_ok())
        });
        Adc { file, excluded: excluded(environment) }
    }
}

/// The configuration of Google's own helper may leave the environment out of its token sources.
fn excluded(environment: &Environment) -> Option<String> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "TokenSources", default)]
        sources: Vec<String>,
    }
    let path = environment.path("DOCKER_CREDENTIAL_GCR_CONFIG")?;
    let text = places::read(&path).ok()?;
    match serde_json::from_slice::<Config>(&text) {
        Ok(config) if config.sources.is_empty() || config.sources.iter().any(|source| source == "env") => None,
        Ok(config) => {
            let sources = config.sources.join(", ");
            Some(format!(
                "{} allows the token sources {sources} only, of which none is built in; add env",
                path.display()
            ))
        }
        Err(_) => Some(format!("{} is malformed", path.display())),
    }
}

/// Whether `host` is one of Google's registries: Container Registry, or Artifact Registry for images.
pub(super) fn serves(host: &str) -> bool {
    let artifacts = host.strip_suffix(".pkg.dev").is_some_and(|name| {
        let regional = name.strip_suffix(".rep").and_then(|name| name.strip_prefix("docker."));
        name.strip_suffix("-docker").is_some_and(is_label) || regional.is_some_and(is_label)
    });
    host == "gcr.io" || host.strip_suffix(".gcr.io").is_some_and(|name| name.split('.').all(is_label)) || artifacts
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A credential for Google's registries. `None` if there is no identity here.
pub(super) fn find(cloud: &Cloud<'_>) -> Result<Option<Granted>, String> {
    if let Some(why) = &cloud.adc.excluded {
        return Err(why.clone());
    }
    let granted = |token: Token, whose: String| Granted {
        credential: Credential::basic(USER, token.text.expose()),
        source: format!("Google, by {whose}"),
        lifetime: token.lifetime,
    };
    let Some((path, text)) = &cloud.adc.file else {
        let token = metadata::token(cloud)?;
        return Ok(token.map(|token| granted(token, "the metadata server".to_owned())));
    };
    let at = |why: String| format!("{}: {why}", path.display());
    let account = account::Account::parse(text.as_ref().map_err(|why| at(why.clone()))?).map_err(at)?;
    let token = account.token(cloud).map_err(at)?;
    Ok(Some(granted(token, format!("{} of {}", account.kind(), path.display()))))
}
