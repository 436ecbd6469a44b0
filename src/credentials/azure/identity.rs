//! Who we are in Microsoft Entra, in the order of Azure's own libraries: a service principal's secret, a workload identity, a managed
//! identity. A principal's certificate is refused with a message.

use serde::Deserialize;

use super::Sky;
use crate::credentials::Secret;
use crate::credentials::cloud::Cloud;
use crate::credentials::http::{Answer, Call, Server};

/// Where virtual machines ask.
const METADATA: &str = "http://169.254.169.254";

/// An access token and whose it is.
pub(super) struct Identity {
    pub(super) token: Secret,
    pub(super) whose: String,
}

/// Finds an access token. `None` if there is no identity here.
pub(super) fn find(cloud: &Cloud<'_>, sky: &Sky) -> Result<Option<Identity>, String> {
    let environment = cloud.environment;
    let (client, tenant) = (environment.get("AZURE_CLIENT_ID"), environment.get("AZURE_TENANT_ID"));
    if let (Some(client), Some(tenant)) = (client, tenant) {
        if let Some(secret) = environment.get("AZURE_CLIENT_SECRET") {
            let found = request(cloud, sky, tenant, client, &[("client_secret", secret)]);
            return named(found, format!("the service principal {client}"));
        }
        if environment.get("AZURE_CLIENT_CERTIFICATE_PATH").is_some() {
            return Err(
                "AZURE_CLIENT_CERTIFICATE_PATH is not supported; use AZURE_CLIENT_SECRET or a workload identity"
                    .to_owned(),
            );
        }
        if let Some(path) = environment.path("AZURE_FEDERATED_TOKEN_FILE") {
            let found = cloud.token_file(&path).and_then(|assertion| {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                let fields = [("client_assertion_type", kind), ("client_assertion", assertion.expose())];
                request(cloud, sky, tenant, client, &fields)
            });
            return named(found, format!("the workload identity {client}"));
        }
    }
    match (environment.get("IDENTITY_ENDPOINT"), environment.get("IDENTITY_HEADER")) {
        (Some(endpoint), Some(secret)) => {
            named(of_platform(cloud, sky, endpoint, secret), "the managed identity of the platform".to_owned())
        }
        _ => of_machine(cloud, sky),
    }
}

fn named(token: Result<Secret, String>, whose: String) -> Result<Option<Identity>, String> {
    match token {
        Ok(token) => Ok(Some(Identity { token, whose })),
        Err(why) => Err(format!("{whose}: {why}")),
    }
}

/// A token by the client credentials grant (RFC 6749, section 4.4), or with an assertion (RFC 7523).
fn request(cloud: &Cloud<'_>, sky: &Sky, tenant: &str, client: &str, proof: &[(&str, &str)]) -> Result<Secret, String> {
    let authority = cloud.environment.get("AZURE_AUTHORITY_HOST").unwrap_or(sky.authority).trim_end_matches('/');
    if tenant.contains(['/', '?', '#']) {
        return Err("AZURE_TENANT_ID is not a tenant".to_owned());
    }
    let scope = format!("{}.default", sky.resource);
    let fields = [&[("grant_type", "client_credentials"), ("client_id", client), ("scope", &scope)], proof].concat();
    let call = Call::form(&format!("{authority}/{tenant}/oauth2/v2.0/token"), &fields)?;
    token(&cloud.http.send(Server::Service, &call)?)
}

/// App Service and its kin put a server beside the container.
fn of_platform(cloud: &Cloud<'_>, sky: &Sky, endpoint: &str, secret: &str) -> Result<Secret, String> {
    let call = Call::get(endpoint)?.header("x-identity-header", secret);
    token(&cloud.http.send(Server::Beside, &asking(cloud, sky, call, "2019-08-01"))?)
}

/// The metadata service of virtual machines and clusters. `None` if there is none.
fn of_machine(cloud: &Cloud<'_>, sky: &Sky) -> Result<Option<Identity>, String> {
    let server = cloud.environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or(METADATA).trim_end_matches('/');
    let call = Call::get(&format!("{server}/metadata/identity/oauth2/token"))?.header("metadata", "true");
    match cloud.http.send(Server::Metadata, &asking(cloud, sky, call, "2018-02-01")) {
        Ok(answer) => named(token(&answer), "the managed identity of the machine".to_owned()),
        Err(why) => {
            tracing::debug!("no managed identity: {why}");
            Ok(None)
        }
    }
}

/// `call` with what it asks for in its query.
fn asking(cloud: &Cloud<'_>, sky: &Sky, mut call: Call, version: &str) -> Call {
    let mut query = call.url.query_pairs_mut();
    query.append_pair("api-version", version).append_pair("resource", sky.resource);
    if let Some(client) = cloud.environment.get("AZURE_CLIENT_ID") {
        query.append_pair("client_id", client);
    }
    drop(query);
    call
}

fn token(answer: &Answer) -> Result<Secret, String> {
    #[derive(Deserialize)]
    struct Body {
        access_token: String,
    }
    Ok(Secret::new(answer.json::<Body>()?.access_token))
}
