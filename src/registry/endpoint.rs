//! One registry: where it is, how it is spoken to, and requests with the right token.
//!
//! A token goes only to the scheme, host and port that asked for it. No request outlasts a peer that went silent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Error;
use super::auth::{Challenge, Token};
use super::error::{cause, line};
use super::policy::Certificate;
use super::retry::retry;
use super::transport::{Timeouts, Transport};

/// Tokens and error texts are not longer than this, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// A registry that has answered.
pub(super) struct Endpoint {
    base: Url,
    http: Client,
    challenge: Challenge,
    tokens: Mutex<BTreeMap<Vec<String>, Token>>,
    timeouts: Timeouts,
}

/// How much of a request's body was taken by the connection.
pub(super) struct Progress {
    pub(super) sent: AtomicU64,
    pub(super) total: u64,
}

impl Endpoint {
    /// Finds out which of `schemes` the registry speaks and what it wants to see.
    pub(super) async fn connect(
        transport: &Transport,
        registry: &str,
        schemes: &[&str],
        certificate: Certificate,
    ) -> Result<Self, Error> {
        let http = transport.client(registry, certificate)?;
        let timeouts = transport.timeouts;
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        retry(async || {
            let mut failures = Vec::new();
            for scheme in schemes {
                let base = format!("{scheme}://{host}/v2/");
                let base = Url::parse(&base).map_err(|error| Error::Setup(format!("{base}: {error}")))?;
                match ping(&http, &base, timeouts.stall).await {
                    Ok(challenge) => {
                        if !failures.is_empty() {
                            tracing::warn!("speaking plain HTTP with {registry} ({})", failures.join("; "));
                        }
                        let (http, tokens) = (http.clone(), Mutex::default());
                        return Ok(Endpoint { base, http, challenge, tokens, timeouts });
                    }
                    Err(Ping::Unreachable(why)) => failures.push(format!("{scheme}: {why}")),
                    Err(Ping::Refused(error)) if failures.is_empty() => return Err(error),
                    Err(Ping::Refused(error)) => failures.push(format!("{scheme}: {error}")),
                }
            }
            Err(Error::Unreachable { registry: registry.to_owned(), why: failures.join("; ") })
        })
        .await
    }

