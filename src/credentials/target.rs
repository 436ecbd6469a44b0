//! Which registry and repository a credential is for, and the keys under which configuration files keep them.
//!
//! Hosts are compared in lower case, Docker Hub's many names are one, and `:443` is no port. A key with a path covers the
//! repositories below that path, whole segments only: `reg/team` covers `reg/team/app`, never `reg/team-two`.

/// The name under which Docker Hub's credentials are looked for here.
pub(super) const HUB: &str = "docker.io";

/// The address that helpers and configuration files know Docker Hub by.
pub(super) const HUB_SERVER: &str = "https://index.docker.io/v1/";

/// What is to be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// The registry, as [`host`] writes it.
    pub(super) host: String,
    /// The repository's path below it.
    pub(super) repository: String,
}

impl Target {
    pub(super) fn new(registry: &str, repository: &str) -> Self {
        Target { host: host(registry), repository: repository.trim_matches('/').to_owned() }
    }

    /// What a credential helper is asked for.
    pub(super) fn server(&self) -> &str {
        if self.host == HUB { HUB_SERVER } else { &self.host }
    }
}

/// A registry's one spelling.
fn host(registry: &str) -> String {
    let registry = registry.to_ascii_lowercase();
    let registry = registry.strip_suffix(":443").unwrap_or(&registry);
    match registry {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => HUB.to_owned(),
        other => other.to_owned(),
    }
}

/// A key of a configuration file, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Key {
    host: String,
    path: String,
}

impl Key {
    /// Reads `raw`: with or without a scheme, a port, a path and a slash at the end. `/v1/` and `/v2/` are the protocol's.
    pub(super) fn parse(raw: &str) -> Self {
        let raw = raw.trim();
        let bare = ["https://", "http://"].iter().find_map(|scheme| raw.strip_prefix(scheme));
        let (registry, path) = bare.unwrap_or(raw).split_once('/').unwrap_or((bare.unwrap_or(raw), ""));
        let of_protocol = matches!(path.trim_end_matches('/'), "v1" | "v2");
        let unambiguous = bare.is_some() || path.ends_with('/') || host(registry) == HUB;
        let path = if of_protocol && unambiguous { "" } else { path };
        Key { host: host(registry), path: path.trim_matches('/').to_owned() }
    }

    /// How much of `target` the key names: the length of its path. `None` if it is for something else.
    pub(super) fn covers(&self, target: &Target) -> Option<usize> {
        let rest = target.repository.strip_prefix(&self.path)?;
        let whole = self.path.is_empty() || rest.is_empty() || rest.starts_with('/');
        (self.host == target.host && whole).then_some(self.path.len())
    }

    /// Whether it is for all of a registry.
    pub(super) fn is_whole_registry(&self) -> bool {
        self.path.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, registry: &str, repository: &str, expected: Option<usize>) {
        assert_eq!(
            Key::parse(key).covers(&Target::new(registry, repository)),
            expected,
            "{key} {registry}/{repository}"
        );
    }

    #[test]
    fn keys_in_every_spelling() {
        for key in [
            "ghcr.io",
            "https://ghcr.io",
            "http://ghcr.io/",
            "GHCR.io",
            "https://ghcr.io/v2/",
            "ghcr.io:443",
            "ghcr.io/v1/",
        ] {
            check(key, "ghcr.io", "team/app", Some(0));
            check(key, "ghcr.io.evil.com", "team/app", None);
            check(key, "evil-ghcr.io", "team/app", None);
            check(key, "ghcr.io:5000", "team/app", None);
        }
        for key in [
            "https://index.docker.io/v1/",
            "index.docker.io",
            "docker.io",
            "registry-1.docker.io",
            "index.docker.io/v1",
        ] {
            check(key, "docker.io", "library/alpine", Some(0));
            check(key, "index.docker.io", "library/alpine", Some(0));
            check(key, "ghcr.io", "library/alpine", None);
        }
        check("localhost:5000", "localhost:5000", "a", Some(0));
        check("localhost", "localhost:5000", "a", None);
    }

    #[test]
    fn a_path_covers_what_is_below_it_and_not_its_neighbours() {
        check("ghcr.io/team", "ghcr.io", "team/app", Some(4));
        check("ghcr.io/team/", "ghcr.io", "team", Some(4));
        check("https://ghcr.io/team", "ghcr.io", "team/app", Some(4));
        check("ghcr.io/team/app", "ghcr.io", "team/app", Some(8));
        check("ghcr.io/team", "ghcr.io", "team-two/app", None);
        check("ghcr.io/team", "ghcr.io", "other/team/app", None);
        check("ghcr.io/team/app", "ghcr.io", "team", None);
        check("ghcr.io/v2", "ghcr.io", "v2/app", Some(2));
        check("ghcr.io/v2", "ghcr.io", "app", None);
        check("docker.io/team", "docker.io", "team/app", Some(4));
    }

    #[test]
    fn helpers_know_docker_hub_by_its_old_address() {
        assert_eq!(Target::new("docker.io", "a").server(), "https://index.docker.io/v1/");
        assert_eq!(Target::new("ghcr.io", "a").server(), "ghcr.io");
    }
}
