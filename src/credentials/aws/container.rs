//! The credentials of a task or a pod (ECS, EKS pod identity): a server beside the container gives them out.

use reqwest::Url;
use serde::Deserialize;

use super::super::cloud::Cloud;
use super::super::http::{Call, Server, is_loopback};
use super::Keys;
use crate::credentials::Secret;

/// Where ECS's server is.
const SERVER: &str = "http://169.254.170.2";

/// Hosts that may be asked without encryption, by Amazon's rule: this machine, ECS's server and EKS's.
const HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// Keys as the servers write them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Document {
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
}

impl Document {
    pub(super) fn keys(self) -> Result<Keys, String> {
        match (self.access_key_id, self.secret_access_key) {
            (Some(id), Some(secret)) if !id.is_empty() && !secret.is_empty() => {
                let session = self.token.filter(|token| !token.is_empty()).map(Secret::new);
                Ok(Keys { id, secret: Secret::new(secret), session })
            }
            _ => Err("the answer has no keys".to_owned()),
        }
    }
}

/// Asks the server that `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI` names. `None` if neither is set.
pub(super) fn find(cloud: &Cloud<'_>) -> Result<Option<Keys>, String> {
    let environment = cloud.environment;
    let relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("{SERVER}{path}"));
    let full = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(str::to_owned);
    let Some(address) = relative.or(full) else { return Ok(None) };
    let mut call = Call::get(&address)?;
    if !is_allowed(&call.url) {
        return Err(format!("{address} is neither https nor a host that may be asked in the open"));
    }
    let token = match environment.path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => Some(cloud.token_file(&path)?),
        None => environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Secret::new),
    };
    if let Some(token) = token {
        call = call.header("authorization", token.expose());
    }
    cloud.http.send(Server::Beside, &call)?.json::<Document>()?.keys().map(Some)
}

fn is_allowed(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url) || HOSTS.contains(&url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_to_no_other_host_in_the_open() {
        let check = |url: &str, expected| assert_eq!(is_allowed(&Url::parse(url).expect("url")), expected, "{url}");
        check("http://169.254.170.2/v2/x", true);
        check("http://169.254.170.23/v1/credentials", true);
        check("http://[fd00:ec2::23]/v1/credentials", true);
        check("http://localhost:8080/", true);
        check("https://creds.example/", true);
        check("http://creds.example/", false);
        check("http://169.254.170.2.example/", false);
        check("http://169.254.170.2@creds.example/", false);
    }
}
