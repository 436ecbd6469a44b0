//! Forward proxies, as the variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name them (Go's `httpproxy` is the model).
//!
//! Nothing on this machine is reached through a proxy. A proxy's user and password go to the proxy alone and are not shown.

use std::net::IpAddr;

use reqwest::Url;

use super::Error;

/// Which proxy serves which address.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    except: Vec<Exception>,
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = |url: &Option<Url>| url.as_ref().and_then(|url| url.host_str().map(str::to_owned));
        write!(f, "Proxies {{ http: {:?}, https: {:?}, .. }}", host(&self.http), host(&self.https))
    }
}

/// An entry of `NO_PROXY`.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Exception {
    /// `*`.
    All,
    /// `10.0.0.0/8`: an address and how many of its bits count.
    Network(IpAddr, u8),
    /// A host, and everything below it; only on `port` where one is named. `.host` is only what is below it.
    Host { name: String, below_only: bool, port: Option<u16> },
}

impl Proxies {
    /// Reads the variables with `get`, the lower-case spelling of each before the upper-case one.
    ///
    /// # Errors
    /// A proxy whose address is no HTTP or HTTPS URL; its text is not shown, since it may hold a password.
    pub fn of_variables<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Error> {
        let either = |name: &str| get(&name.to_ascii_lowercase()).or_else(|| get(name)).map(str::trim);
        let proxy =
            |name: &str| either(name).filter(|text| !text.is_empty()).map(|text| address(name, text)).transpose();
        let except = either("NO_PROXY").unwrap_or_default();
        let except = except.split([',', ' ']).map(str::trim).filter(|text| !text.is_empty()).map(exception).collect();
        Ok(Proxies { http: proxy("HTTP_PROXY")?, https: proxy("HTTPS_PROXY")?, except })
    }

    /// The proxy for a request to `url`.
    pub(super) fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches([']', '.']).to_ascii_lowercase();
        let is_direct =
            is_here(&host) || self.except.iter().any(|entry| entry.covers(&host, url.port_or_known_default()));
        proxy.as_ref().filter(|_| !is_direct)
    }
}

impl Exception {
    fn covers(&self, host: &str, port: Option<u16>) -> bool {
        match self {
            Exception::All => true,
            Exception::Network(network, bits) => host
                .parse()
                .is_ok_and(|address| prefix(address, *bits).is_some_and(|p| Some(p) == prefix(*network, *bits))),
            Exception::Host { name, below_only, port: wanted } => {
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                let same = !below_only && host == name;
                (same || below) && (wanted.is_none() || *wanted == port)
            }
        }
    }
}

/// The first bits of an address, and how long it is: addresses of two kinds are never equal.
fn prefix(address: IpAddr, bits: u8) -> Option<(u8, u128)> {
    let (length, value) = match address {
        IpAddr::V4(address) => (32, u128::from(address.to_bits())),
        IpAddr::V6(address) => (128, address.to_bits()),
    };
    let drop = u32::from(u8::checked_sub(length, bits)?);
    Some((length, value.checked_shr(drop).unwrap_or(0)))
}

fn is_here(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn address(name: &str, text: &str) -> Result<Url, Error> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&with_scheme).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        Error::Setup(format!("{name} is not the address of an HTTP proxy (http://[user:password@]host[:port])"))
    })
}

fn exception(text: &str) -> Exception {
    if text == "*" {
        return Exception::All;
    }
    if let Some((network, bits)) = text.split_once('/')
        && let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u8>())
    {
        return Exception::Network(network, bits);
    }
    let text = text.to_ascii_lowercase();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Exception::Network(address, if address.is_ipv4() { 32 } else { 128 });
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()),
        None => (text.as_str(), None),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']').trim_start_matches('*');
    Exception::Host { name: name.trim_start_matches('.').to_owned(), below_only: name.starts_with('.'), port }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &'static [(&'static str, &'static str)]) -> Proxies {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        Proxies::of_variables(get).expect("proxies")
    }

    fn host_for(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&Url::parse(url).expect("a url")).and_then(|proxy| proxy.host_str().map(str::to_owned))
    }

    #[test]
    fn each_scheme_has_its_proxy_and_lower_case_wins() {
        let both =
            proxies(&[("HTTP_PROXY", "upper:1"), ("http_proxy", "lower:1"), ("HTTPS_PROXY", "https://u:p@secure:2")]);
        assert_eq!(host_for(&both, "http://r.example/"), Some("lower".to_owned()));
        assert_eq!(host_for(&both, "https://r.example/"), Some("secure".to_owned()));
        assert_eq!(both.of(&Url::parse("https://r/").expect("url")).and_then(Url::password), Some("p"));
        assert!(!format!("{both:?}").contains(":p"), "{both:?}");
        assert_eq!(host_for(&both, "http://localhost:5000/"), None);
        assert_eq!(host_for(&both, "https://127.0.0.5/"), None);
        assert_eq!(host_for(&both, "https://[::1]:5000/"), None);
        assert_eq!(host_for(&proxies(&[]), "https://r.example/"), None);
    }

    #[test]
    fn a_proxy_that_is_none_is_refused_without_its_password() {
        for text in ["socks5://u:secret@h:1", "http://", "http://u:secret@:99999"] {
            let error =
                Proxies::of_variables(|name| (name == "HTTPS_PROXY").then_some(text)).expect_err(text).to_string();
            assert!(error.contains("HTTPS_PROXY") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn exceptions() {
        let list = "10.0.0.0/8, .corp,example.com:8080,plain.org *.star.net 192.168.1.7,fd00::/8,[2001:db8::1],bad/99";
        let direct = |url: &str| {
            let get = |name: &str| match name {
                "no_proxy" => Some(list),
                "HTTP_PROXY" | "HTTPS_PROXY" => Some("p:1"),
                _ => None,
            };
            Proxies::of_variables(get).expect("proxies").of(&Url::parse(url).expect("a url")).is_none()
        };
        for url in [
            "http://10.9.8.7/",
            "https://a.corp/",
            "http://example.com:8080/",
            "http://x.example.com:8080/",
            "https://plain.org/",
            "https://a.plain.org:5/",
            "https://a.star.net/",
            "http://192.168.1.7:5000/",
            "http://[fd12::1]/",
            "http://[2001:db8::1]/",
            "https://PLAIN.org./",
        ] {
            assert!(direct(url), "{url}");
        }
        for url in [
            "http://11.0.0.1/",
            "https://corp/",
            "http://example.com/",
            "https://notplain.org/",
            "https://star.net/",
            "http://192.168.1.8/",
            "http://[fe00::1]/",
            "http://10.0.0.1.example.net/",
        ] {
            assert!(!direct(url), "{url}");
        }
        assert!(
            proxies(&[("HTTP_PROXY", "p:1"), ("NO_PROXY", "*")]).of(&Url::parse("http://r/").expect("url")).is_none()
        );
    }
}
