//! HTTP: reqwest on a rustls configuration of our own, and one line of connections a host.
//!
//! reqwest's default client is never used: where there are no certificate files, as in an image made from scratch, building it
//! fails even for plain HTTP. HTTP/2 where a registry offers it, with windows that its flow control does not fill, and with pings:
//! a request that is tried again would find the connection of a dead peer still in the pool.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;

use super::Error;
use super::error::cause;
use super::line::Line;
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
    lines: Mutex<BTreeMap<(String, String, Certificate), Arc<Line>>>,
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

    /// The line to `host` (`host[:port]`), which is the registry or a place that it sends us to; the same for all who want the same.
    /// Such a place is trusted as the registry is, but what we show to the registry is not shown there.
    pub(super) fn line(&self, registry: &str, host: &str, certificate: Certificate) -> Result<Arc<Line>, Error> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (canonical(registry), canonical(host), certificate);
        if let Some(line) = lines.get(&key) {
            return Ok(line.clone());
        }
        let tls =
            tls::config(self.trust.roots(&key.0, &key.1), self.trust.identity(&key.1), certificate, self.protocols)?;
        let clients = (0..self.connections).map(|_| self.client(tls.clone())).collect::<Result<_, _>>()?;
        let line = Line::new(clients);
        lines.insert(key, line.clone());
        Ok(line)
    }

    /// The line to where an address is that no registry sent us to.
    pub(super) fn line_of(&self, url: &Url) -> Result<Arc<Line>, Error> {
        let host = host_and_port(url);
        self.line(&host, &host, Certificate::Verified)
    }

    /// The same trust, names and proxies, for those who look for credentials.
    pub(super) fn network(&self) -> Result<Network, Error> {
        let proxies = self.proxies.clone();
        Ok(Network {
            names: Arc::new(self.names.clone()),
            tls: tls::config(self.trust.roots("", ""), None, Certificate::Verified, Protocols::Http1)?,
            proxy: Some(reqwest::Proxy::custom(move |url: &Url| proxies.of(url).cloned())),
            user_agent: self.user_agent.clone(),
        })
    }

    fn client(&self, tls: rustls::ClientConfig) -> Result<reqwest::Client, Error> {
        let proxies = self.proxies.clone();
        let builder = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .tls_backend_preconfigured(tls)
            .pool_max_idle_per_host(1)
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

/// The host of an address, with its port where that is not the usual one.
pub(super) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"))
}
