//! Small requests to the identity services of clouds, blocking. Not for registries' own business.
//!
//! Secrets travel encrypted, or not beyond this machine. A metadata server is on the machine's own link: it is asked over plain
//! HTTP, without a proxy, and where nobody said that there is one, for a second at most. No redirect is followed, and no answer
//! is quoted that could hold a secret.

mod message;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(super) use message::{Answer, Call};
use message::{headers, said};
use reqwest::{Client, Url};

/// How long an answer may take: of a metadata server, of a server that a variable names, of a service of a cloud.
const METADATA: Duration = Duration::from_secs(1);
const BESIDE: Duration = Duration::from_secs(10);
const SERVICE: Duration = Duration::from_secs(20);

/// Waits before the second and third attempt.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];

/// More bytes than this are no answer.
const LONGEST: usize = 1 << 20;

/// How hosts are found and trusted, read by the caller before a build may change the machine's files.
#[derive(Clone)]
pub struct Network {
    /// Names to addresses.
    pub names: Arc<dyn reqwest::dns::Resolve>,
    /// The certificates to trust. HTTP/1.1 is all that is spoken.
    pub tls: rustls::ClientConfig,
    /// The way to other machines, where it is not direct.
    pub proxy: Option<reqwest::Proxy>,
    /// How we are known.
    pub user_agent: String,
}

/// What kind of server is asked, which decides what is allowed and how long it may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Server {
    /// On the machine's own link, if there is one.
    Metadata,
    /// Beside the container, where the platform's variables say.
    Beside,
    /// Where a configuration says that another issuer gives out its tokens: near, or in the network.
    Issuer,
    /// In the network.
    Service,
}

/// A failed attempt.
struct Failure {
    why: String,
    may_pass: bool,
}

/// Sends requests. Connections and their thread are made at the first use: most builds need none.
pub(super) struct Http {
    network: Network,
    engine: OnceLock<Result<Engine, String>>,
    /// How long a metadata server may take.
    pub(super) metadata: Duration,
    /// In tests: a host in the network, and the local server that plays it.
    #[cfg(test)]
    pub(super) detours: Vec<(String, String)>,
}

struct Engine {
    threads: Threads,
    /// For what is near: without a proxy.
    direct: Client,
    service: Client,
}

impl Http {
    pub(super) fn new(network: Network) -> Self {
        Http {
            network,
            engine: OnceLock::new(),
            metadata: METADATA,
            #[cfg(test)]
            detours: Vec::new(),
        }
    }

    /// Sends `call` and waits for an answer of status 200. The error says whom was asked and what was wrong.
    pub(super) fn send(&self, server: Server, call: &Call) -> Result<Answer, String> {
        let host = call.url.host_str().unwrap_or_default();
        is_safe(server, &call.url)?;
        let pauses = if server == Server::Metadata { &[][..] } else { &PAUSES[..] };
        let mut pauses = pauses.iter();
        loop {
            match (self.attempt(server, call), pauses.next()) {
                (Ok(answer), _) => return Ok(answer),
                (Err(Failure { may_pass: true, .. }), Some(pause)) => std::thread::sleep(*pause),
                (Err(Failure { why, .. }), _) => return Err(format!("{host}: {why}")),
            }
        }
    }

    fn attempt(&self, server: Server, call: &Call) -> Result<Answer, Failure> {
        let engine = self.engine.get_or_init(|| Engine::start(&self.network));
        let engine = engine.as_ref().map_err(|why| Failure { why: why.clone(), may_pass: false })?;
        let request = self.request(engine.client(server, &call.url), call).timeout(self.patience(server));
        let stopped = || Failure { why: "the request was dropped".to_owned(), may_pass: false };
        let runtime = engine.threads.0.as_ref().ok_or_else(stopped)?;
        let (sender, receiver) = std::sync::mpsc::channel();
        // Not `block_on`: the caller may be a thread of another runtime.
        runtime.spawn(async move { drop(sender.send(exchange(request).await)) });
        receiver.recv().unwrap_or_else(|_| Err(stopped()))
    }

    fn patience(&self, server: Server) -> Duration {
        match server {
            Server::Metadata => self.metadata,
            Server::Beside => BESIDE,
            Server::Issuer | Server::Service => SERVICE,
        }
    }

    fn request(&self, client: &Client, call: &Call) -> reqwest::RequestBuilder {
        let (url, headers) = (call.url.clone(), headers(&call.headers));
        #[cfg(test)]
        let (url, headers) = self.detour(url, headers);
        client.request(call.method.clone(), url).headers(headers).body(call.body.clone())
    }

    #[cfg(test)]
    fn detour(&self, url: Url, mut headers: reqwest::header::HeaderMap) -> (Url, reqwest::header::HeaderMap) {
        let host = url.host_str().expect("a host").to_owned();
        let Some((_, to)) = self.detours.iter().find(|(from, _)| *from == host) else { return (url, headers) };
        let mut there = Url::parse(to).expect("an address");
        there.set_path(url.path());
        there.set_query(url.query());
        headers.insert("host", host.parse().expect("a header"));
        (there, headers)
    }
}

/// A runtime that may be dropped on any thread, also on one of another runtime: it is not waited for.
struct Threads(Option<tokio::runtime::Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    fn start(network: &Network) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("credentials")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let builder = || {
            Client::builder()
                .user_agent(&network.user_agent)
                .tls_backend_preconfigured(network.tls.clone())
                .dns_resolver(network.names.clone())
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
        };
        let direct = builder().no_proxy().build();
        let service = network.proxy.iter().cloned().fold(builder(), reqwest::ClientBuilder::proxy);
        let [direct, service] = [direct, service.build()].map(|client| client.map_err(|error| cause(&error)));
        Ok(Engine { threads: Threads(Some(runtime)), direct: direct?, service: service? })
    }

    /// Proxies are never used for this machine and its link.
    fn client(&self, server: Server, url: &Url) -> &Client {
        let in_the_network = matches!(server, Server::Issuer | Server::Service);
        if in_the_network && !is_loopback(url) && !is_on_the_link(url) { &self.service } else { &self.direct }
    }
}

/// Refuses to send a secret over plain HTTP to another machine.
fn is_safe(server: Server, url: &Url) -> Result<(), String> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if server != Server::Service || is_loopback(url) => Ok(()),
        _ => Err(format!("{}: a credential is sent over https only", url.host_str().unwrap_or(url.scheme()))),
    }
}

/// Whether the address is of this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether the address is one of the machine's own link, as those of metadata servers are (RFC 3927).
fn is_on_the_link(url: &Url) -> bool {
    url.host_str().unwrap_or_default().parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_link_local())
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
    let passing = |error: &reqwest::Error| Failure { why: cause(error), may_pass: true };
    let mut response = request.send().await.map_err(|error| passing(&error.without_url()))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| passing(&error.without_url()))? {
        if body.len() + chunk.len() > LONGEST {
            return Err(Failure { why: format!("the answer is longer than {LONGEST} bytes"), may_pass: false });
        }
        body.extend_from_slice(&chunk);
    }
    if status == reqwest::StatusCode::OK {
        return Ok(Answer { headers, body });
    }
    let said = said(&body).map(|text| format!(" ({text})")).unwrap_or_default();
    let may_pass = status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS;
    Err(Failure { why: format!("answered {}{said}", status.as_u16()), may_pass })
}

/// The innermost reasons of a network error, in one line.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(inner) = source {
        parts.push(inner.to_string());
        source = inner.source();
    }
    parts.dedup();
    parts.join(": ")
}
