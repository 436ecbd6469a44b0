//! One registry: where it is, how it is spoken to, and requests that show what it wants to see.
//!
//! What authorises a request goes only to the scheme, host and port that asked for it, after a redirect too. No request outlasts a
//! peer that went silent, and there are never more requests under way than connections allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tokio::time::timeout;

use super::answer::{Answer, retry_after, silent};
use super::auth::{Access, Challenge};
use super::authorization::{Authorization, Proof};
use super::error::{cause, is_lasting};
use super::line::Line;
use super::lines::Lines;
use super::patience::{Backoff, Timeouts};
use super::policy::Certificate;
use super::progress::Progress;
use super::redirect::{self, Method};
use super::retry::retry;
use super::transport::Transport;
use super::{Error, Finder};

/// A registry that has answered.
pub(super) struct Endpoint {
    base: Url,
    lines: Lines,
    authorization: Authorization,
    timeouts: Timeouts,
    backoff: Backoff,
    largest_body: AtomicU64,
}

/// A request that can be made more than once.
pub(super) struct Ask<'a, B> {
    /// What it is for, in messages.
    pub(super) what: &'a str,
    /// What it does with which repository.
    pub(super) access: &'a Access,
    /// How far its body is, where that is large.
    pub(super) progress: Option<&'a Progress>,
    /// Whether it is repeated at every address that it is redirected to.
    pub(super) method: Method,
    /// Makes it.
    pub(super) build: B,
}

impl Endpoint {
    /// Finds out which of `schemes` the registry speaks and what it wants to see.
    pub(super) async fn connect(
        transport: &Arc<Transport>,
        finder: &Arc<Finder>,
        registry: &str,
        schemes: &[&str],
        certificate: Certificate,
    ) -> Result<Self, Error> {
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let lines = Lines::new(transport, registry, host, certificate);
        let (timeouts, backoff) = (transport.timeouts, transport.backoff);
        let bases = bases(host, schemes)?;
        let find = async || find(&lines, registry, &bases, timeouts.stall).await;
        let (base, challenge) = retry(&backoff, find).await?;
        let authorization = Authorization::new(registry, &base, &lines, timeouts, finder, challenge);
        Ok(Endpoint { base, lines, authorization, timeouts, backoff, largest_body: AtomicU64::new(u64::MAX) })
    }

