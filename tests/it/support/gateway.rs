//! A server before a registry: it keeps every request, counts connections, and does with each request what the test says, from
//! passing it on to breaking off in the middle of the answer. HTTP/1.1, connections kept, encrypted if the test wants that; it
//! always speaks plain HTTP with the registry.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a connection is kept on which nothing more is said.
const SILENCE: Duration = Duration::from_secs(5);

/// The longest body that is kept for the test to read, in bytes.
const KEPT: usize = 64 << 10;

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: BTreeMap<String, String>,
    /// Empty in what is kept of a request whose body is longer than 64 KiB.
    pub body: Vec<u8>,
}

impl Request {
    /// `METHOD target`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    /// A header, empty where there is none; the name in lower case.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The registry gets it, and its answer comes back.
    Forward,
    /// The same to another address of the registry.
    ForwardTo(String),
    /// This answer instead: status, headers, body.
    Answer(u16, Vec<(String, String)>, String),
    /// The connection ends, and the registry hears nothing.
    Cut,
    /// The registry gets only so many bytes of the body, and both connections end.
    CutBody(usize),
    /// The registry gets it; of its answer only so many bytes come back, then the connection ends.
    CutAnswer(usize),
    /// The same, but the connection stays open and silent.
    Stall(usize),
    /// One byte of the answer's body is another, if there is any.
    Corrupt(usize),
    /// After `CONNECT`: bytes go to and fro between the client and this port.
    Tunnel(u16),
}

impl Verdict {
    /// An answer without headers.
    pub fn status(status: u16) -> Verdict {
        Verdict::Answer(status, Vec::new(), String::new())
    }
}

type Judge = dyn Fn(&Request) -> Verdict + Send + Sync;

struct Inner {
    port: u16,
    upstream: u16,
    judge: Box<Judge>,
    tls: Option<Arc<rustls::ServerConfig>>,
    requests: Mutex<Vec<Request>>,
    open: AtomicUsize,
    most_open: AtomicUsize,
    accepted: AtomicUsize,
}

/// A running gateway. It answers as long as the process lives.
pub struct Gateway(Arc<Inner>);

impl Gateway {
    /// One before the server on the loopback port `upstream`.
    pub fn start(upstream: u16, judge: impl Fn(&Request) -> Verdict + Send + Sync + 'static) -> Gateway {
        Gateway::listen(upstream, None, Box::new(judge))
    }

    /// The same for clients that speak TLS, which ends here.
    pub fn encrypted(
        upstream: u16,
        tls: Arc<rustls::ServerConfig>,
        judge: impl Fn(&Request) -> Verdict + Send + Sync + 'static,
    ) -> Gateway {
        Gateway::listen(upstream, Some(tls), Box::new(judge))
    }

    fn listen(upstream: u16, tls: Option<Arc<rustls::ServerConfig>>, judge: Box<Judge>) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, most_open, accepted) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let requests = Mutex::default();
        let inner = Arc::new(Inner { port, upstream, judge, tls, requests, open, most_open, accepted });
        let shared = inner.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let shared = shared.clone();
                std::thread::spawn(move || shared.connection(stream));
            }
        });
        Gateway(inner)
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// `127.0.0.1:PORT/NAME`.
    pub fn name(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.0.port)
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.0.requests.lock().unwrap().clone()
    }

    /// The lines of those requests that begin with `start`.
    pub fn lines(&self, start: &str) -> Vec<String> {
        self.requests().iter().map(Request::line).filter(|line| line.starts_with(start)).collect()
    }

    /// How many connections that brought a request there were: at a time, and in all.
    pub fn connections(&self) -> (usize, usize) {
        (self.0.most_open.load(Ordering::Relaxed), self.0.accepted.load(Ordering::Relaxed))
    }
}

/// A connection of a client.
struct Connection {
    wire: BufReader<Box<dyn Wire>>,
    socket: TcpStream,
}

/// What goes over it, encrypted or not.
trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

impl Connection {
    fn new(socket: TcpStream, tls: Option<&Arc<rustls::ServerConfig>>) -> Connection {
        let own = socket.try_clone().unwrap();
        let wire: Box<dyn Wire> = match tls {
            None => Box::new(own),
            Some(tls) => Box::new(rustls::StreamOwned::new(rustls::ServerConnection::new(tls.clone()).unwrap(), own)),
        };
        Connection { wire: BufReader::new(wire), socket }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.get_mut().write_all(bytes)?;
        self.wire.get_mut().flush()
    }
}

