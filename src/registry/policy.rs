//! How a registry may be spoken to: encrypted, with a verified certificate, or not.
//!
//! As with kaniko, plain HTTP is only tried where HTTPS failed, and only where it was asked for or the registry is local to the
//! machine or the cluster.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// What the `--insecure*` and `--skip-tls-verify*` flags allow.
#[derive(Clone, Debug, Default)]
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
}

/// Which way images go. The flags tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Direction {
    Pull,
    Push,
}

/// Whether a registry's certificate must be good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

/// Whether the registry is on this machine. Proxies are never used for it.
pub(super) fn is_loopback(registry: &str) -> bool {
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
}
