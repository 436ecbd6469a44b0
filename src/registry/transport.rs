//! HTTP: one reqwest client and so one pool of connections a registry, on a rustls configuration of our own.
//!
//! reqwest's default client is never used: where there are no certificate files, as in an image made from scratch, building it
//! fails even for plain HTTP. HTTP/2 where a registry offers it, with windows that its flow control does not fill, and with pings:
//! a request that is tried again would find the connection of a dead peer still in the pool.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use tokio::sync::Semaphore;

use super::Error;
use super::error::cause;
use super::names::Names;
use super::patience::{Backoff, Timeouts};
use super::policy::{Certificate, Policy, Protocols, canonical};
use super::proxy::Proxies;
use super::tls;
use super::trust::Trust;
use crate::credentials::Network;

/// How registries know us.
const USER_AGENT: &str = concat!("silt/", env!("CARGO_PKG_VERSION"));

/// How much of a stream of HTTP/2 may be under way before we have read it, in bytes.
const STREAM_WINDOW: u32 = 4 << 20;

/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// What connections to registries are made of.
pub(super) struct Transport {
    pub(super) timeouts: Timeouts,
    pub(super) backoff: Backoff,
    connections: usize,
    protocols: Protocols,
    user_agent: String,
    proxies: Proxies,
    trust: Trust,
    names: Names,
    lines: Mutex<BTreeMap<(String, Certificate), Line>>,
}

/// The connections to one registry, and the permits to use one of them.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) http: reqwest::Client,
    pub(super) permits: Arc<Semaphore>,
}

impl Transport {
    /// Reads the machine's certificates and name servers now, before a build may change them.
    pub(super) fn new(policy: &Policy) -> Result<Self, Error> {
        let client_type = policy.client_type.iter().map(|kind| format!(",{kind}"));
        Ok(Transport {
            timeouts: policy.timeouts,
            backoff: policy.backoff,
            connections: policy.connections.max(1),
            protocols: policy.protocols,
            user_agent: std::iter::once(USER_AGENT.to_owned()).chain(client_type).collect(),
            proxies: policy.proxies.clone(),
            trust: Trust::read(&policy.authorities, &policy.registry_certificates, &policy.client_certificates)?,
            names: Names::of_machine(),
            lines: Mutex::default(),
        })
    }

    /// The line to a registry, the same for all who want the same.
    pub(super) fn line(&self, registry: &str, certificate: Certificate) -> Result<Line, Error> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (canonical(registry), certificate);
        if let Some(line) = lines.get(&key) {
            return Ok(line.clone());
        }
        let permits = Arc::new(Semaphore::new(self.connections));
        let line = Line { http: self.client(&key.0, certificate)?, permits };
        lines.insert(key, line.clone());
        Ok(line)
    }

    /// The same trust, names and proxies, for those who look for credentials.
    pub(super) fn network(&self) -> Result<Network, Error> {
        let proxies = self.proxies.clone();
        Ok(Network {
            names: Arc::new(self.names.clone()),
            tls: tls::config(&self.trust, "", Certificate::Verified, Protocols::Http1)?,
            proxy: Some(reqwest::Proxy::custom(move |url: &Url| proxies.of(url).cloned())),
            user_agent: self.user_agent.clone(),
        })
    }

    fn client(&self, registry: &str, certificate: Certificate) -> Result<reqwest::Client, Error> {
        let proxies = self.proxies.clone();
        let builder = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .tls_backend_preconfigured(tls::config(&self.trust, registry, certificate, self.protocols)?)
            .dns_resolver(self.names.clone())
            .connect_timeout(self.timeouts.connect)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(self.timeouts.stall / 4)
            .http2_keep_alive_timeout(self.timeouts.stall / 4)
            .http2_keep_alive_while_idle(true)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .proxy(reqwest::Proxy::custom(move |url: &Url| proxies.of(url).cloned()))
            .redirect(reqwest::redirect::Policy::none());
        builder.build().map_err(|error| Error::Setup(cause(&error)))
    }
}
