//! An answer of a registry: read within limits of size and silence, and turned into an error where it is not the expected one.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url, Version};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Error;
use super::error::line;

/// Tokens and error texts are not longer than this, in bytes.
pub(super) const MAX_ANSWER: u64 = 1 << 20;

/// A connection is worth more than this many bytes that nobody wants: they are read, so that it can be used again.
const DRAINED: u64 = 1 << 16;

/// How long a connection needs to get back into the pool. Its permit is kept until then: whoever gets it finds the connection.
const SETTLING: Duration = Duration::from_millis(2);

/// An answer whose body is still to be read.
pub(super) struct Answer {
    response: Response,
    permit: Option<OwnedSemaphorePermit>,
    stall: Duration,
    identity: String,
}

impl Answer {
    /// `permit` stands for the connection; `identity` is what messages say of who asked.
    pub(super) fn new(
        response: Response,
        permit: Option<OwnedSemaphorePermit>,
        stall: Duration,
        identity: String,
    ) -> Self {
        Answer { response, permit, stall, identity }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(super) fn url(&self) -> &Url {
        self.response.url()
    }

    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Turns a status that is none of `expected` into an error with what the registry says about it.
    pub(super) async fn expect(self, what: &str, expected: &[StatusCode]) -> Result<Answer, Error> {
        if expected.contains(&self.status()) {
            return Ok(self);
        }
        let (what, status, identity) = (what.to_owned(), self.status(), self.identity.clone());
        let retry_after = self.header(RETRY_AFTER.as_str()).and_then(delay);
        let body = self.read(&what, MAX_ANSWER).await.unwrap_or_default();
        let why = explain(&body).unwrap_or_else(|| status.to_string());
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Denied { what, why, identity },
            StatusCode::NOT_FOUND => Error::NotFound { what, why },
            status => Error::Status { what, status: status.as_u16(), why, retry_after },
        })
    }

    /// Reads at most `limit` bytes into memory.
    pub(super) async fn read(mut self, what: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(what).await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(Error::protocol(what, format!("the answer is longer than {limit} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The next bytes.
    pub(super) async fn chunk(&mut self, what: &str) -> Result<Option<bytes::Bytes>, Error> {
        let chunk = timeout(self.stall, self.response.chunk()).await.map_err(|_| silent(what))?;
        chunk.map_err(|error| Error::interrupted(what, &error))
    }

    /// Reads what little is left, for the connection's sake.
    pub(super) async fn finish(mut self) {
        let mut read = 0;
        while read < DRAINED {
            match self.chunk("").await {
                Ok(Some(chunk)) => read += chunk.len() as u64,
                _ => break,
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take().filter(|_| self.response.version() < Version::HTTP_2) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move {
                tokio::time::sleep(SETTLING).await;
                drop(permit);
            }));
        }
    }
}

pub(super) fn silent(what: &str) -> Error {
    Error::Interrupted { what: what.to_owned(), why: "the peer went silent".to_owned() }
}

/// `Retry-After`: seconds, or a date.
fn delay(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    let seconds = date.timestamp().as_second().saturating_sub(jiff::Timestamp::now().as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// What a registry says about a failure: `CODE: message` of its first error, or a token server's `error` or `details`.
fn explain(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let of = |value: &serde_json::Value, key| {
        value.get(key).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let parts: Vec<String> = match value.get("errors").and_then(|errors| errors.get(0)) {
        Some(error) => ["code", "message"].iter().filter_map(|key| of(error, key)).collect(),
        None => ["error", "error_description", "details"].iter().filter_map(|key| of(&value, key)).collect(),
    };
    if parts.is_empty() { None } else { Some(line(&parts.join(": "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_or_a_date() {
        assert_eq!(delay("7"), Some(Duration::from_secs(7)));
        assert_eq!(delay("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let later = delay("Fri, 01 Jan 2100 00:00:00 GMT").expect("a date");
        assert!(later > Duration::from_secs(3600 * 24 * 365), "{later:?}");
        assert_eq!((delay("soon"), delay("-1"), delay("")), (None, None, None));
    }

    #[test]
    fn explanations() {
        let said = |text: &str| explain(text.as_bytes());
        assert_eq!(said(r#"{"errors":[{"code":"DENIED","message":"no\nway"}]}"#), Some("DENIED: no way".to_owned()));
        assert_eq!(
            said(r#"{"error":"invalid_grant","error_description":"old"}"#),
            Some("invalid_grant: old".to_owned())
        );
        assert_eq!(
            said(r#"{"details":"incorrect username or password"}"#),
            Some("incorrect username or password".to_owned())
        );
        assert_eq!((said("{}"), said("<html>"), said(r#"{"errors":[]}"#)), (None, None, None));
    }
}
