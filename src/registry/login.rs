//! Whether a registry takes a credential at all, whatever repository it is for.

use reqwest::StatusCode;

use super::auth::Access;
use super::policy::Direction;
use super::retry::retry;
use super::{Client, Error};

/// What a registry said to a credential that it did not refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Login {
    /// It asked who we are, and takes what we showed.
    Taken,
    /// It asks nobody for that, so the credential was not shown.
    NotAsked,
}

/// Asks for the version of the API, which registries tell to whom they know (distribution-spec, end-1).
pub(super) async fn check(client: &Client, registry: &str) -> Result<Login, Error> {
    let what = format!("log in to {registry}");
    let endpoint = client.endpoint(registry, Direction::Pull).await?;
    let access = Access { repository: String::new(), scopes: Vec::new() };
    let answer = retry(endpoint.backoff(), async || {
        let answer = endpoint.get(&what, &access, &endpoint.url(""), |http, url| http.get(url)).await?;
        answer.expect(&what, &[StatusCode::OK]).await
    });
    answer.await?.finish().await;
    Ok(if endpoint.asks_who_we_are().await { Login::Taken } else { Login::NotAsked })
}
