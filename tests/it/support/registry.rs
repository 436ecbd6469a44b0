//! A real registry on loopback with a store of its own, for as long as the value lives.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::authority::Authority;
use super::scratch;
use super::tokens::{SERVICE, TokenServer};

/// A running `docker-registry`, plain HTTP.
pub struct Registry {
    child: Child,
    port: u16,
    store: tempfile::TempDir,
}

/// What a registry is like.
#[derive(Clone, Copy)]
pub enum Kind<'a> {
    /// Everyone may do everything, in plain text.
    Open,
    /// HTTPS with a certificate that nobody trusts.
    SelfSigned,
    /// HTTPS with a certificate of an authority.
    Signed(&'a Authority),
    /// The same for those who show a certificate of that authority.
    Mutual(&'a Authority),
    /// It wants [`USER`] and the password.
    Password,
    /// It wants signed tokens.
    Tokens(&'a TokenServer),
    /// Nothing can be written.
    ReadOnly,
}

/// The user whom a registry with a password lets in.
pub const USER: (&str, &str) = ("me", "pass:word");

/// The same as bcrypt has it.
const HTPASSWD: &str = "me:$2b$04$tjpq9.sb0xQbAIz8i3EQuePY8hyW3.PtiKobsJsXG75wAAlZw7SxG\n";

impl Kind<'_> {
    /// What the `http` section of the configuration says of it; the files are made in `dir`.
    fn http(self, dir: &Path) -> String {
        let tls = |(certificate, key): (PathBuf, PathBuf), more: String| {
            format!(", tls: {{certificate: {certificate:?}, key: {key:?}{more}}}")
        };
        match self {
            Kind::SelfSigned => tls(self_signed(dir), String::new()),
            Kind::Signed(authority) => tls(authority.server(), String::new()),
            Kind::Mutual(authority) => tls(authority.server(), format!(", clientcas: [{:?}]", authority.certificate())),
            _ => String::new(),
        }
    }

    /// The sections of their own.
    fn sections(self, dir: &Path) -> String {
        match self {
            Kind::Password => {
                let file = dir.join("htpasswd");
                fs::write(&file, HTPASSWD).unwrap();
                format!("auth: {{htpasswd: {{realm: test, path: {file:?}}}}}\n")
            }
            Kind::Tokens(server) => format!(
                "auth: {{token: {{realm: {:?}, service: {SERVICE:?}, issuer: silt-tests, rootcertbundle: {:?}}}}}\n",
                server.realm(),
                server.certificate()
            ),
            _ => String::new(),
        }
    }

    fn storage(self) -> &'static str {
        match self {
            Kind::ReadOnly => ", maintenance: {readonly: {enabled: true}}",
            _ => "",
        }
    }
}

fn self_signed(dir: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (dir.join("certificate"), dir.join("key"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "3650"]);
    // Not that of an authority, so that a builder that is told to trust it can accept it as the server's.
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    super::run(command.arg("-out").arg(&certificate).arg("-keyout").arg(&key));
    (certificate, key)
}

impl Registry {
    /// Starts one on a free port and waits until it answers.
    pub fn start() -> Registry {
        Registry::start_as(Kind::Open)
    }

    /// The same with a certificate that nobody trusts; it speaks HTTPS only.
    pub fn start_tls() -> Registry {
        Registry::start_as(Kind::SelfSigned)
    }

    /// One of any kind.
    pub fn start_as(kind: Kind<'_>) -> Registry {
        // One at a time looks for a port; where another program takes it before the use, the registry ends and we look again.
        let lock = fs::File::create(super::scratch_home().join("registry.lock")).unwrap();
        lock.lock().unwrap();
        (0..5)
            .find_map(|_| Registry::try_start(kind))
            .expect("docker-registry does not start (see scripts/install-deps.sh)")
    }

    fn try_start(kind: Kind<'_>) -> Option<Registry> {
        let port = free_port();
        let store = scratch();
        let config = store.path().join("config.yml");
        let root = store.path().join("store");
        let (http, storage, sections) = (kind.http(store.path()), kind.storage(), kind.sections(store.path()));
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root:?}}}, delete: {{enabled: true}}{storage}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"{http}}}\n{sections}"
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(store.path().join("log")).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().expect("docker-registry (see scripts/install-deps.sh)");
        let mut registry = Registry { child, port, store };
        registry.answers().then_some(registry)
    }

    fn answers(&mut self) -> bool {
        let limit = Instant::now() + Duration::from_secs(20);
        while Instant::now() < limit {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            // A registry that speaks HTTPS answers 400 to this, one that wants to see something 401.
            if self.try_get("/v2/", "*/*").is_ok_and(|(status, _)| [200, 400, 401].contains(&status)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT/NAME`, the spelling of a reference.
    pub fn name(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// The certificate of one that speaks HTTPS.
    pub fn certificate(&self) -> PathBuf {
        self.store.path().join("certificate")
    }

    /// The file in which the registry keeps a blob.
    pub fn blob_path(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a SHA-256");
        self.store.path().join(format!("store/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    /// The status that the registry answers when asked for a manifest: 200 where there is one, 404 where not.
    pub fn manifest_status(&self, repository: &str, reference: &str) -> u16 {
        let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
        self.get(&format!("/v2/{repository}/manifests/{reference}"), accept).0
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str, accept: &str) -> (u16, String) {
        self.try_get(path, accept).unwrap()
    }

    fn try_get(&self, path: &str, accept: &str) -> io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nAccept: {accept}\r\n\r\n", self.port);
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Ok((status, body.to_owned()))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A loopback port that nothing listens on at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_registry_answers_and_has_no_manifest_yet() {
    let registry = Registry::start();
    assert_eq!(registry.manifest_status("some/image", "latest"), 404);
    assert_eq!(registry.get("/v2/_catalog", "*/*"), (200, "{\"repositories\":[]}\n".to_owned()));
}
