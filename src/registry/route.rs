//! Where an image is looked for: mirrors of Docker's registry and maps of any, in order, and then the registry that its name says.
//!
//! Only pulling takes these ways. Each place is spoken to as its own name demands; none sees the credentials of another.

use super::Error;
use super::policy::canonical;
use crate::oci::Repository;

const DOCKER: &str = "docker.io";

/// Mirrors and maps.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    detours: Vec<Detour>,
    /// `--skip-default-registry-fallback`: where there is a mirror or a map for a registry, it is not asked itself.
    pub skip_default: bool,
}

/// Another place for the images of a registry.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Detour {
    from: String,
    to: String,
    prefix: String,
}

impl Routes {
    /// Adds a `--registry-mirror`: `host[:port][/prefix]`, for Docker's registry.
    ///
    /// # Errors
    /// It is something else, as an address with a scheme.
    pub fn add_mirror(&mut self, text: &str) -> Result<(), Error> {
        let detour = detour(DOCKER, text).map_err(|why| Error::Setup(format!("--registry-mirror={text}: {why}")))?;
        self.detours.push(detour);
        Ok(())
    }

    /// Adds what a `--registry-map` says: `registry=host[:port][/prefix]`, several of them separated by `;`.
    ///
    /// # Errors
    /// It has another form.
    pub fn add_map(&mut self, text: &str) -> Result<(), Error> {
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let failed = |why: &str| Error::Setup(format!("--registry-map={part}: {why}"));
            let (from, to) = part.split_once('=').ok_or_else(|| failed("expected registry=other[/prefix]"))?;
            if from.contains("://") || from.contains('/') || from.is_empty() {
                return Err(failed("expected the name of a registry before ="));
            }
            self.detours.push(detour(&canonical(from), to).map_err(failed)?);
        }
        Ok(())
    }

    /// The places to look for the images of a repository, best first.
    pub(super) fn of(&self, repository: &Repository) -> Result<Vec<Repository>, Error> {
        let fitting = self.detours.iter().filter(|detour| detour.from == repository.registry());
        let place = |detour: &Detour| {
            let name = match detour.prefix.as_str() {
                "" => repository.name().to_owned(),
                prefix => format!("{prefix}/{}", repository.name()),
            };
            let failed = |error| Error::Setup(format!("{repository} by way of {}: {error}", detour.to));
            Repository::new(&detour.to, &name).map_err(failed)
        };
        let mut places = fitting.map(place).collect::<Result<Vec<_>, _>>()?;
        if places.is_empty() || !self.skip_default {
            places.push(repository.clone());
        }
        Ok(places)
    }
}

fn detour(from: &str, to: &str) -> Result<Detour, &'static str> {
    if to.contains("://") {
        return Err("leave the scheme out; give host[:port][/prefix] (--insecure-registry allows plain HTTP)");
    }
    let (host, prefix) = to.trim_end_matches('/').split_once('/').unwrap_or((to.trim_end_matches('/'), ""));
    let host = canonical(host);
    Repository::new(&host, if prefix.is_empty() { "x" } else { prefix })
        .map_err(|_| "expected host[:port][/prefix]")?;
    Ok(Detour { from: from.to_owned(), to: host, prefix: prefix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Reference;

    fn places(routes: &Routes, name: &str) -> Vec<String> {
        let reference: Reference = name.parse().expect("a reference");
        routes.of(&reference.repository).expect("places").iter().map(Repository::to_string).collect()
    }

    #[test]
    fn places_in_order() {
        let mut routes = Routes::default();
        routes.add_map("index.docker.io=first.io/proxy;gcr.io=127.0.0.1:5000").expect("a map");
        routes.add_mirror("second:80").expect("a mirror");
        routes.add_mirror("third.io/a/b/").expect("a mirror");
        let docker = ["first.io/proxy/library/busybox", "second:80/library/busybox", "third.io/a/b/library/busybox"];
        assert_eq!(places(&routes, "busybox"), [&docker[..], &["docker.io/library/busybox"]].concat());
        assert_eq!(places(&routes, "gcr.io/a/b"), ["127.0.0.1:5000/a/b", "gcr.io/a/b"]);
        assert_eq!(places(&routes, "quay.io/a/b"), ["quay.io/a/b"]);
        routes.skip_default = true;
        assert_eq!(places(&routes, "busybox"), docker);
        assert_eq!(places(&routes, "quay.io/a/b"), ["quay.io/a/b"]);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        let mut routes = Routes::default();
        let error = routes.add_mirror("https://mirror.gcr.io").expect_err("a scheme").to_string();
        assert!(error.contains("--registry-mirror=https://mirror.gcr.io: leave the scheme out"), "{error}");
        for text in ["", "/", "a b", "host/UPPER", "host:port"] {
            assert!(routes.add_mirror(text).is_err(), "{text:?}");
        }
        for text in ["gcr.io", "gcr.io=", "=x.io", "https://gcr.io=x.io", "gcr.io=http://x.io", "gcr.io/a=x.io"] {
            assert!(routes.add_map(text).is_err(), "{text:?}");
        }
    }
}