    /// The address of `path` below `/v2/`.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{path}"));
        url
    }

    pub(super) fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// Whether the registry has asked who we are, up to now.
    pub(super) async fn asks_who_we_are(&self) -> bool {
        self.authorization.was_asked_for().await
    }

    /// The largest body that the registry takes in one request, in bytes, as far as it is known.
    pub(super) fn largest_body(&self) -> u64 {
        self.largest_body.load(Ordering::Relaxed)
    }

    /// Remembers that it takes no larger one.
    pub(super) fn limit_body(&self, bytes: u64) {
        self.largest_body.fetch_min(bytes.max(1), Ordering::Relaxed);
    }

    /// A request without a body, which only reads.
    pub(super) async fn get(
        &self,
        what: &str,
        access: &Access,
        url: &Url,
        build: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Answer, Error> {
        let ask = Ask {
            what,
            access,
            progress: None,
            method: Method::Reading,
            build: |http: &Client, url| Ok(build(http, url)),
        };
        self.send(url, &ask).await
    }

    /// Sends a request, with what authorises it; once more with something else if that is refused.
    ///
    /// Only what never got an answer is an error: the caller judges the status.
    pub(super) async fn send<B>(&self, url: &Url, ask: &Ask<'_, B>) -> Result<Answer, Error>
    where
        B: Fn(&Client, Url) -> Result<RequestBuilder, Error>,
    {
        let proof = self.authorization.proof(ask.what, ask.access).await?;
        let answer = self.follow(url, ask, &proof).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !self.is_own(answer.url()) {
            return Ok(answer);
        }
        // Asking for a token needs a connection too.
        let answer = answer.settled(ask.what).await?;
        let challenge = Challenge::of(answer.headers());
        match self.authorization.other_proof(ask.what, ask.access, challenge, &proof).await? {
            None => Ok(answer),
            Some(proof) => self.follow(url, ask, &proof).await,
        }
    }

    /// Sends a request where it is redirected to.
    async fn follow<B>(&self, url: &Url, ask: &Ask<'_, B>, proof: &Proof) -> Result<Answer, Error>
    where
        B: Fn(&Client, Url) -> Result<RequestBuilder, Error>,
    {
        let (mut url, mut hops) = (url.clone(), 0);
        loop {
            let turn = self.lines.to(&url)?.turn().await;
            let request = (ask.build)(turn.http(), url.clone())?;
            let response = self.send_once(ask.what, proof, ask.progress, turn.http(), request).await?;
            let next = redirect::next(ask.what, &response, ask.method, hops)?;
            let answer = Answer::new(response, turn, self.timeouts.stall, proof.identity.clone());
            match next {
                None => return Ok(answer),
                Some(next) => (url, hops) = (next, hops + 1),
            }
            answer.finish().await;
        }
    }

    async fn send_once(
        &self,
        what: &str,
        proof: &Proof,
        progress: Option<&Progress>,
        http: &Client,
        request: RequestBuilder,
    ) -> Result<Response, Error> {
        let mut request = request.build().map_err(|error| Error::interrupted(what, &error))?;
        if let Some(value) = proof.value.clone().filter(|_| self.is_own(request.url())) {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answer = self.watch(http.execute(request), progress).await;
        let answer = answer.ok_or_else(|| silent(what))?;
        answer.map_err(|error| Error::interrupted(what, &error))
    }

    /// Waits for an answer as long as bytes go out. `None` if the peer went silent.
    async fn watch<T>(&self, answer: impl Future<Output = T>, progress: Option<&Progress>) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        let sent = || progress.map_or(0, Progress::done);
        loop {
            let before = sent();
            let all_sent = progress.is_some_and(Progress::is_complete);
            let patience = if all_sent { self.timeouts.commit } else { self.timeouts.stall };
            match timeout(patience, &mut answer).await {
                Ok(answer) => return Some(answer),
                Err(_) if sent() == before => return None,
                Err(_) => {}
            }
        }
    }

    /// Whether an address is the registry's own, and so may see what authorises us.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }
}

/// Where a registry can be, best first.
fn bases(host: &str, schemes: &[&str]) -> Result<Vec<Url>, Error> {
    let base = |scheme: &&str| {
        let base = format!("{scheme}://{host}/v2/");
        Url::parse(&base).map_err(|error| Error::Setup(format!("{base}: {error}")))
    };
    schemes.iter().map(base).collect()
}

/// The base address of a registry, and what it wants to see.
async fn find(lines: &Lines, registry: &str, bases: &[Url], patience: Duration) -> Result<(Url, Challenge), Error> {
    let mut failures = Vec::new();
    let mut lasting = true;
    for base in bases {
        let scheme = base.scheme();
        match ping(&lines.to(base)?, base, patience).await {
            Ok(challenge) => {
                if !failures.is_empty() {
                    tracing::warn!("speaking plain HTTP with {registry} ({})", failures.join("; "));
                }
                return Ok((base.clone(), challenge));
            }
            Err(Ping::Unreachable { why, is_lasting }) => {
                failures.push(format!("{scheme}: {why}"));
                lasting &= is_lasting;
            }
            Err(Ping::Refused(error)) if failures.is_empty() => return Err(error),
            Err(Ping::Refused(error)) => {
                lasting &= !error.is_transient();
                failures.push(format!("{scheme}: {error}"));
            }
        }
    }
    Err(Error::Unreachable { registry: registry.to_owned(), why: failures.join("; "), lasting })
}

enum Ping {
    /// There is no such server; another scheme may work.
    Unreachable { why: String, is_lasting: bool },
    /// There is a server, which is no registry or cannot answer now.
    Refused(Error),
}

async fn ping(line: &Arc<Line>, base: &Url, patience: Duration) -> Result<Challenge, Ping> {
    let turn = line.clone().turn().await;
    let answer = timeout(patience, turn.http().get(base.clone()).send()).await;
    let unreachable = |why: String, is_lasting| Ping::Unreachable { why, is_lasting };
    let answer = answer.map_err(|_| unreachable("no answer".to_owned(), false))?;
    let answer = answer.map_err(|error| unreachable(cause(&error), is_lasting(&error)))?;
    let answer = Answer::new(answer, turn, patience, String::new());
    let found = match answer.status() {
        StatusCode::OK => Ok(Challenge::None),
        StatusCode::UNAUTHORIZED => Ok(Challenge::of(answer.headers())),
        status => Err(Ping::Refused(Error::Status {
            what: base.to_string(),
            status: status.as_u16(),
            why: "a registry answers 200 or 401".to_owned(),
            retry_after: retry_after(answer.headers()),
        })),
    };
    answer.finish().await;
    found
}
