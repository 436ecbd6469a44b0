//! Where entries are, and how one is looked for and left there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use super::lookup::Patience;
use super::{Content, Entry, Found, Key, Miss, Place, Record, layouts};
use crate::oci::{Format, Image, Platform, Reference, Repository};
use crate::registry::{self, Client};
use crate::store::BlobDir;

/// Where entries are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repo {
    /// A repository of a registry, an entry being a tag.
    Registry(Repository),
    /// A directory of OCI layouts.
    Layouts(PathBuf),
}

impl FromStr for Repo {
    type Err = anyhow::Error;

    /// `oci:PATH`, or the name of a repository, without a tag.
    fn from_str(text: &str) -> Result<Repo> {
        if let Some(path) = text.strip_prefix("oci:") {
            anyhow::ensure!(!path.is_empty(), "expected oci:PATH");
            return Ok(Repo::Layouts(path.into()));
        }
        let reference: Reference = text.parse()?;
        let repository = reference.repository.to_string();
        let is_bare = reference.digest().is_none() && !text.rsplit('/').next().unwrap_or_default().contains(':');
        anyhow::ensure!(is_bare, "a cache is a repository without a tag, such as {repository}");
        Ok(Repo::Registry(reference.repository))
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repo::Registry(repository) => repository.fmt(f),
            Repo::Layouts(dir) => write!(f, "oci:{}", dir.display()),
        }
    }
}

/// A cache in use by one build.
pub struct Cache<'a> {
    /// Where entries are.
    pub repo: Repo,
    /// How long one is good.
    pub ttl: SignedDuration,
    /// What reaches registries.
    pub client: &'a Client,
    /// Where layers are that are here.
    pub blobs: &'a BlobDir,
    pub(super) patience: Patience,
    /// Whether it is asked no more.
    given_up: AtomicBool,
    /// Whether it did not answer, so that nothing is sent there.
    silent: AtomicBool,
}

impl<'a> Cache<'a> {
    /// A cache whose entries are good for `ttl`.
    pub fn new(repo: Repo, ttl: SignedDuration, client: &'a Client, blobs: &'a BlobDir) -> Self {
        if let Repo::Layouts(dir) = &repo {
            layouts::clean(dir);
        }
        let (given_up, silent) = (AtomicBool::new(false), AtomicBool::new(false));
        Cache { repo, ttl, client, blobs, patience: Patience::default(), given_up, silent }
    }

