//! A file by its address, from a server that need not be a registry: what ADD names.
//!
//! No credential is sent. The certificate must be good, and a redirect does not leave HTTPS for HTTP.

use std::io::Write;

use reqwest::header::LAST_MODIFIED;
use reqwest::{StatusCode, Url};
use tokio::time::timeout;

use super::answer::{Answer, silent};
use super::redirect::{self, Method};
use super::retry::retry;
use super::{Client, Error};

/// What the server says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// When it was last modified, as the server writes it (RFC 9110).
    pub last_modified: Option<String>,
}

/// Writes the file at `address` to `sink`.
pub(super) async fn download(client: &Client, address: &str, sink: &mut dyn Write) -> Result<Downloaded, Error> {
    // What may be a password in an address is nobody's business.
    let url = Url::parse(address).map_err(|error| Error::protocol("the address", error.to_string()))?;
    let shown = shown(&mut url.clone());
    let mut answer = retry(&client.transport.backoff, async || begin(client, &url, &shown).await).await?;
    let last_modified = answer.header(LAST_MODIFIED.as_str()).map(str::to_owned);
    loop {
        let Some(chunk) = answer.chunk(&shown).await? else { return Ok(Downloaded { last_modified }) };
        sink.write_all(&chunk).map_err(|why| Error::protocol(&shown, format!("cannot be stored: {why}")))?;
    }
}

/// Follows a few redirects, and none from HTTPS to HTTP.
async fn begin(client: &Client, url: &Url, shown: &str) -> Result<Answer, Error> {
    let (mut url, mut hops) = (url.clone(), 0);
    let stall = client.transport.timeouts.stall;
    loop {
        let turn = client.transport.line_of(&url)?.turn().await;
        let response = timeout(stall, turn.http().get(url.clone()).send()).await.map_err(|_| silent(shown))?;
        let response = response.map_err(|error| Error::interrupted(shown, &error.without_url()))?;
        let next = redirect::next(shown, &response, Method::Reading, hops)?;
        let answer = Answer::new(response, turn, stall, "no credentials are sent".to_owned());
        let Some(next) = next else { return answer.expect(shown, &[StatusCode::OK]).await };
        answer.finish().await;
        (url, hops) = (next, hops + 1);
    }
}

/// The address without a password and without a query, which may hold a token.
fn shown(url: &mut Url) -> String {
    // They fail only for addresses that cannot have one. A user's name may be a token.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_of_an_address_is_shown() {
        let mut url = Url::parse("https://user:hunter2@h/a/b?token=hunter2#x").expect("an address");
        assert_eq!(shown(&mut url), "https://h/a/b");
    }
}
