//! An answer of a registry: read within limits of size and silence, and turned into an error where it is not the expected one.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, ResponseBuilderExt, StatusCode, Url};
use tokio::time::timeout;

use super::Error;
use super::error::line;
use super::line::Turn;

/// Tokens and error texts are not longer than this, in bytes.
pub(super) const MAX_ANSWER: u64 = 1 << 20;

/// A connection is worth more than this many bytes that nobody wants: they are read, so that it can be used again.
const DRAINED: u64 = 1 << 16;

/// But not for longer.
const DRAINING: Duration = Duration::from_secs(5);

/// An answer that is kept in memory may take this many times as long as a peer may be silent: a byte a minute is no answer.
const SMALL: u32 = 4;

/// An answer whose body is still to be read.
pub(super) struct Answer {
    response: Response,
    turn: Option<Turn>,
    stall: Duration,
    identity: String,
}

impl Answer {
    /// `turn` is that of the connection; `identity` is what messages say of who asked.
    pub(super) fn new(response: Response, turn: Turn, stall: Duration, identity: String) -> Self {
        turn.spoke(response.version());
        Answer { response, turn: Some(turn), stall, identity }
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
        let retry_after = retry_after(self.headers());
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
        timeout(self.stall * SMALL, self.read_all(what, limit)).await.map_err(|_| slow(what))?
    }

    /// The same answer, read into memory as far as it is not too long, so that its connection is free for others.
    pub(super) async fn settled(mut self, what: &str) -> Result<Answer, Error> {
        let read = timeout(self.stall * SMALL, self.read_all(what, MAX_ANSWER)).await.map_err(|_| slow(what))?;
        let mut kept = http::Response::builder().status(self.status()).url(self.url().clone()).body(read?);
        if let Ok(kept) = &mut kept {
            *kept.headers_mut() = self.headers().clone();
        }
        let response = kept.map_err(|error| Error::protocol(what, error.to_string()))?.into();
        Ok(Answer { response, turn: None, stall: self.stall, identity: std::mem::take(&mut self.identity) })
    }

    async fn read_all(&mut self, what: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(what).await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(Error::protocol(what, format!("the answer is longer than {limit} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The next bytes. After the last the connection is free for others.
    pub(super) async fn chunk(&mut self, what: &str) -> Result<Option<bytes::Bytes>, Error> {
        let chunk = timeout(self.stall, self.response.chunk()).await.map_err(|_| silent(what))?;
        let chunk = chunk.map_err(|error| Error::interrupted(what, &error))?;
        if chunk.is_none()
            && let Some(turn) = self.turn.take()
        {
            turn.end().await;
        }
        Ok(chunk)
    }

    /// Reads what little is left, for the connection's sake.
    pub(super) async fn finish(mut self) {
        let limit = DRAINING.min(self.stall);
        let drain = async {
            let mut read = 0;
            while read < DRAINED {
                match self.chunk("").await {
                    Ok(Some(chunk)) => read += chunk.len() as u64,
                    _ => break,
                }
            }
        };
        // What is not read in time is not worth more.
        let _ = timeout(limit, drain).await;
    }
}

pub(super) fn silent(what: &str) -> Error {
    Error::Interrupted { what: what.to_owned(), why: "the peer went silent".to_owned() }
}

fn slow(what: &str) -> Error {
    Error::Interrupted { what: what.to_owned(), why: "the answer takes too long".to_owned() }
}

/// When a peer wants to be asked again.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok().and_then(delay)
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
