//! Small requests to the identity services of clouds, blocking. Not for registries' own business.
//!
//! Secrets travel encrypted, or not beyond this machine. A metadata server is on the machine's own link: it is asked over plain
//! HTTP, without a proxy, and where nobody said that there is one, for a second at most. No redirect is followed, and no answer
//! is quoted that could hold a secret.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;

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
    /// The certificates to trust.
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
    /// In the network.
    Service,
}

impl Server {
    fn patience(self) -> Duration {
        match self {
            Server::Metadata => METADATA,
            Server::Beside => BESIDE,
            Server::Service => SERVICE,
        }
    }
}

/// A request.
pub(super) struct Call {
    method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Call {
    /// `GET address`.
    pub(super) fn get(address: &str) -> Result<Self, String> {
        let url = Url::parse(address).map_err(|error| format!("the address {address:?}: {error}"))?;
        Ok(Call { method: Method::GET, url, headers: Vec::new(), body: Vec::new() })
    }

    /// `PUT address` without a body.
    pub(super) fn put(address: &str) -> Result<Self, String> {
        Ok(Call { method: Method::PUT, ..Call::get(address)? })
    }

    /// `POST address` with a body of `kind`.
    pub(super) fn post(address: &str, kind: &str, body: impl Into<Vec<u8>>) -> Result<Self, String> {
        let call = Call { method: Method::POST, body: body.into(), ..Call::get(address)? };
        Ok(call.header("content-type", kind))
    }

    /// `POST address` with the fields of a form.
    pub(super) fn form(address: &str, fields: &[(&str, &str)]) -> Result<Self, String> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Call::post(address, "application/x-www-form-urlencoded", body)
    }

    /// With one more header.
    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// What came back with status 200.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON of the form that is wanted.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        // The message of the reader might quote a secret.
        serde_json::from_slice(&self.body).map_err(|_| "the answer is malformed".to_owned())
    }

    /// The body as a text.
    pub(super) fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(&self.body).map(str::trim).map_err(|_| "the answer is not a text".to_owned())
    }
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
        let request = self.request(engine.client(server, &call.url), call).timeout(server.patience());
        let stopped = || Failure { why: "the request was dropped".to_owned(), may_pass: false };
        let runtime = engine.threads.0.as_ref().ok_or_else(stopped)?;
        let (sender, receiver) = std::sync::mpsc::channel();
        // Not `block_on`: the caller may be a thread of another runtime.
        runtime.spawn(async move { drop(sender.send(exchange(request).await)) });
        receiver.recv().unwrap_or_else(|_| Err(stopped()))
    }

    fn request(&self, client: &Client, call: &Call) -> reqwest::RequestBuilder {
        let (url, headers) = (call.url.clone(), headers(&call.headers));
        #[cfg(test)]
        let (url, headers) = self.detour(url, headers);
        client.request(call.method.clone(), url).headers(headers).body(call.body.clone())
    }

    #[cfg(test)]
    fn detour(&self, url: Url, mut headers: HeaderMap) -> (Url, HeaderMap) {
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
        let mut tls = network.tls.clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let builder = || {
            Client::builder()
                .user_agent(&network.user_agent)
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(network.names.clone())
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
        };
        let direct = builder().no_proxy().build();
        let service = network.proxy.iter().cloned().fold(builder(), reqwest::ClientBuilder::proxy);
        let [direct, service] = [direct, service.build()].map(|client| client.map_err(|error| cause(&error)));
        Ok(Engine { threads: Threads(Some(runtime)), direct: direct?, service: service? })
    }

    /// Proxies are never used for this machine.
    fn client(&self, server: Server, url: &Url) -> &Client {
        if server != Server::Service || is_loopback(url) { &self.direct } else { &self.service }
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
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn headers(pairs: &[(String, String)]) -> HeaderMap {
    let header = |(name, value): &(String, String)| {
        let mut value = HeaderValue::try_from(value.as_str()).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name.as_str()).ok()?, value))
    };
    pairs.iter().filter_map(header).collect()
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

