//! A registry for tests that answers as told, so that what real ones rarely do can be shown to us. HTTP/1.1, one request a
//! connection, every request kept.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came in.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// `METHOD target`.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is sent back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    length: usize,
    /// The answer stops here until the peer has gone.
    silent: bool,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Answer { status, headers: Vec::new(), body: Vec::new(), length: 0, silent: false }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.length = self.body.len();
        self
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Promises more bytes than are sent.
    pub(super) fn promising(mut self, length: usize) -> Self {
        self.length = length;
        self
    }

    /// Keeps the connection open and sends nothing more.
    pub(super) fn silent(mut self) -> Self {
        self.silent = true;
        self
    }
}

/// A running fake.
pub(super) struct Fake {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    /// Answers with `handler`, which also gets the fake's own address (`http://127.0.0.1:PORT`), for as long as the process lives.
    pub(super) fn start(handler: impl Fn(&Request, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (requests, handler) = (Arc::new(Mutex::new(Vec::new())), Arc::new(handler));
        let kept = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let (kept, handler) = (kept.clone(), handler.clone());
                std::thread::spawn(move || serve(stream, port, &kept, &*handler));
            }
        });
        Fake { port, requests }
    }

    /// `127.0.0.1:PORT/name`.
    pub(super) fn name(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Every request so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("requests").clone()
    }

    /// The lines of those requests that begin with `start`.
    pub(super) fn lines(&self, start: &str) -> Vec<String> {
        self.requests().iter().map(Request::line).filter(|line| line.starts_with(start)).collect()
    }
}

fn serve(stream: TcpStream, port: u16, kept: &Mutex<Vec<Request>>, handler: &dyn Fn(&Request, &str) -> Answer) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let Some(request) = read(&stream) else { return };
    let answer = handler(&request, &format!("http://127.0.0.1:{port}"));
    kept.lock().expect("requests").push(request.clone());
    let mut text = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
    if request.method != "HEAD" || answer.length > 0 {
        text.push_str(&format!("Content-Length: {}\r\n", answer.length));
    }
    answer.headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    text.push_str("\r\n");
    let mut stream = stream;
    if !(answer.silent && answer.body.is_empty()) {
        stream.write_all(text.as_bytes()).ok();
    }
    if request.method != "HEAD" {
        stream.write_all(&answer.body).ok();
    }
    if answer.silent {
        stream.read_exact(&mut [0]).ok();
    }
}

/// The request on a connection; none for the first bytes of TLS.
fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = headers.get("content-length").and_then(|length: &String| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, target, headers, body })
}
