//! A server for tests that plays an identity service: it keeps every request and answers as told. HTTP/1.1, one request a connection.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::cloud::Cloud;
use super::http::Http;
use super::{Environment, Network};

/// A request as it came in.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The fields of the form in the body, which must be one.
    pub(super) fn form(&self) -> BTreeMap<String, String> {
        assert_eq!(self.header("content-type"), "application/x-www-form-urlencoded", "{}", self.line);
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// Status, headers and body of an answer.
pub(super) struct Answer(pub(super) u16, pub(super) Vec<(&'static str, String)>, pub(super) String);

impl Answer {
    pub(super) fn ok(body: impl Into<String>) -> Self {
        Answer(200, Vec::new(), body.into())
    }
}

/// A running fake.
pub(super) struct Fake {
    pub(super) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    /// Answers with `handler` for as long as the process lives.
    pub(super) fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                serve(stream, &kept, &handler);
            }
        });
        Fake { address, requests }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("requests").clone()
    }

    /// The first lines of all requests, without the protocol.
    pub(super) fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Request>>, handler: &impl Fn(&Request) -> Answer) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let Some(request) = read(&stream) else { return };
    kept.lock().expect("requests").push(request.clone());
    let Answer(status, headers, body) = handler(&request);
    let mut text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{text}\r\n{body}").as_bytes()).ok();
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim_end().strip_suffix(" HTTP/1.1")?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length: &String| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line, headers, body: String::from_utf8(body).ok()? })
}

/// Finds no name at all: tests stay on this machine.
struct NoNames;

impl reqwest::dns::Resolve for NoNames {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let why = format!("a test asks for {:?}", name.as_str());
        Box::pin(async { Err(why.into()) })
    }
}

/// A network without names and without anybody to trust.
pub(super) fn network() -> Network {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Network { names: Arc::new(NoNames), tls, proxy: None, user_agent: "silt-test".to_owned() }
}

/// Runs `test` with what a cloud's code gets in this environment. Requests to hosts of `detours` go to the server beside them.
/// A metadata server may take its time, since this machine may be busy.
pub(super) fn with_cloud<T>(
    variables: &[(&str, &str)],
    detours: &[(&str, &Fake)],
    test: impl FnOnce(&Cloud<'_>) -> T,
) -> T {
    let mut http = Http::new(network());
    http.detours = detours.iter().map(|(host, fake)| ((*host).to_owned(), fake.address.clone())).collect();
    http.metadata = Duration::from_secs(20);
    with_http(&http, variables, test)
}

/// The same without detours, and as impatient as in earnest.
pub(super) fn with_hasty_cloud<T>(variables: &[(&str, &str)], test: impl FnOnce(&Cloud<'_>) -> T) -> T {
    with_http(&Http::new(network()), variables, test)
}

fn with_http<T>(http: &Http, variables: &[(&str, &str)], test: impl FnOnce(&Cloud<'_>) -> T) -> T {
    let environment: Environment = variables.iter().copied().collect();
    let (profiles, adc) = (super::aws::Profiles::read(&environment), super::google::Adc::read(&environment));
    test(&Cloud { environment: &environment, http, profiles: &profiles, adc: &adc })
}
