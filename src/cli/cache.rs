//! The flags of the layer cache become what the build is to do with it.

use anyhow::{Context as _, Result, bail, ensure};

use super::flags::Flags;
use super::request;
use crate::build::{Access, LayerCache, Layers};
use crate::cache::Repo;
use crate::oci::Repository;

/// `--cache` and what belongs to it; without it nothing is cached.
///
/// # Errors
/// No repository is given and none follows from a destination.
pub(super) fn layers(flags: &Flags) -> Result<Option<LayerCache>> {
    let wanted = &flags.cache;
    if !wanted.cache {
        ensure!(flags.own.cache_explain.is_none(), "--cache-explain needs --cache");
        return Ok(None);
    }
    Ok(Some(LayerCache {
        repo: repo(flags)?,
        ttl: wanted.cache_ttl,
        layers: Layers { runs: wanted.cache_run_layers, copies: wanted.cache_copy_layers },
        access: if wanted.no_push_cache { Access::ReadOnly } else { Access::ReadWrite },
        memory: wanted.cache_dir.clone(),
        explain: flags.own.cache_explain.clone(),
    }))
}

/// `--cache-repo`, or `cache` below the repository of the first destination.
fn repo(flags: &Flags) -> Result<Repo> {
    if let Some(given) = flags.cache.cache_repo.as_ref().filter(|given| !given.is_empty()) {
        return given.parse().with_context(|| format!("--cache-repo={given}"));
    }
    if flags.output.no_push && !flags.cache.no_push_cache {
        bail!("--cache with --no-push: give --cache-repo=REPOSITORY or --cache-repo=oci:DIR, or --no-push-cache");
    }
    let destinations = request::references(&flags.output.destination)?;
    let Some(first) = destinations.first() else {
        bail!("--cache: there is no --destination to take the repository from; give --cache-repo=REPOSITORY or oci:DIR")
    };
    let repository = &first.repository;
    Ok(Repo::Registry(Repository::new(repository.registry(), &format!("{}/cache", repository.name()))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::flags;

    fn repo_of(args: &[&str]) -> Result<Option<String>> {
        Ok(layers(&flags(args))?.map(|cache| cache.repo.to_string()))
    }

    #[test]
    fn the_repository_is_given_or_that_of_the_first_destination() {
        let is = |args: &[&str], expected: Option<&str>| assert_eq!(repo_of(args).expect("ok").as_deref(), expected);
        is(&["--cache-repo=r.io/x"], None);
        is(&["--cache", "-d", "r.io/team/app:1", "-d", "r.io/other"], Some("r.io/team/app/cache"));
        is(&["--cache", "-d", "app"], Some("docker.io/library/app/cache"));
        is(&["--cache", "--no-push", "--cache-repo=r.io:5000/x"], Some("r.io:5000/x"));
        is(&["--cache=true", "--no-push", "--cache-repo=oci:/c"], Some("oci:/c"));
        is(&["--cache", "--no-push", "--no-push-cache", "-d", "r.io/app"], Some("r.io/app/cache"));
        for args in [
            &["--cache", "--no-push"][..],
            &["--cache", "--no-push", "-d", "r.io/app"],
            &["--cache", "--no-push", "--no-push-cache"],
            &["--cache", "--cache-repo=r.io/x:tag", "-d", "x"],
            &["--cache-explain=/x"],
        ] {
            assert!(repo_of(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn what_is_cached_and_whether_it_is_kept() {
        let cache = |args: &[&str]| layers(&flags(args)).expect("ok").expect("a cache");
        let usual = cache(&["--cache", "-d", "x"]);
        assert_eq!((usual.layers, usual.access), (Layers { runs: true, copies: false }, Access::ReadWrite));
        assert_eq!(usual.ttl.as_hours(), 336);
        let other =
            cache(&["--cache", "-d", "x", "--cache-copy-layers", "--cache-run-layers=false", "--no-push-cache"]);
        assert_eq!((other.layers, other.access), (Layers { runs: false, copies: true }, Access::ReadOnly));
    }
}