/// What a service says about a failure, as OAuth (RFC 6749, section 5.2), Google, Amazon and registries do: codes and descriptions.
fn said(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error =
        value.get("errors").and_then(|errors| errors.get(0)).or_else(|| value.get("error").filter(|e| e.is_object()));
    let from = error.unwrap_or(&value);
    let names = ["error", "__type", "code", "status", "error_description", "message", "Message"];
    let words: Vec<&str> =
        names.iter().filter_map(|name| from.get(name)?.as_str()).filter(|word| !word.is_empty()).collect();
    let text: String =
        words.join(": ").chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(300).collect();
    if text.is_empty() { None } else { Some(text) }
}

/// The innermost reasons of a network error, in one line.
fn cause(error: &dyn std::error::Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(inner) = source {
        parts.push(inner.to_string());
        source = inner.source();
    }
    parts.dedup();
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::fake::{self, Fake, network};

    #[test]
    fn secrets_are_not_sent_in_the_open() {
        let check = |server, url: &str, expected| {
            assert_eq!(is_safe(server, &Url::parse(url).expect("url")).is_ok(), expected, "{url}");
        };
        check(Server::Service, "https://sts.example/", true);
        check(Server::Service, "http://sts.example/", false);
        check(Server::Service, "http://127.0.0.1:1/", true);
        check(Server::Service, "http://localhost/", true);
        check(Server::Service, "http://[::1]:3/", true);
        check(Server::Service, "http://localhost.example/", false);
        check(Server::Service, "ftp://127.0.0.1/", false);
        check(Server::Metadata, "http://169.254.169.254/", true);
        check(Server::Metadata, "file:///etc/passwd", false);
    }

    #[test]
    fn what_services_say() {
        let check =
            |body: &str, expected: Option<&str>| assert_eq!(said(body.as_bytes()).as_deref(), expected, "{body}");
        check(r#"{"error":"invalid_grant","error_description":"Bad\nRequest"}"#, Some("invalid_grant: Bad Request"));
        check(r#"{"error":{"code":403,"message":"No","status":"DENIED"}}"#, Some("DENIED: No"));
        check(r#"{"__type":"ExpiredTokenException","message":"old"}"#, Some("ExpiredTokenException: old"));
        check(r#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#, Some("UNAUTHORIZED: no"));
        check(r#"{"access_token":"hunter2"}"#, None);
        check("<html>", None);
    }

    #[test]
    fn a_server_that_was_named_may_think_and_the_metadata_server_may_not() {
        let slow = Fake::start(|_| {
            std::thread::sleep(Duration::from_millis(1300));
            fake::Answer::ok("late")
        });
        let http = Http::new(network());
        let call = Call::get(&slow.address).expect("an address");
        assert!(http.send(Server::Metadata, &call).is_err());
        assert_eq!(http.send(Server::Beside, &call).map(|answer| answer.body), Ok(b"late".to_vec()));
    }

    #[test]
    fn services_are_reached_through_the_proxy_and_nothing_near_is() {
        let proxy = Fake::start(|_| fake::Answer(403, Vec::new(), String::new()));
        let near = Fake::start(|_| fake::Answer::ok("near"));
        let way = reqwest::Proxy::all(&proxy.address).expect("a proxy");
        let http = Http::new(Network { proxy: Some(way), ..network() });
        let call = |address: &str| Call::get(address).expect("an address");
        for server in [Server::Metadata, Server::Beside, Server::Service] {
            assert!(http.send(server, &call(&near.address)).is_ok(), "{server:?}");
        }
        assert!(proxy.requests().is_empty());
        assert!(http.send(Server::Service, &call("https://sts.example/")).is_err());
        assert_eq!(proxy.lines(), ["CONNECT sts.example:443"; 3], "once and two attempts more");
    }

    #[test]
    fn a_caller_may_be_on_a_thread_of_another_runtime() {
        let fake = Fake::start(|_| fake::Answer::ok("yes"));
        let http = Http::new(network());
        let call = Call::get(&fake.address).expect("an address");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let answer = runtime.block_on(async { http.send(Server::Service, &call) });
        assert_eq!(answer.map(|answer| answer.body), Ok(b"yes".to_vec()));
        runtime.block_on(async { drop(http) });
    }
}