    /// Looks for one entry. A registry that does not answer is asked no more.
    pub(super) fn find(&self, key: &Key, until: Instant) -> Found {
        if self.given_up.load(Ordering::Relaxed) {
            return Found::Miss(Miss::Unreachable);
        }
        let entry = match self.read(key, self.patience.end_of_one(until)) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Found::Miss(Miss::Absent),
            Err(error) => return Found::Miss(self.trouble(key, &error)),
        };
        match entry.created.checked_add(self.ttl) {
            Ok(end) if end < Timestamp::now() => Found::Miss(Miss::Expired),
            _ => Found::Hit(Box::new(entry.hit())),
        }
    }

    /// Says what is wrong, unless it was said.
    fn trouble(&self, key: &Key, error: &anyhow::Error) -> Miss {
        if self.gives_up(error) {
            return Miss::Unreachable;
        }
        warn!("The cache entry {}:{key} is not used: {error:#}", self.repo);
        Miss::Unusable(format!("{error:#}"))
    }

    /// Whether the fault is not one entry's. Then nothing more is asked, which is said once.
    fn gives_up(&self, error: &anyhow::Error) -> bool {
        let Some(fault) = error.chain().find_map(|cause| cause.downcast_ref::<registry::Error>()) else { return false };
        if !of_the_registry(fault) {
            return false;
        }
        let is_silent = matches!(fault, registry::Error::Unreachable { .. } | registry::Error::Interrupted { .. });
        self.silent.fetch_or(is_silent, Ordering::Relaxed);
        if !self.given_up.swap(true, Ordering::Relaxed) {
            let too = if is_silent { ", and nothing is sent there" } else { "" };
            warn!("The cache {} is not read{too}: {error:#}", self.repo);
        }
        true
    }

    /// Whether it did not answer, so that sending to it would take long and be of no use.
    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    fn read(&self, key: &Key, until: Instant) -> Result<Option<Entry>> {
        match &self.repo {
            Repo::Layouts(dir) => layouts::read(dir, key, self.blobs),
            Repo::Registry(repository) => {
                let Some(image) = self.resolve(repository, key.as_str(), until)? else { return Ok(None) };
                let entry = Entry::read(&image, key)?;
                if let Content::Layer(layer) = &entry.content {
                    let is_there = self.client.has_by(repository, &layer.descriptor, until)?;
                    anyhow::ensure!(is_there, "its layer {} is not there", layer.descriptor.digest);
                }
                Ok(Some(entry))
            }
        }
    }

    fn resolve(&self, repository: &Repository, tag: &str, until: Instant) -> Result<Option<Image>> {
        match self.client.resolve_by(&reference(repository, tag)?, &Platform::host(), until) {
            Ok(resolved) => Ok(Some(resolved.image)),
            Err(registry::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What is known of the newest entry of a place.
    pub(super) fn newest(&self, place: &Place, until: Instant) -> Option<Record> {
        if self.given_up.load(Ordering::Relaxed) {
            return None;
        }
        match &self.repo {
            Repo::Layouts(dir) => layouts::newest(dir, &place.tag()),
            Repo::Registry(repository) => {
                let found = self.resolve(repository, &place.tag(), self.patience.end_of_one(until));
                let image = match found {
                    Ok(image) => image?,
                    Err(error) => {
                        self.gives_up(&error);
                        return None;
                    }
                };
                Entry::of(&image).ok().map(|entry| entry.record)
            }
        }
    }

    /// Leaves an entry, under its key and as the newest of its place.
    pub(super) fn leave(&self, entry: &Entry, place: &Place, format: Format, platform: &Platform) -> Result<()> {
        let image = entry.image(format, platform, self.blobs)?;
        match &self.repo {
            Repo::Layouts(dir) => layouts::write(dir, entry, &image, &place.tag(), self.blobs),
            Repo::Registry(repository) => {
                let tags = [entry.key.as_str(), &place.tag()].map(|tag| reference(repository, tag));
                let tags = tags.into_iter().collect::<Result<Vec<_>>>()?;
                self.client.push_to_all(&tags, &image, self.blobs)?;
                Ok(())
            }
        }
    }
}

/// Whether the fault is not one entry's.
fn of_the_registry(error: &registry::Error) -> bool {
    !matches!(
        error,
        registry::Error::Document { .. }
            | registry::Error::Image { .. }
            | registry::Error::Blob { .. }
            | registry::Error::NotFound { .. }
            | registry::Error::Platform { .. }
            | registry::Error::Protocol { .. }
    )
}

fn reference(repository: &Repository, tag: &str) -> Result<Reference> {
    format!("{repository}:{tag}").parse().context("the name of an entry")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_a_repository_or_a_directory() {
        let parse = |text: &str| text.parse::<Repo>().map(|repo| repo.to_string()).map_err(|error| error.to_string());
        assert_eq!(parse("oci:/a/b").expect("layouts"), "oci:/a/b");
        assert_eq!(parse("localhost:5000/a/cache").expect("a repository"), "localhost:5000/a/cache");
        assert_eq!(parse("team/cache").expect("a repository"), "docker.io/team/cache");
        assert!(parse("oci:").is_err() && parse("team/X").is_err());
        for tagged in ["r.io/a:tag", "r.io/a:latest"] {
            assert!(parse(tagged).expect_err("a tag").contains("without a tag"), "{tagged}");
        }
    }
}
