//! EXPOSE: `port[/protocol]` and ranges become the keys of the config's exposed ports.
//!
//! Ports are 0 to 65535, the protocol is tcp (the default), udp or sctp. The forms that publish (`ip:port:port`) expose their last
//! part: an image cannot bind anything on a host, and a build check warns. Follows the Dockerfile reference.

use anyhow::{Context as _, Result, anyhow, bail};

/// The `port/protocol` keys that `spec` names, in the order of their numbers.
pub(super) fn ports(spec: &str) -> Result<Vec<String>> {
    let (range, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
    let range = range.rsplit(':').next().unwrap_or(range);
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        _ => bail!("{protocol:?} is no protocol that EXPOSE knows: tcp, udp or sctp"),
    };
    let (first, last) = bounds(range).with_context(|| format!("{spec:?} is no port or range of ports"))?;
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// The first and the last port of `8080` or `8000-8010`.
fn bounds(range: &str) -> Result<(u16, u16)> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(anyhow!("{last} comes before {first}"));
    }
    Ok((first, last))
}

fn number(port: &str) -> Result<u16> {
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        bail!("{port:?} is not a number");
    }
    port.parse().map_err(|_| anyhow!("{port:?} is not between 0 and 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: &str, expected: &[&str]) {
        assert_eq!(ports(spec).expect("a port"), expected, "{spec:?}");
    }

    fn check_refused(spec: &str, reason: &str) {
        let error = format!("{:#}", ports(spec).expect_err(spec));
        assert!(error.contains(reason), "{spec:?}: {error}");
    }

    #[test]
    fn ports_and_ranges() {
        check("80", &["80/tcp"]);
        check("80/tcp", &["80/tcp"]);
        check("80/UDP", &["80/udp"]);
        check("80/", &["80/tcp"]);
        check("9/sctp", &["9/sctp"]);
        check("8000-8002", &["8000/tcp", "8001/tcp", "8002/tcp"]);
        check("65535-65535/udp", &["65535/udp"]);
        check("0080", &["80/tcp"]);
        check("8080:80", &["80/tcp"]);
        check("127.0.0.1:8080:80/udp", &["80/udp"]);
        check("[::1]::80-81", &["80/tcp", "81/tcp"]);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        check_refused("", "is not between");
        check_refused("http", "not a number");
        check_refused("80/icmp", "no protocol");
        check_refused("65536", "65535");
        check_refused("9000-8000", "comes before");
        check_refused("1-2-3", "not a number");
        check_refused("-1", "no port");
        check_refused("+1", "not a number");
        check_refused("8080:", "is not between");
    }
}
