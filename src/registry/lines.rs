//! The lines that serve one registry: to itself, and to the hosts that it sends us to.

use std::sync::Arc;

use reqwest::Url;

use super::Error;
use super::line::Line;
use super::policy::Certificate;
use super::transport::{Transport, host_and_port};

/// Opens lines as one registry needs them.
#[derive(Clone)]
pub(super) struct Lines {
    transport: Arc<Transport>,
    registry: String,
    host: String,
    certificate: Certificate,
}

impl Lines {
    /// Those of `registry`, which answers as `host`.
    pub(super) fn new(transport: &Arc<Transport>, registry: &str, host: &str, certificate: Certificate) -> Self {
        let (registry, host) = (registry.to_owned(), host.to_owned());
        Lines { transport: transport.clone(), registry, host, certificate }
    }

    /// The line to where `url` is.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn to(&self, url: &Url) -> Result<Arc<Line>, Error> {
        // What flags say of a registry they say of its name, which need not be that of its host.
        let host = if self.is_own(url) { self.registry.clone() } else { host_and_port(url) };
        self.transport.line(&self.registry, &host, self.certificate)
    }

    fn is_own(&self, url: &Url) -> bool {
        let own = Url::parse(&format!("{}://{}", url.scheme(), self.host));
        own.is_ok_and(|own| own.origin() == url.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::policy::Policy;

    #[test]
    fn what_is_shown_to_a_registry_is_for_its_own_host_and_port() {
        let transport = Arc::new(Transport::new(&Policy::default()).expect("a transport"));
        let is_own = |host: &str, url: &str| {
            let lines = Lines::new(&transport, "r.io", host, Certificate::Verified);
            let own = transport.line("r.io", "r.io", Certificate::Verified).expect("a line");
            Arc::ptr_eq(&lines.to(&Url::parse(url).expect("an address")).expect("a line"), &own)
        };
        assert!(is_own("r.io:443", "https://r.io/v2/") && is_own("registry-1.r.io", "https://registry-1.r.io/v2/"));
        assert!(is_own("r.io:5000", "http://r.io:5000/v2/") && is_own("r.io:5000", "https://r.io:5000/token"));
        assert!(!is_own("r.io:5000", "https://r.io:5001/v2/") && !is_own("r.io:5000", "https://blobs.io:5000/x"));
    }
}
