//! A file by its address, from a server that need not be a registry: what ADD names.
//!
//! No credential is sent but one that the caller has for the address: over HTTPS or to this machine, and where a redirect leads
//! elsewhere no more. The certificate must be good, and a redirect does not leave HTTPS for HTTP.

use std::io::Write;
use std::net::IpAddr;

use reqwest::header::{AUTHORIZATION, HeaderValue, LAST_MODIFIED};
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
pub(super) async fn download(
    client: &Client,
    address: &str,
    authorization: Option<&str>,
    sink: &mut dyn Write,
) -> Result<Downloaded, Error> {
    // What may be a password in an address is nobody's business.
    let url = Url::parse(address).map_err(|error| Error::protocol("the address", error.to_string()))?;
    let shown = shown(&mut url.clone());
    let authorization = authorization.map(|value| header(value, &url, &shown)).transpose()?;
    let begin = async || begin(client, &url, authorization.as_ref(), &shown).await;
    let mut answer = retry(&client.transport.backoff, begin).await?;
    let last_modified = answer.header(LAST_MODIFIED.as_str()).map(str::to_owned);
    loop {
        let Some(chunk) = answer.chunk(&shown).await? else { return Ok(Downloaded { last_modified }) };
        sink.write_all(&chunk).map_err(|why| Error::protocol(&shown, format!("cannot be stored: {why}")))?;
    }
}

/// A header that no log shows.
fn header(value: &str, url: &Url, shown: &str) -> Result<HeaderValue, Error> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if url.scheme() != "https" && !is_here {
        return Err(Error::protocol(shown, "there is a credential for it, which is sent over https only".to_owned()));
    }
    let mut header = HeaderValue::from_str(value.trim())
        .map_err(|_| Error::protocol(shown, "the credential for it is no line of text".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Follows a few redirects, and none from HTTPS to HTTP.
async fn begin(client: &Client, url: &Url, authorization: Option<&HeaderValue>, shown: &str) -> Result<Answer, Error> {
    let (origin, mut url, mut hops) = (url.origin(), url.clone(), 0);
    let stall = client.transport.timeouts.stall;
    loop {
        let turn = client.transport.line_of(&url)?.turn().await;
        let authorization = authorization.filter(|_| url.origin() == origin);
        let mut request = turn.http().get(url.clone());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = timeout(stall, request.send()).await.map_err(|_| silent(shown))?;
        let response = response.map_err(|error| Error::interrupted(shown, &error.without_url()))?;
        let next = redirect::next(shown, &response, Method::Reading, hops)?;
        let answer = Answer::new(response, turn, stall, sent(authorization).to_owned());
        let Some(next) = next else { return answer.expect(shown, &[StatusCode::OK]).await };
        answer.finish().await;
        (url, hops) = (next, hops + 1);
    }
}

/// What to say of credentials where the server wants one.
fn sent(authorization: Option<&HeaderValue>) -> &'static str {
    match authorization {
        Some(_) => "with the credential of the build's secrets",
        None => "no credentials are sent; a secret HTTP_AUTH_TOKEN_host or HTTP_AUTH_HEADER_host gives some",
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
    fn a_credential_goes_over_https_or_stays_on_the_machine() {
        let takes = |address: &str, value: &str| header(value, &Url::parse(address).expect("an address"), "it").is_ok();
        assert!(
            takes("https://h/x", "Bearer a") && takes("http://127.0.0.1:1/x", "a\n") && takes("http://[::1]/x", "a")
        );
        assert!(!takes("http://h/x", "a") && !takes("http://10.0.0.1/x", "a") && !takes("https://h/x", "a\nb: c"));
        let value = header("Bearer hunter2", &Url::parse("https://h").expect("an address"), "it").expect("a header");
        assert!(!format!("{value:?}").contains("hunter2"));
    }

    #[test]
    fn nothing_secret_of_an_address_is_shown() {
        let mut url = Url::parse("https://user:hunter2@h/a/b?token=hunter2#x").expect("an address");
        assert_eq!(shown(&mut url), "https://h/a/b");
    }
}
