//! A file by its address, from a server that need not be a registry: what ADD names.
//!
//! No credential is sent. The certificate must be good, and a redirect does not leave HTTPS for HTTP.

use std::io::Write;

use reqwest::header::{LAST_MODIFIED, LOCATION};
use reqwest::{Response, StatusCode, Url};
use tokio::time::timeout;

use super::error::line;
use super::policy::Certificate;
use super::retry::retry;
use super::{Client, Error};

const MOST_REDIRECTS: u32 = 5;

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
    let header = answer.headers().get(LAST_MODIFIED).and_then(|value| value.to_str().ok());
    let last_modified = header.map(str::to_owned);
    loop {
        let chunk = timeout(client.transport.timeouts.stall, answer.chunk()).await;
        let chunk =
            chunk.map_err(|_| silent(&shown))?.map_err(|error| Error::interrupted(&shown, &error.without_url()))?;
        let Some(chunk) = chunk else { return Ok(Downloaded { last_modified }) };
        sink.write_all(&chunk).map_err(|why| Error::protocol(&shown, format!("cannot be stored: {why}")))?;
    }
}

/// Follows a few redirects, and none from HTTPS to HTTP. Each host has a connection of its own.
async fn begin(client: &Client, url: &Url, shown: &str) -> Result<Response, Error> {
    let mut url = url.clone();
    for _ in 0..=MOST_REDIRECTS {
        let answer = ask(client, &url, shown).await?;
        if !answer.status().is_redirection() {
            return judge(answer, shown);
        }
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| url.join(location).ok());
        let next = next.ok_or_else(|| Error::protocol(shown, "a redirect leads nowhere"))?;
        if url.scheme() == "https" && next.scheme() != "https" {
            return Err(Error::protocol(shown, "a redirect from HTTPS to plain HTTP is not followed"));
        }
        url = next;
    }
    Err(Error::protocol(shown, "too many redirects"))
}

async fn ask(client: &Client, url: &Url, shown: &str) -> Result<Response, Error> {
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
    let line = client.transport.line(&host, Certificate::Verified)?;
    let answer = timeout(client.transport.timeouts.stall, line.http.get(url.clone()).send()).await;
    answer.map_err(|_| silent(shown))?.map_err(|error| Error::interrupted(shown, &error.without_url()))
}

fn judge(answer: Response, shown: &str) -> Result<Response, Error> {
    let (what, why) = (shown.to_owned(), line(&answer.status().to_string()));
    match answer.status() {
        StatusCode::OK => Ok(answer),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(Error::Denied { what, why, identity: "no credentials are sent".to_owned() })
        }
        StatusCode::NOT_FOUND => Err(Error::NotFound { what, why }),
        status => Err(Error::Status { what, status: status.as_u16(), why, retry_after: None }),
    }
}

fn silent(what: &str) -> Error {
    Error::Interrupted { what: what.to_owned(), why: "the peer went silent".to_owned() }
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
