//! A small text to an address with PUT: where a digest file is an `https://` address.

use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use tokio::time::timeout;

use super::answer::{Answer, silent};
use super::retry::retry;
use super::{Client, Error};

/// Sends `text`. An address may hold a signature, so messages have only its host.
pub(super) async fn put(client: &Client, url: &str, text: &str) -> Result<(), Error> {
    let refused = |what: &str, why: &str| Error::protocol(what, why);
    let address = Url::parse(url).map_err(|error| refused("the address to send a digest to", &error.to_string()))?;
    let host = address.host_str().unwrap_or_default().to_owned();
    let what = format!("PUT to {host}");
    if address.scheme() != "https" {
        return Err(refused(&what, "a digest is sent to https:// addresses only"));
    }
    let line = client.transport.line_of(&address)?;
    let stall = client.transport.timeouts.stall;
    retry(&client.transport.backoff, async || {
        let turn = line.clone().turn().await;
        let request = turn.http().put(address.clone()).header(CONTENT_TYPE, "text/plain").body(text.to_owned());
        let answer = timeout(stall, request.send()).await.map_err(|_| silent(&what))?;
        let answer = answer.map_err(|error| Error::interrupted(&what, &error.without_url()))?;
        let status = answer.status();
        let answer = Answer::new(answer, turn, stall, "no credentials were given".to_owned());
        if status.is_success() {
            answer.finish().await;
            return Ok(());
        }
        answer.expect(&what, &[]).await.map(drop)
    })
    .await
}
