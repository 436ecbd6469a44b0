//! How registries are spoken to: encrypted, with a verified certificate, or not; through whom, with how many connections, how long.
//!
//! As with kaniko, plain HTTP is only tried where HTTPS failed, and only where it was asked for or the registry is local to the
//! machine or the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::Error;
use super::patience::{Backoff, Timeouts};
use super::proxy::Proxies;
use super::route::Routes;
use super::trust::Authorities;

/// How many connections to a registry there are at most, unless told otherwise.
const CONNECTIONS: usize = 4;

/// All that flags and environment say of registries. The default is what kaniko does without any.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `--insecure-pull`: plain HTTP for pulling, from any registry.
    pub insecure_pull: bool,
    /// `--insecure`: plain HTTP for pushing, to any registry.
    pub insecure_push: bool,
    /// `--insecure-registry`: plain HTTP in both directions.
    pub insecure_registries: BTreeSet<String>,
    /// `--skip-tls-verify-pull`: any certificate is good for pulling.
    pub skip_tls_verify_pull: bool,
    /// `--skip-tls-verify`: any certificate is good for pushing.
    pub skip_tls_verify_push: bool,
    /// `--skip-tls-verify-registry`: any certificate is good in both directions.
    pub skip_tls_verify_registries: BTreeSet<String>,
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`: whose signature makes a certificate good.
    pub authorities: Authorities,
    /// `--registry-certificate host=path`: more authorities for one registry; see [`host_and_path`].
    pub registry_certificates: BTreeMap<String, Vec<PathBuf>>,
    /// `--registry-client-cert host=certificate,key`: what we show to one registry.
    pub client_certificates: BTreeMap<String, ClientCertificate>,
    /// `--registry-mirror`, `--registry-map`, `--skip-default-registry-fallback`: where else images are looked for.
    pub routes: Routes,
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`.
    pub proxies: Proxies,
    /// Which versions of HTTP are offered to an encrypted registry.
    pub protocols: Protocols,
    /// `UPSTREAM_CLIENT_TYPE`: appended to the `User-Agent`, after a comma.
    pub client_type: Option<String>,
    /// How many connections to one registry there are at most, and so how many blobs travel at once. 0 counts as 1.
    pub connections: usize,
    /// `--push-retry`: how often a push that failed for any reason is begun again. What is there already is not sent again.
    pub push_retry: u32,
    /// `--image-download-retry`: how often asking one registry for an image is begun again that failed for any reason but that it
    /// has none; and as many more attempts for each blob.
    pub image_download_retry: u32,
    /// `--push-ignore-immutable-tag-errors`: a tag that is there and may not be moved is no error.
    pub ignore_immutable_tag_errors: bool,
    /// How long a peer may be silent.
    pub timeouts: Timeouts,
    /// The waits between attempts.
    pub backoff: Backoff,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            insecure_pull: false,
            insecure_push: false,
            insecure_registries: BTreeSet::new(),
            skip_tls_verify_pull: false,
            skip_tls_verify_push: false,
            skip_tls_verify_registries: BTreeSet::new(),
            authorities: Authorities::default(),
            registry_certificates: BTreeMap::new(),
            client_certificates: BTreeMap::new(),
            routes: Routes::default(),
            proxies: Proxies::default(),
            protocols: Protocols::All,
            client_type: None,
            connections: CONNECTIONS,
            push_retry: 0,
            image_download_retry: 0,
            ignore_immutable_tag_errors: false,
            timeouts: Timeouts::default(),
            backoff: Backoff::default(),
        }
    }
}

/// Versions of HTTP. Flow control of HTTP/2 makes uploads slow where a registry grants small windows and is far away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocols {
    /// HTTP/2 where the registry speaks it, otherwise HTTP/1.1.
    All,
    /// HTTP/1.1 alone (`DISABLE_HTTP2`, `GODEBUG=http2client=0`).
    Http1,
}

/// Files of a certificate of ours: PEM, the certificate's chain included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The parts of a `--registry-certificate`: `host=path`.
///
/// # Errors
/// A part is missing.
pub fn host_and_path(text: &str) -> Result<(String, PathBuf), Error> {
    match text.split_once('=') {
        Some((host, path)) if !host.is_empty() && !path.is_empty() => Ok((canonical(host), path.into())),
        _ => Err(Error::Setup(format!("--registry-certificate={text}: expected host=path"))),
    }
}

/// The parts of a `--registry-client-cert`: `host=certificate,key`.
///
/// # Errors
/// A part is missing.
pub fn host_and_client_certificate(text: &str) -> Result<(String, ClientCertificate), Error> {
    let parts = text.split_once('=').and_then(|(host, files)| Some((host, files.split_once(',')?)));
    match parts {
        Some((host, (certificate, key))) if !host.is_empty() && !certificate.is_empty() && !key.is_empty() => {
            Ok((canonical(host), ClientCertificate { certificate: certificate.into(), key: key.into() }))
        }
        _ => Err(Error::Setup(format!("--registry-client-cert={text}: expected host=certificate,key"))),
    }
}

