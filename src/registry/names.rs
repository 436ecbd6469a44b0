//! Names of hosts to addresses (resolv.conf(5), hosts(5)), without libc: a static glibc would follow the nsswitch.conf of the image
//! that is being built, and load its modules.
//!
//! `/etc/resolv.conf` and `/etc/hosts` are read once, before a build may change them. What stands in `/etc/hosts` is not asked for
//! elsewhere. Where there is no resolv.conf no name server is asked; no public one is ever guessed.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What this machine knows of names.
#[derive(Clone)]
pub(super) struct Names {
    hosts: Arc<BTreeMap<String, Vec<IpAddr>>>,
    resolver: Result<Arc<TokioResolver>, String>,
}

impl Names {
    /// Reads the machine's configuration. That there is none is an error only when a name is asked for.
    pub(super) fn of_machine() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
            builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
            builder.build()
        });
        let resolver = resolver.map_err(|error| format!("cannot look up names: /etc/resolv.conf: {error}"));
        let text = std::fs::read("/etc/hosts").unwrap_or_default();
        Names { hosts: Arc::new(hosts(&String::from_utf8_lossy(&text))), resolver: resolver.map(Arc::new) }
    }

    async fn look_up(self, name: &str) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        if let Some(addresses) = self.hosts.get(&name.to_ascii_lowercase()) {
            return Ok(addresses.clone());
        }
        match self.resolver.map_err(io::Error::other)?.lookup_ip(name).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_no_records_found() => {
                Err(format!("the name server knows no address of {name}").into())
            }
            Err(error) => Err(format!("look up {name}: {error}").into()),
        }
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            let found = names.look_up(name.as_str()).await?;
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// The names in a hosts file, and localhost in any case.
fn hosts(text: &str) -> BTreeMap<String, Vec<IpAddr>> {
    let mut hosts: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        words.for_each(|name| hosts.entry(name.to_ascii_lowercase()).or_default().push(address));
    }
    let loopback = || vec![IpAddr::from(Ipv6Addr::LOCALHOST), IpAddr::from(Ipv4Addr::LOCALHOST)];
    hosts.entry("localhost".to_owned()).or_insert_with(loopback);
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_is_read() {
        let text =
            "# a remark\n10.0.0.1\tReg.Test reg # more\nfe80::1%lo0 skipped\n\n10.0.0.2 reg\nnonsense\n::2 six\n";
        let hosts = hosts(text);
        let of = |name: &str| hosts.get(name).map(|found| found.iter().map(IpAddr::to_string).collect::<Vec<_>>());
        assert_eq!(of("reg.test"), Some(vec!["10.0.0.1".to_owned()]));
        assert_eq!(of("reg"), Some(vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()]));
        assert_eq!(of("six"), Some(vec!["::2".to_owned()]));
        assert_eq!(of("localhost").map(|found| found.len()), Some(2));
        assert_eq!((of("skipped"), of("more"), of("nonsense")), (None, None, None));
    }
}
