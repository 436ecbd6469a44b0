//! A file by its address, from a server that need not be a registry: what ADD names.
//!
//! No credential is sent. The certificate must be good, and a redirect does not leave HTTPS for HTTP.

use std::io::Write;

use reqwest::header::LAST_MODIFIED;
use reqwest::{Response, StatusCode, Url};
use tokio::time::timeout;

use super::error::line;
use super::policy::Certificate;
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
    // A password in an address is nobody's business.
    let mut url = Url::parse(address).map_err(|error| Error::protocol(address, error.to_string()))?;
    let shown = shown(&mut url.clone());
    let mut answer = retry(async || begin(client, &url, &shown).await).await?;
    let header = answer.headers().get(LAST_MODIFIED).and_then(|value| value.to_str().ok());
    let last_modified = header.map(str::to_owned);
    url.set_fragment(None);
    loop {
        let chunk = timeout(client.transport.timeouts.stall, answer.chunk()).await;
        let chunk =
            chunk.map_err(|_| silent(&shown))?.map_err(|error| Error::interrupted(&shown, &error.without_url()))?;
        let Some(chunk) = chunk else { return Ok(Downloaded { last_modified }) };
        sink.write_all(&chunk).map_err(|why| Error::protocol(&shown, format!("cannot be stored: {why}")))?;
    }
}

async fn begin(client: &Client, url: &Url, shown: &str) -> Result<Response, Error> {
    let host = url.host_str().unwrap_or_default();
    let http = client.transport.client(host, Certificate::Verified)?;
    let answer = timeout(client.transport.timeouts.stall, http.get(url.clone()).send()).await;
    let answer = answer.map_err(|_| silent(shown))?;
    let answer = answer.map_err(|error| Error::interrupted(shown, &error.without_url()))?;
    let (what, why) = (shown.to_owned(), line(&answer.status().to_string()));
    match answer.status() {
        StatusCode::OK => Ok(answer),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Error::Denied { what, why }),
        StatusCode::NOT_FOUND => Err(Error::NotFound { what, why }),
        status => Err(Error::Status { what, status: status.as_u16(), why, retry_after: None }),
    }
}

fn silent(what: &str) -> Error {
    Error::Interrupted { what: what.to_owned(), why: "the peer went silent".to_owned() }
}

/// The address without a password and without a query, which may hold a token.
fn shown(url: &mut Url) -> String {
    // It fails only for addresses that cannot have one.
    let _ = url.set_password(None);
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
        assert_eq!(shown(&mut url), "https://user@h/a/b");
    }
}