/// The name of a registry as references have it: Docker's has several.
pub fn canonical(registry: &str) -> String {
    match registry {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

/// Which way images go. The flags tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Direction {
    Pull,
    Push,
}

/// Whether a registry's certificate must be good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Certificate {
    Verified,
    Any,
}

impl Policy {
    /// The schemes to try, in this order.
    pub(super) fn schemes(&self, registry: &str, direction: Direction) -> &'static [&'static str] {
        let asked = match direction {
            Direction::Pull => self.insecure_pull,
            Direction::Push => self.insecure_push,
        };
        let plain = asked || self.insecure_registries.contains(registry) || is_local(registry);
        if plain { &["https", "http"] } else { &["https"] }
    }

    pub(super) fn certificate(&self, registry: &str, direction: Direction) -> Certificate {
        let asked = match direction {
            Direction::Pull => self.skip_tls_verify_pull,
            Direction::Push => self.skip_tls_verify_push,
        };
        let any = asked || self.skip_tls_verify_registries.contains(registry);
        if any { Certificate::Any } else { Certificate::Verified }
    }
}

/// The host without its port.
fn host(registry: &str) -> &str {
    match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    }
}

/// Whether the registry is on this machine.
fn is_loopback(registry: &str) -> bool {
    let host = host(registry);
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Whether kaniko would take plain HTTP from the registry unasked: it is on this machine, has a private address (RFC 1918) or
/// a name in `.local`, as services of a cluster have.
fn is_local(registry: &str) -> bool {
    let host = host(registry);
    is_loopback(registry)
        || host.ends_with(".local")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_private())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(registry: &str, expected: bool) {
        let schemes = Policy::default().schemes(registry, Direction::Pull);
        assert_eq!((schemes[0], schemes.contains(&"http")), ("https", expected), "{registry}");
    }

    #[test]
    fn plain_http_is_for_local_registries() {
        plain("127.0.0.1:5000", true);
        plain("127.9.9.9", true);
        plain("localhost", true);
        plain("x.localhost:1", true);
        plain("[::1]:5000", true);
        plain("10.1.2.3:5000", true);
        plain("registry.default.svc.cluster.local:5000", true);
        plain("docker.io", false);
        plain("localhost.example.com", false);
        plain("127.0.0.1.example.com:5000", false);
        plain("8.8.8.8:5000", false);
        plain("[2001:db8::1]:5000", false);
        plain("local", false);
    }

    #[test]
    fn flags_have_a_direction_and_registries_have_both() {
        let name = "r.example.com:5000".to_owned();
        let push = Policy { insecure_push: true, skip_tls_verify_pull: true, ..Policy::default() };
        assert_eq!(push.schemes(&name, Direction::Push).len(), 2);
        assert_eq!(push.schemes(&name, Direction::Pull).len(), 1);
        assert_eq!(push.certificate(&name, Direction::Push), Certificate::Verified);
        assert_eq!(push.certificate(&name, Direction::Pull), Certificate::Any);
        let one = BTreeSet::from([name.clone()]);
        let named = Policy { insecure_registries: one.clone(), skip_tls_verify_registries: one, ..Policy::default() };
        for direction in [Direction::Pull, Direction::Push] {
            assert_eq!(named.schemes(&name, direction).len(), 2);
            assert_eq!(named.certificate(&name, direction), Certificate::Any);
            assert_eq!(named.schemes("r.example.com", direction).len(), 1);
            assert_eq!(named.certificate("r.example.com", direction), Certificate::Verified);
        }
    }

    #[test]
    fn files_belong_to_a_registry() {
        assert_eq!(host_and_path("r.io:5000=/ca=1").ok(), Some(("r.io:5000".to_owned(), "/ca=1".into())));
        assert_eq!(host_and_path("index.docker.io=/ca").ok(), Some(("docker.io".to_owned(), "/ca".into())));
        for text in ["", "r.io", "r.io=", "=/ca"] {
            assert!(host_and_path(text).expect_err("refused").to_string().contains("expected host=path"), "{text}");
        }
        let pair = ClientCertificate { certificate: "/c".into(), key: "/k".into() };
        assert_eq!(host_and_client_certificate("r.io=/c,/k").ok(), Some(("r.io".to_owned(), pair)));
        for text in ["r.io=/c", "r.io=,/k", "r.io=/c,", "=/c,/k"] {
            assert!(host_and_client_certificate(text).is_err(), "{text}");
        }
    }
}