    /// The address of `path` below `/v2/`.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{path}"));
        url
    }

    /// How long to wait for the next bytes.
    pub(super) fn stall(&self) -> Duration {
        self.timeouts.stall
    }

    /// Sends what `build` makes, with a token for `scopes`; once more with a new one if the first is refused.
    ///
    /// Only what never got an answer is an error: the caller judges the status.
    pub(super) async fn send(
        &self,
        what: &str,
        scopes: &[String],
        progress: Option<&Progress>,
        build: impl Fn(&Client) -> Result<RequestBuilder, Error>,
    ) -> Result<Response, Error> {
        let token = self.token(what, scopes).await?;
        let response = self.send_once(what, token, progress, build(&self.http)?).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.is_own(response.url()) {
            return Ok(response);
        }
        let challenge = Challenge::of(response.headers());
        let Challenge::Bearer { scope, .. } = &challenge else { return Ok(response) };
        let mut wanted = scopes.to_vec();
        wanted.extend(scope.iter().filter(|scope| !scopes.contains(scope)).cloned());
        let token = self.fetch_token(what, &challenge, &wanted).await?;
        let text = token.text.clone();
        self.tokens.lock().await.insert(scopes.to_vec(), token);
        self.send_once(what, Some(text), progress, build(&self.http)?).await
    }

    async fn send_once(
        &self,
        what: &str,
        token: Option<String>,
        progress: Option<&Progress>,
        request: RequestBuilder,
    ) -> Result<Response, Error> {
        let mut request = request.build().map_err(|error| Error::interrupted(what, &error))?;
        if let Some(token) = token
            && self.is_own(request.url())
        {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| Error::protocol(what, "the token has characters that a header cannot have"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answer = self.watch(self.http.execute(request), progress).await;
        let answer = answer.ok_or_else(|| silent(what))?;
        answer.map_err(|error| Error::interrupted(what, &error))
    }

    /// Waits for an answer as long as bytes go out. `None` if the peer went silent.
    async fn watch<T>(&self, answer: impl Future<Output = T>, progress: Option<&Progress>) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        let sent = || progress.map_or(0, |progress| progress.sent.load(Ordering::Relaxed));
        loop {
            let before = sent();
            let all_sent = progress.is_some_and(|progress| before >= progress.total);
            let patience = if all_sent { self.timeouts.commit } else { self.timeouts.stall };
            match timeout(patience, &mut answer).await {
                Ok(answer) => return Some(answer),
                Err(_) if sent() == before => return None,
                Err(_) => {}
            }
        }
    }

    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// A token for `scopes`, if the registry wants any. Whoever comes second waits for the first one's.
    async fn token(&self, what: &str, scopes: &[String]) -> Result<Option<String>, Error> {
        let mut tokens = self.tokens.lock().await;
        if let Some(token) = tokens.get(scopes).filter(|token| token.is_good()) {
            return Ok(Some(token.text.clone()));
        }
        if !matches!(self.challenge, Challenge::Bearer { .. }) {
            return Ok(None);
        }
        let token = self.fetch_token(what, &self.challenge, scopes).await?;
        let text = token.text.clone();
        tokens.insert(scopes.to_vec(), token);
        Ok(Some(text))
    }

    async fn fetch_token(&self, what: &str, challenge: &Challenge, scopes: &[String]) -> Result<Token, Error> {
        let insecure_realm = || Error::protocol(what, "the registry sends us to an insecure address for a token");
        let url = challenge.token_url(&self.base, scopes).ok_or_else(insecure_realm)?;
        let what = format!("{what}: token from {}", url.host_str().unwrap_or("an unnamed host"));
        let send = self.http.get(url).send();
        let answer = timeout(self.timeouts.stall, send).await.map_err(|_| silent(&what))?;
        let answer = answer.map_err(|error| Error::interrupted(&what, &error.without_url()))?;
        let answer = self.expect(&what, answer, &[StatusCode::OK]).await?;
        let bytes = self.read(&what, answer, MAX_ANSWER).await?;
        Token::parse(&bytes).map_err(|why| Error::protocol(&what, why))
    }

    /// Turns a status that is none of `expected` into an error with what the registry says about it.
    pub(super) async fn expect(
        &self,
        what: &str,
        answer: Response,
        expected: &[StatusCode],
    ) -> Result<Response, Error> {
        if expected.contains(&answer.status()) {
            return Ok(answer);
        }
        let (what, status) = (what.to_owned(), answer.status());
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        let body = self.read(&what, answer, MAX_ANSWER).await.unwrap_or_default();
        let why = explain(&body).unwrap_or_else(|| status.to_string());
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Denied { what, why },
            StatusCode::NOT_FOUND => Error::NotFound { what, why },
            status => Error::Status { what, status: status.as_u16(), why, retry_after },
        })
    }

    /// Reads an answer of at most `limit` bytes into memory.
    pub(super) async fn read(&self, what: &str, mut answer: Response, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(what, &mut answer).await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(Error::protocol(what, format!("the answer is longer than {limit} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The next bytes of an answer.
    pub(super) async fn chunk(&self, what: &str, answer: &mut Response) -> Result<Option<bytes::Bytes>, Error> {
        let chunk = timeout(self.stall(), answer.chunk()).await.map_err(|_| silent(what))?;
        chunk.map_err(|error| Error::interrupted(what, &error))
    }
}

fn silent(what: &str) -> Error {
    Error::Interrupted { what: what.to_owned(), why: "the peer went silent".to_owned() }
}

/// What a registry says about a failure: `CODE: message` of its first error.
fn explain(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error = value.get("errors")?.get(0)?;
    let text = |key| error.get(key).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
    let parts: Vec<&str> = [text("code"), text("message")].into_iter().flatten().collect();
    if parts.is_empty() { None } else { Some(line(&parts.join(": "))) }
}

enum Ping {
    /// There is no such server; another scheme may work.
    Unreachable(String),
    /// There is a server, which is no registry or cannot answer now.
    Refused(Error),
}

async fn ping(http: &Client, base: &Url, patience: Duration) -> Result<Challenge, Ping> {
    let answer = timeout(patience, http.get(base.clone()).send()).await;
    let answer = answer.map_err(|_| Ping::Unreachable("no answer".to_owned()))?;
    let answer = answer.map_err(|error| Ping::Unreachable(cause(&error)))?;
    match answer.status() {
        StatusCode::OK => Ok(Challenge::None),
        StatusCode::UNAUTHORIZED => Ok(Challenge::of(answer.headers())),
        status => Err(Ping::Refused(Error::Status {
            what: base.to_string(),
            status: status.as_u16(),
            why: "a registry answers 200 or 401".to_owned(),
            retry_after: None,
        })),
    }
}