impl Inner {
    fn connection(&self, stream: TcpStream) {
        stream.set_read_timeout(Some(SILENCE)).ok();
        let mut client = Connection::new(stream, self.tls.as_ref());
        // The first bytes of TLS are no request, and their connection does not count.
        let Ok(Some(first)) = request(&mut client.wire) else { return };
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_open.fetch_max(open, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let mut next = Some(first);
        while let Some(asked) = next.take() {
            let is_last = asked.header("connection") == "close";
            if !self.serve(&mut client, &asked).unwrap_or(false) || is_last {
                break;
            }
            next = request(&mut client.wire).ok().flatten();
        }
        client.socket.shutdown(Shutdown::Both).ok();
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the connection is of further use.
    fn serve(&self, client: &mut Connection, asked: &Request) -> io::Result<bool> {
        let body = if asked.body.len() > KEPT { Vec::new() } else { asked.body.clone() };
        let (method, target, headers) = (asked.method.clone(), asked.target.clone(), asked.headers.clone());
        self.requests.lock().unwrap().push(Request { method, target, headers, body });
        let verdict = (self.judge)(asked);
        let whole = |target: &str| self.forward(asked, target, asked.body.len());
        match verdict {
            Verdict::Cut => Ok(false),
            Verdict::Forward => whole(&asked.target).and_then(|answer| client.write(&answer)).map(|()| true),
            Verdict::ForwardTo(target) => whole(&target).and_then(|answer| client.write(&answer)).map(|()| true),
            Verdict::Answer(status, headers, body) => {
                client.write(&own(status, &headers, &body, &asked.method)).map(|()| true)
            }
            Verdict::CutBody(length) => {
                self.forward(asked, &asked.target, length.min(asked.body.len()))?;
                Ok(false)
            }
            Verdict::CutAnswer(length) | Verdict::Stall(length) => {
                let answer = whole(&asked.target)?;
                client.write(&answer[..length.min(answer.len())])?;
                if matches!(verdict, Verdict::Stall(_)) {
                    client.wire.read_exact(&mut [0]).ok();
                }
                Ok(false)
            }
            Verdict::Corrupt(position) => {
                let mut answer = whole(&asked.target)?;
                let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
                let length = answer.len() - body;
                if length > 0 {
                    answer[body + position % length] ^= 0x20;
                }
                client.write(&answer).map(|()| true)
            }
            Verdict::Tunnel(port) => tunnel(&client.socket, port).map(|()| false),
        }
    }

    /// The registry's answer, as bytes, to a request of which it gets so many bytes of the body.
    fn forward(&self, asked: &Request, target: &str, length: usize) -> io::Result<Vec<u8>> {
        let mut upstream = TcpStream::connect(("127.0.0.1", self.upstream))?;
        upstream.set_read_timeout(Some(Duration::from_secs(20)))?;
        // HTTP/1.0: the answer's end is the connection's, and it comes in one piece.
        let mut head = format!("{} {target} HTTP/1.0\r\nconnection: close\r\n", asked.method);
        for (name, value) in asked.headers.iter().filter(|(name, _)| *name != "connection") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.tls.is_some() {
            // The registry gives out addresses of its own, and they must be those of this server.
            head.push_str("x-forwarded-proto: https\r\n");
        }
        upstream.write_all(format!("{head}\r\n").as_bytes())?;
        upstream.write_all(&asked.body[..length])?;
        if length < asked.body.len() {
            upstream.shutdown(Shutdown::Both)?;
            return Ok(Vec::new());
        }
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer)?;
        Ok(kept(answer, &asked.method))
    }
}

/// An answer of HTTP/1.0 as one after which the connection stays.
fn kept(answer: Vec<u8>, method: &str) -> Vec<u8> {
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(answer.len());
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[(end + 4).min(answer.len())..]);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default().replacen("HTTP/1.0", "HTTP/1.1", 1);
    let mut new = format!("{status}\r\n");
    let mut has_length = method == "HEAD";
    for line in lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:")) {
        has_length |= line.to_ascii_lowercase().starts_with("content-length:");
        new.push_str(&format!("{line}\r\n"));
    }
    if !has_length {
        new.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    [format!("{new}\r\n").as_bytes(), body].concat()
}

fn own(status: u16, headers: &[(String, String)], body: &str, method: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    format!("{text}\r\n{}", if method == "HEAD" { "" } else { body }).into_bytes()
}

/// The next request of a connection; none at its end.
fn request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = Vec::new();
    reader.by_ref().take(1 << 16).read_until(b'\n', &mut line)?;
    let line = String::from_utf8(line).map_err(io::Error::other)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let (method, target) = (method.to_owned(), target.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = headers.get("content-length").and_then(|length: &String| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { method, target, headers, body }))
}

fn tunnel(client: &TcpStream, port: u16) -> io::Result<()> {
    let upstream = TcpStream::connect(("127.0.0.1", port))?;
    let mut to_client = client.try_clone()?;
    to_client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let mut from_upstream = upstream.try_clone()?;
    let back = std::thread::spawn(move || {
        io::copy(&mut from_upstream, &mut to_client).ok();
        to_client.shutdown(Shutdown::Both).ok();
    });
    io::copy(&mut &*client, &mut &upstream).ok();
    upstream.shutdown(Shutdown::Both).ok();
    back.join().ok();
    Ok(())
}
