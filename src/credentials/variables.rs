//! Credentials that stand in variables of the environment: kaniko's own, and those that GitLab sets for a job.

use super::target::{HUB, Key, Target};
use super::{Credential, Environment};

/// `KANIKO_HOST_USER` and `KANIKO_HOST_PASSWORD`: the host in capitals, all but letters and digits an underscore. The name is
/// tried whole and then without its first labels, one by one. Returns the credential and the name of the first variable.
pub(super) fn kaniko(environment: &Environment, target: &Target) -> Option<(Credential, String)> {
    names(&target.host).into_iter().find_map(|name| {
        let user = environment.get(&format!("KANIKO_{name}_USER"))?;
        let password = environment.get(&format!("KANIKO_{name}_PASSWORD"))?;
        Some((Credential::basic(user, password), format!("KANIKO_{name}_USER")))
    })
}

/// The names to try, the most exact first: with the port, in the two forms that a variable can have, and without it.
fn names(host: &str) -> Vec<String> {
    let host = if host == HUB { "index.docker.io" } else { host };
    let (bare, port) = host.rsplit_once(':').map_or((host, None), |(bare, port)| (bare, Some(port)));
    let is_address = host.starts_with('[') || bare.parse::<std::net::Ipv4Addr>().is_ok();
    let labels: Vec<&str> = bare.split('.').collect();
    let last = if is_address { 1 } else { labels.len() };
    let mut names = Vec::new();
    for first in 0..last {
        let name = labels[first..].join("_").to_ascii_uppercase();
        let name: String = name
            .chars()
            .map(|letter| if letter == ':' || letter.is_ascii_alphanumeric() { letter } else { '_' })
            .collect();
        names.extend(port.map(|port| format!("{name}_{port}")));
        names.extend(port.map(|port| format!("{name}:{port}")));
        names.push(name);
    }
    names
}

/// `CI_REGISTRY` with `CI_REGISTRY_USER` and `CI_REGISTRY_PASSWORD`: for exactly that host.
pub(super) fn gitlab(environment: &Environment, target: &Target) -> Option<Credential> {
    let registry = Key::parse(environment.get("CI_REGISTRY")?);
    registry.covers(target)?;
    Some(Credential::basic(environment.get("CI_REGISTRY_USER")?, environment.get("CI_REGISTRY_PASSWORD")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, registry: &str, found: bool) {
        let variables = [(format!("KANIKO_{name}_USER"), "u"), (format!("KANIKO_{name}_PASSWORD"), "p")];
        let answer = kaniko(&variables.into_iter().collect(), &Target::new(registry, "a"));
        let expected = found.then(|| (Credential::basic("u", "p"), format!("KANIKO_{name}_USER")));
        assert_eq!(answer, expected, "{name} {registry}");
    }

    #[test]
    fn kanikos_variables() {
        check("GHCR_IO", "ghcr.io", true);
        check("MY_REG_EXAMPLE_COM", "my-reg.example.com", true);
        check("EXAMPLE_COM", "my-reg.example.com", true);
        check("COM", "my-reg.example.com", true);
        check("REG_EXAMPLE_COM", "my-reg.example.com", false);
        check("MY_REG", "my-reg.example.com", false);
        check("GHCR_IO_5000", "ghcr.io:5000", true);
        check("GHCR_IO:5000", "ghcr.io:5000", true);
        check("GHCR_IO", "ghcr.io:5000", true);
        check("GHCR_IO_5000", "ghcr.io", false);
        check("DOCKER_IO", "docker.io", true);
        check("INDEX_DOCKER_IO", "docker.io", true);
        check("127_0_0_1_5000", "127.0.0.1:5000", true);
        check("1", "127.0.0.1:5000", false);
    }

    #[test]
    fn the_most_exact_wins_and_half_a_pair_does_not_count() {
        let variables = [
            ("KANIKO_B_IO_USER", "u"),
            ("KANIKO_B_IO_PASSWORD", "p"),
            ("KANIKO_A_B_IO_USER", "x"),
            ("KANIKO_IO_USER", "y"),
        ];
        let found = kaniko(&variables.into_iter().collect(), &Target::new("a.b.io", "r"));
        assert_eq!(found, Some((Credential::basic("u", "p"), "KANIKO_B_IO_USER".to_owned())));
    }

    #[test]
    fn gitlabs_variables_are_for_its_registry_alone() {
        let of = |registry: &str, asked: &str| {
            let variables =
                [("CI_REGISTRY", registry), ("CI_REGISTRY_USER", "gitlab-ci-token"), ("CI_REGISTRY_PASSWORD", "p")];
            gitlab(&variables.into_iter().collect(), &Target::new(asked, "group/app"))
        };
        let given = Some(Credential::basic("gitlab-ci-token", "p"));
        assert_eq!(of("registry.gitlab.com", "registry.gitlab.com"), given);
        assert_eq!(of("https://registry.gitlab.com", "registry.gitlab.com"), given);
        assert_eq!(of("git.example:5050", "git.example:5050"), given);
        for other in ["gitlab.com", "registry.gitlab.com.evil.org", "registry.gitlab.com:5000", "docker.io"] {
            assert_eq!(of("registry.gitlab.com", other), None, "{other}");
        }
        assert_eq!(gitlab(&[("CI_REGISTRY", "r.io")].into_iter().collect(), &Target::new("r.io", "a")), None);
    }
}
