//! Image references: `[registry/]repository[:tag][@digest]`, by the grammar and the defaults of distribution/reference.

use std::fmt;
use std::str::FromStr;

use super::Digest;

/// The name that stands for Docker's registry.
const DOCKER: &str = "docker.io";

/// A repository of a registry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Repository {
    registry: String,
    name: String,
}

impl Repository {
    /// The repository `name` of `registry`, which is taken as a host even if it looks like the first part of a name.
    pub fn new(registry: &str, name: &str) -> Result<Self, InvalidReference> {
        check_host(registry)
            .and_then(|()| check_name(name))
            .map_err(|why| InvalidReference { text: format!("{registry}/{name}").chars().take(300).collect(), why })?;
        Ok(Repository { registry: registry.to_owned(), name: name.to_owned() })
    }

    /// `host[:port]`, or `docker.io`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path in the registry, as `library/busybox`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

/// A parsed reference. With neither tag nor digest it means the tag `latest`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Reference {
    /// The repository.
    pub repository: Repository,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// The text is not a reference.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not an image name: {why}")]
pub struct InvalidReference {
    text: String,
    why: &'static str,
}

impl Reference {
    /// The tag: the one that was given, or `latest` where no digest was given either.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `host[:port]`, or `docker.io`.
    pub fn registry(&self) -> &str {
        &self.repository.registry
    }

    /// The name as people write it: `busybox:latest` for `docker.io/library/busybox:latest`.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").map(|name| name.strip_prefix("library/").unwrap_or(name));
        short.map(str::to_owned).unwrap_or(full)
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse(text).map_err(|why| InvalidReference { text: text.chars().take(300).collect(), why })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|_| "the digest after @ is malformed")?)),
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("a tag has letters, digits, _, . and -, at most 128 of them");
    }
    let tag = tag.or(if digest.is_none() { Some("latest") } else { None }).map(str::to_owned);
    Ok(Reference { repository: repository(name)?, tag, digest })
}

fn repository(name: &str) -> Result<Repository, &'static str> {
    let (registry, path) = match name.split_once('/') {
        Some((host, path)) if names_a_host(host) => (host, path),
        _ => (DOCKER, name),
    };
    let registry = if registry == "index.docker.io" { DOCKER } else { registry };
    let official = registry == DOCKER && !path.contains('/');
    let name = if official { format!("library/{path}") } else { path.to_owned() };
    check_host(registry)?;
    check_name(&name)?;
    Ok(Repository { registry: registry.to_owned(), name })
}

fn check_host(registry: &str) -> Result<(), &'static str> {
    if is_host(registry) {
        Ok(())
    } else {
        Err("the registry before the first / is not a host name with an optional port")
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("the repository must be in lower case");
    }
    if name.len() > 255 || !name.split('/').all(is_component) {
        return Err("the repository has empty parts or characters that are not allowed");
    }
    Ok(())
}

fn names_a_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("v6", port)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let label = |label: &str| {
        let alphanumeric = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        let inner = bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        inner && alphanumeric(bytes.first()) && alphanumeric(bytes.last())
    };
    let is_port = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok();
    host.split('.').all(label) && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Lower-case letters and digits with single `.`, one or two `_`, or any number of `-` between them.
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators = text.split(|c: char| c.is_ascii() && alphanumeric(c as u8));
    let inner = |s: &str| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-');
    let ends = text.bytes().next().is_some_and(alphanumeric) && text.bytes().last().is_some_and(alphanumeric);
    ends && separators.into_iter().all(inner)
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str, familiar: &str) {
        let reference: Reference = input.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((reference.to_string().as_str(), reference.familiar().as_str()), (expected, familiar), "{input:?}");
        assert_eq!(expected.parse::<Reference>().expect("canonical"), reference);
    }

    #[test]
    fn names_are_completed() {
        check("busybox", "docker.io/library/busybox:latest", "busybox:latest");
        check("index.docker.io/busybox:1", "docker.io/library/busybox:1", "busybox:1");
        check("a/b", "docker.io/a/b:latest", "a/b:latest");
        check("localhost/a", "localhost/a:latest", "localhost/a:latest");
        check("localhost:5000/a/b:t", "localhost:5000/a/b:t", "localhost:5000/a/b:t");
        check("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest", "127.0.0.1:5000/a:latest");
        check("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest");
        check("ghcr.io/a/b-c__d.e:V1.2_x", "ghcr.io/a/b-c__d.e:V1.2_x", "ghcr.io/a/b-c__d.e:V1.2_x");
        check("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000");
        let digest = format!("sha256:{}", "a".repeat(64));
        check(&format!("r.io/a@{digest}"), &format!("r.io/a@{digest}"), &format!("r.io/a@{digest}"));
        check(&format!("r.io/a:t@{digest}"), &format!("r.io/a:t@{digest}"), &format!("r.io/a:t@{digest}"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for input in [
            "",
            ":",
            "a:",
            "/a",
            "a/",
            "a//b",
            "A/b/C",
            "a_-b",
            "a..b",
            "-a",
            "r.io/",
            "r.io/a:-t",
            "a@sha256:1",
            "a@",
            "é",
            "r.io:x/a",
            "r.io:99999/a",
            "r.io/../a",
            "[zz]:1/a",
            "r..io/a",
            "http://r.io/a",
            "a b",
            "a:b:c",
        ] {
            assert!(input.parse::<Reference>().is_err(), "{input:?} is taken for a name");
        }
        let long_tag = format!("a:{}", "t".repeat(129));
        assert!(long_tag.parse::<Reference>().is_err());
    }
}
