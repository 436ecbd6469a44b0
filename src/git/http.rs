//! HTTP for the git protocol (gitprotocol-http(5)), over the program's own client: its trust, its names, its proxies.
//!
//! A credential goes with requests to the host that it is for, and over TLS or to this machine alone. Only the first request
//! follows redirects, as git does it, never from HTTPS to HTTP, and what comes after goes to where it led. A request is sent
//! when its answer is read.

use std::any::Any;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use gix_error::{ErrorExt as _, Message};
use gix_transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::address::host;
use super::body::{Body, PIECES, hand_over};
use super::transport::{Fault, STALL, Threads};
use super::{Login, Logins, Remote, bounds};
use crate::credentials::{Network, cause, is_loopback};

const MOST_REDIRECTS: u32 = 5;

/// What a repository is spoken to with.
#[derive(Clone)]
pub(super) struct Caller {
    threads: Arc<Threads>,
    client: reqwest::Client,
    remote: Remote,
    logins: Logins,
    fault: Fault,
    /// Where the first request was redirected to.
    moved: Option<String>,
}

impl Caller {
    pub(super) fn new(network: &Network, remote: &Remote, logins: &Logins, fault: &Fault) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(network.tls.clone())
            .dns_resolver(network.names.clone())
            .connect_timeout(STALL)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none());
        let builder = network.proxy.iter().cloned().fold(builder, reqwest::ClientBuilder::proxy);
        Ok(Caller {
            threads: Arc::new(Threads::start()?),
            client: builder.build()?,
            remote: remote.clone(),
            logins: logins.clone(),
            fault: fault.clone(),
            moved: None,
        })
    }

    /// Sends a request and waits for the head of its answer.
    fn send(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Vec<u8>,
        most: u64,
    ) -> Result<Answer, String> {
        let mut request = self.client.request(method.clone(), url.clone()).headers(headers.clone()).body(body);
        if let Some(login) = self.login(url)? {
            let mut value = HeaderValue::from_str(login.value()).map_err(|_| "its credential is no header's value")?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        let (pieces, waiting) = tokio::sync::mpsc::channel(PIECES);
        self.threads.spawn(async move {
            match tokio::time::timeout(STALL, request.send()).await {
                Err(_) => drop(sender.send(Err("the server went silent".to_owned()))),
                Ok(Err(error)) => drop(sender.send(Err(cause(&error.without_url())))),
                Ok(Ok(answer)) => {
                    let _ = sender.send(Ok((answer.status(), answer.headers().clone())));
                    hand_over(answer, pieces).await;
                }
            }
        });
        let (status, headers) = receiver.recv().map_err(|_| "the request was dropped".to_owned())??;
        Ok(Answer { status, headers, body: Body::new(waiting, most) })
    }

    /// The login for an address: its host's, or that of the repository's own address for its host.
    fn login(&self, url: &Url) -> Result<Option<&Login>, String> {
        let is_own = self.remote.url.origin() == url.origin();
        let login = self.remote.login.as_ref().filter(|_| is_own).or_else(|| self.logins.of(&host(url)));
        let is_safe = url.scheme() == "https" || is_loopback(url);
        if login.is_some() && !is_safe {
            return Err(format!("a credential for {} is sent over https only", host(url)));
        }
        Ok(login)
    }

    /// The first request, which may be redirected.
    fn first(&mut self, url: &str, headers: &HeaderMap) -> Result<Answer, String> {
        let mut url = Url::parse(url).map_err(|error| error.to_string())?;
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.send(&Method::GET, &url, headers, Vec::new(), bounds::LISTING)?;
            if !answer.status.is_redirection() {
                return self.judge(answer, &url);
            }
            url = self.redirected(&answer, &url)?;
        }
        Err("too many redirects".to_owned())
    }

    fn redirected(&mut self, answer: &Answer, from: &Url) -> Result<Url, String> {
        let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| from.join(location).ok()).ok_or("a redirect leads nowhere")?;
        let is_downgrade = from.scheme() == "https" && next.scheme() != "https";
        if is_downgrade || !matches!(next.scheme(), "https" | "http") {
            return Err("a redirect from HTTPS to something else is not followed".to_owned());
        }
        let base = next.as_str().strip_suffix("/info/refs?service=git-upload-pack");
        self.moved = Some(base.ok_or("it is redirected to what is no git repository")?.to_owned());
        Ok(next)
    }

    fn judge(&self, answer: Answer, url: &Url) -> Result<Answer, String> {
        let asked = if self.login(url)?.is_some() {
            "with the credential that was given"
        } else {
            "without a credential; --secret id=GIT_AUTH_TOKEN gives one"
        };
        match answer.status {
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(format!("{} answers {} (it was asked {asked})", host(url), answer.status.as_u16()))
            }
            StatusCode::NOT_FOUND => Err(format!("{} answers 404: there is no such repository", host(url))),
            status => Err(format!("{} answers {}", host(url), status.as_u16())),
        }
    }

    fn failed(&self, why: String) -> gix_error::Error {
        self.fault.set(&why);
        Message::new(why).raise()
    }
}

