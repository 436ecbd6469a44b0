//! A token server (distribution's token specification), strict: it wants user and password, and gives out tokens for exactly the
//! scopes that it was asked for, opaque or signed, each for a limited time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::authority::signer;
use super::gateway::{Gateway, Request, Verdict};
use super::scratch;

/// The service that its tokens are for.
pub const SERVICE: &str = "the registry of a test";

/// `me` and `pass:word`, as a header.
pub const BASIC: &str = "Basic bWU6cGFzczp3b3Jk";

/// What a token is good for.
#[derive(Clone, Debug)]
struct Grant {
    token: String,
    scopes: Vec<String>,
    until: Instant,
}

/// A running token server.
pub struct TokenServer {
    pub gateway: Gateway,
    grants: Arc<Mutex<Vec<Grant>>>,
    dir: tempfile::TempDir,
}

impl TokenServer {
    /// One whose tokens are good for `lifetime`, told in whole seconds.
    pub fn start(lifetime: Duration) -> TokenServer {
        let dir = scratch();
        let (certificate, key) = signer(dir.path());
        TokenServer::with(dir, lifetime, move |scopes, number| signed(&certificate, &key, scopes, number))
    }

    /// The same whose tokens are not signed, which costs nothing; for [`TokenServer::guard`] alone.
    pub fn opaque(lifetime: Duration) -> TokenServer {
        TokenServer::with(scratch(), lifetime, |_, number| format!("opaque-{number}"))
    }

    /// `token` makes one for these scopes; its number is of no other.
    fn with(
        dir: tempfile::TempDir,
        lifetime: Duration,
        token: impl Fn(&[String], usize) -> String + Send + Sync + 'static,
    ) -> TokenServer {
        let grants: Arc<Mutex<Vec<Grant>>> = Arc::default();
        let given = grants.clone();
        let give = move |asked: &Request| {
            if asked.header("authorization") != BASIC {
                return Verdict::Answer(
                    401,
                    Vec::new(),
                    json!({"details": "incorrect username or password"}).to_string(),
                );
            }
            let url = reqwest::Url::parse(&format!("http://x{}", asked.target)).unwrap();
            let of = |key: &'static str| url.query_pairs().filter(move |(k, _)| k == key).map(|(_, v)| v.into_owned());
            assert_eq!(of("service").collect::<Vec<_>>(), [SERVICE], "{}", asked.target);
            let scopes: Vec<String> = of("scope").collect();
            let mut given = given.lock().unwrap();
            let token = token(&scopes, given.len());
            given.push(Grant { token: token.clone(), scopes, until: Instant::now() + lifetime });
            Verdict::Answer(200, Vec::new(), json!({"token": token, "expires_in": lifetime.as_secs()}).to_string())
        };
        TokenServer { gateway: Gateway::start(0, give), grants, dir }
    }

    /// Its address.
    pub fn realm(&self) -> String {
        format!("http://{}", self.gateway.name("token"))
    }

    /// The certificate with which signed tokens are checked.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("signer.pem")
    }

    /// The judge of a gateway before a registry that knows no tokens: it lets pass what a token is good for.
    pub fn guard(&self) -> impl Fn(&Request) -> Verdict + Send + Sync + use<> {
        self.guard_with(self.realm())
    }

    /// The same where tokens are had at another address, which leads here.
    pub fn guard_with(&self, realm: String) -> impl Fn(&Request) -> Verdict + Send + Sync + use<> {
        let grants = self.grants.clone();
        move |asked: &Request| {
            let wanted = needed(asked);
            let token = asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
            let grants = grants.lock().unwrap();
            let grant = grants.iter().find(|grant| grant.token == token && grant.until > Instant::now());
            let covers = |scope: &String| {
                wanted.as_ref().is_some_and(|(name, action)| {
                    let Some(actions) = scope.strip_prefix(&format!("repository:{name}:")) else { return false };
                    actions.split(',').any(|one| one == *action)
                })
            };
            let is_good = grant.is_some_and(|grant| wanted.is_none() || grant.scopes.iter().any(covers));
            if is_good {
                return Verdict::Forward;
            }
            let scope =
                wanted.map_or(String::new(), |(name, action)| format!(r#",scope="repository:{name}:{action}""#));
            let challenge = format!(r#"Bearer realm="{realm}",service="{SERVICE}"{scope}"#);
            let why = json!({"errors": [{"code": "UNAUTHORIZED", "message": "a token is needed"}]}).to_string();
            Verdict::Answer(401, vec![("WWW-Authenticate".to_owned(), challenge)], why)
        }
    }
}

/// The repository and the action that a request needs; none for the registry as a whole.
fn needed(asked: &Request) -> Option<(String, &'static str)> {
    let path =
        asked.target.split('?').next().unwrap_or_default().strip_prefix("/v2/").filter(|path| !path.is_empty())?;
    let name = ["/manifests/", "/blobs/"].iter().find_map(|part| path.split_once(part))?.0;
    let is_reading = matches!(asked.method.as_str(), "GET" | "HEAD") && !path.contains("/blobs/uploads/");
    Some((name.to_owned(), if is_reading { "pull" } else { "push" }))
}

/// A JSON web token (RFC 7519) with the claims of the token specification, signed with RSA and SHA-256.
fn signed(certificate: &Path, key: &Path, scopes: &[String], number: usize) -> String {
    let pem = std::fs::read_to_string(certificate).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(STANDARD.decode(&der).is_ok());
    let access: Vec<_> = scopes
        .iter()
        .filter_map(|scope| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, actions) = rest.rsplit_once(':')?;
            Some(json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}))
        })
        .collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
    let claims = json!({
        "iss": "silt-tests", "sub": "me", "aud": SERVICE, "exp": now + 300, "nbf": now - 60, "iat": now,
        "jti": number.to_string(), "access": access,
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(&claims));
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-sign"]).arg(key);
    let signature = super::piped(&mut command, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
