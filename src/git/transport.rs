//! The ways to a repository: HTTP with the program's client, and `git://` over a connection of its own.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use gix_transport::Protocol;
use gix_transport::client::blocking_io::Transport;
use gix_transport::client::blocking_io::http;
use gix_transport::client::git::{self, ConnectMode};

use super::http::Caller;
use super::{Client, Remote, bounds};
use crate::codec::Bounded;
use crate::credentials::Network;

/// How long a server may be silent.
pub(super) const STALL: Duration = Duration::from_secs(60);

/// The port of `git://`.
const PORT: u16 = 9418;

/// Why a transport failed, in our words: those of the protocol's library are kept for what it finds itself.
#[derive(Clone, Default)]
pub(super) struct Fault(Arc<Mutex<Option<String>>>);

impl Fault {
    pub(super) fn set(&self, why: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.to_owned());
    }

    /// Makes one line of an error: ours, or what the library and its sources say.
    pub(super) fn explain(&self, error: &(dyn std::error::Error + 'static)) -> anyhow::Error {
        if let Some(why) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return anyhow!("{why}");
        }
        let mut parts = vec![line(&error.to_string())];
        let mut source = error.source();
        while let Some(inner) = source {
            parts.push(line(&inner.to_string()));
            source = inner.source();
        }
        parts.dedup();
        anyhow!("{}", parts.join(": "))
    }
}

/// A text of a server or about one as one line without control bytes, and not without end.
pub(super) fn line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The thread of a runtime that may be dropped anywhere: it is not waited for.
pub(super) struct Threads(Option<tokio::runtime::Runtime>);

impl Threads {
    pub(super) fn start() -> Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("git").enable_all().build();
        Ok(Threads(Some(runtime.context("a thread for the network")?)))
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(task);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Opens the way to `remote`; nothing is asked yet, except where the host is.
pub(super) fn open(client: &Client<'_>, remote: &Remote, fault: &Fault) -> Result<Box<dyn Transport>> {
    if remote.url.scheme() == "git" {
        return daemon(client.network, remote);
    }
    let url = gix_url::parse(remote.url.as_str()).map_err(|error| fault.explain(&error))?;
    let caller = Caller::new(client.network, remote, client.logins, fault)?;
    Ok(Box::new(http::Transport::new_http(caller, url, Protocol::V2, false)))
}

fn daemon(network: &Network, remote: &Remote) -> Result<Box<dyn Transport>> {
    let host = remote.url.host_str().unwrap_or_default();
    let port = remote.url.port().unwrap_or(PORT);
    let stream = connect(network, host, port).with_context(|| format!("connect to {host}:{port}"))?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))?;
    let reader = Bounded::new(stream.try_clone()?, bounds::PACK, "the server sends too much");
    let path = percent_encoding::percent_decode_str(remote.url.path()).collect::<Vec<u8>>();
    let host = (host.to_owned(), remote.url.port());
    let (version, mode) = (Protocol::V2, ConnectMode::Daemon);
    Ok(Box::new(git::blocking_io::Connection::new(reader, stream, version, path, Some(host), mode, false)))
}

/// A connection to the first address of a host that takes one.
fn connect(network: &Network, host: &str, port: u16) -> Result<TcpStream> {
    let mut last = anyhow!("the host has no address");
    for address in addresses(network, host)? {
        match TcpStream::connect_timeout(&SocketAddr::new(address, port), STALL) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

fn addresses(network: &Network, host: &str) -> Result<Vec<std::net::IpAddr>> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse() {
        return Ok(vec![address]);
    }
    let threads = Threads::start()?;
    let name: reqwest::dns::Name = host.parse().map_err(|_| anyhow!("it is no name of a host"))?;
    let found = network.names.resolve(name);
    let (sender, receiver) = std::sync::mpsc::channel();
    threads.spawn(async move {
        let found = found.await.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>());
        let _ = sender.send(found.map_err(|error| error.to_string()));
    });
    receiver.recv()?.map_err(|why| anyhow!("{why}"))
}