/// The head of an answer, and its body.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
}

impl Answer {
    /// The headers that matter to the protocol, as lines.
    fn lines(&self) -> Cursor<Vec<u8>> {
        let value = self.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        Cursor::new([b"content-type: ", value, b"\n"].concat())
    }
}

impl Http for Caller {
    type Headers = Head;
    type ResponseBody = Reply;
    type PostBody = Question;

    fn get(
        &mut self,
        url: &str,
        _base: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix_error::Result<GetResponse<Head, Reply>> {
        let answer = self.first(url, &read(headers)).map_err(|why| self.failed(why))?;
        let exchange = Exchange::shared(State::from(answer));
        Ok(GetResponse { headers: Head::new(&exchange), body: Reply::new(&exchange) })
    }

    fn post(
        &mut self,
        url: &str,
        _base: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix_error::Result<PostResponse<Head, Reply, Question>> {
        let url = Url::parse(url).map_err(|error| self.failed(error.to_string()))?;
        let (caller, headers) = (self.clone(), read(headers));
        let exchange = Exchange::shared(State::Asked(Box::new(Ask { caller, url, headers, body: Vec::new() })));
        Ok(PostResponse {
            post_body: Question(exchange.clone()),
            headers: Head::new(&exchange),
            body: Reply::new(&exchange),
        })
    }

    fn configure(&mut self, _config: &dyn Any) -> gix_error::Result {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.moved.clone()
    }
}

/// A request that is being written, and the answer to it.
struct Exchange(State);

type Shared = Arc<Mutex<Exchange>>;

enum State {
    Asked(Box<Ask>),
    Answered(Answered),
}

/// The head and the body of an answer, until each is taken.
struct Answered {
    head: Option<Cursor<Vec<u8>>>,
    body: Option<Body>,
}

impl From<Answer> for State {
    fn from(answer: Answer) -> Self {
        State::Answered(Answered { head: Some(answer.lines()), body: Some(answer.body) })
    }
}

struct Ask {
    caller: Caller,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Ask {
    fn send(&mut self) -> io::Result<State> {
        let body = std::mem::take(&mut self.body);
        let answer = self.caller.send(&Method::POST, &self.url, &self.headers, body, bounds::PACK);
        let answer = answer.and_then(|answer| self.caller.judge(answer, &self.url)).map_err(|why| {
            self.caller.fault.set(&why);
            io::Error::other(why)
        })?;
        Ok(State::from(answer))
    }
}

impl Exchange {
    fn shared(state: State) -> Shared {
        Arc::new(Mutex::new(Exchange(state)))
    }

    /// The answer; the request is sent for it.
    fn answered(&mut self) -> io::Result<&mut Answered> {
        if let State::Asked(ask) = &mut self.0 {
            self.0 = ask.send()?;
        }
        match &mut self.0 {
            State::Answered(answered) => Ok(answered),
            State::Asked(_) => Err(io::Error::other("the request was not sent")),
        }
    }
}

/// Where a request's body is written.
pub(super) struct Question(Shared);

impl Write for Question {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).0 {
            State::Asked(ask) => ask.body.extend_from_slice(bytes),
            State::Answered(..) => return Err(io::Error::other("the request was sent")),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The head of an answer, as lines.
pub(super) struct Head {
    exchange: Shared,
    lines: Option<Cursor<Vec<u8>>>,
}

/// The body of an answer.
pub(super) struct Reply {
    exchange: Shared,
    body: Option<Body>,
}

impl Head {
    fn new(exchange: &Shared) -> Self {
        Head { exchange: exchange.clone(), lines: None }
    }

    fn lines(&mut self) -> io::Result<&mut Cursor<Vec<u8>>> {
        if self.lines.is_none() {
            let mut exchange = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
            self.lines = exchange.answered()?.head.take();
        }
        Ok(self.lines.get_or_insert_default())
    }
}

impl Reply {
    fn new(exchange: &Shared) -> Self {
        Reply { exchange: exchange.clone(), body: None }
    }

    fn body(&mut self) -> io::Result<&mut Body> {
        if self.body.is_none() {
            let mut exchange = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
            self.body = exchange.answered()?.body.take();
        }
        Ok(self.body.get_or_insert_with(Body::empty))
    }
}

impl Read for Head {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lines()?.read(buffer)
    }
}

impl BufRead for Head {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.lines()?.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if let Some(lines) = &mut self.lines {
            lines.consume(count);
        }
    }
}

impl Read for Reply {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body()?.read(buffer)
    }
}

impl BufRead for Reply {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.body()?.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if let Some(body) = &mut self.body {
            body.consume(count);
        }
    }
}

/// Header lines as headers; what is none is left out.
fn read(lines: impl IntoIterator<Item = impl AsRef<str>>) -> HeaderMap {
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((HeaderName::try_from(name.trim()).ok()?, HeaderValue::from_str(value.trim()).ok()?))
    };
    lines.into_iter().filter_map(|line| header(line.as_ref())).collect()
}
