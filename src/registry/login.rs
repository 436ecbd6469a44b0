//! Whether a registry takes a credential at all, whatever repository it is for.

use reqwest::StatusCode;

use super::auth::Access;
use super::policy::Direction;
use super::retry::retry;
use super::{Client, Error};

/// Asks for the version of the API, which registries tell to whom they know (distribution-spec, end-1).
pub(super) async fn check(client: &Client, registry: &str) -> Result<(), Error> {
    let what = format!("log in to {registry}");
    let endpoint = client.endpoint(registry, Direction::Pull).await?;
    let access = Access { repository: String::new(), scopes: Vec::new() };
    let answer = retry(endpoint.backoff(), async || {
        let answer = endpoint.get(&what, &access, &endpoint.url(""), |http, url| http.get(url)).await?;
        answer.expect(&what, &[StatusCode::OK]).await
    });
    answer.await?.finish().await;
    Ok(())
}
