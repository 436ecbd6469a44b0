//! Cache mounts that survive the machine: what `RUN --mount=type=cache` left is saved to a directory or a repository, one artifact for
//! each id, and brought back by the next build that has no such cache yet.
//!
//! A cache is saved once, at the end of a build, failed or not, and only if every step that used it ended well: what a failed step wrote
//! may be half of something. Of two builds that save one id the later wins. What was not changed is not saved again, and nothing here
//! fails a build: a warning says what could not be done. What is brought back is unpacked as layers are, and no larger than the limit;
//! whether it can be trusted depends on who may write there.

mod artifact;
mod contents;
mod directory;
mod repository;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::SignedDuration;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tracing::{debug, info, warn};

use crate::cache::partial::Making;
use crate::oci::{Descriptor, Repository};
use crate::registry::Client;
use crate::rootfs::{Root, Tree, clear};
use crate::store::BlobDir;
use artifact::{About, Saved, key};

/// Where caches are saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SavedIn {
    /// `DIR/KEY` is an OCI layout with one artifact.
    Directory(PathBuf),
    /// `REPOSITORY:mount-KEY` is one artifact.
    Repository(Repository),
}

/// Whether a build saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saving {
    /// It does.
    On,
    /// It only brings back (`--no-push-cache`).
    Off,
}

/// What is not saved, and what is not brought back.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of a cache, as a tar.
    pub size: u64,
    /// How long ago a cache may have been saved.
    pub age: SignedDuration,
}

/// Saved caches.
#[derive(Debug)]
pub struct MountCache {
    place: SavedIn,
    saving: Saving,
    limits: Limits,
    /// By id: what was brought back, and the tree as it was then.
    restored: Mutex<BTreeMap<Vec<u8>, (Saved, Tree)>>,
    making: Making,
}

/// What a cache is read and written with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Connections to registries.
    pub client: &'a Client,
    /// A store of our own.
    pub blobs: &'a BlobDir,
}

impl MountCache {
    /// Those in `place`.
    pub fn new(place: SavedIn, saving: Saving, limits: Limits) -> Self {
        MountCache { place, saving, limits, restored: Mutex::default(), making: Making::default() }
    }

    /// Makes the directory `to` from what was saved for `id`; says whether there was anything. If not, `to` is not there.
    pub fn restore(&self, id: &[u8], to: &Path, means: Means<'_>) -> bool {
        let name = String::from_utf8_lossy(id).into_owned();
        let restored = self.find(id, means).and_then(|saved| match saved {
            Some(saved) if self.is_too_old(&saved.about) => {
                info!("The saved cache mount {name} is older than --cache-mount-max-age");
                Ok(None)
            }
            Some(saved) => self.unpack(id, &saved, to, means).map(|tree| Some((saved, tree))),
            None => Ok(None),
        });
        match restored {
            Ok(Some((saved, tree))) => {
                info!("Restored the cache mount {name}, {} paths", tree.len());
                self.restored.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_vec(), (saved, tree));
                true
            }
            Ok(None) => false,
            Err(error) => {
                warn!("the cache mount {name} cannot be restored and begins empty: {error:#}");
                remove(to);
                false
            }
        }
    }

    /// Saves the cache of `id` in `dir`, the directory that holds it as `data`.
    pub fn save(&self, id: &[u8], dir: &Path, means: Means<'_>) {
        let name = String::from_utf8_lossy(id).into_owned();
        if self.saving == Saving::Off {
            debug!("The cache mount {name} is not saved: --no-push-cache");
            return;
        }
        match self.try_save(id, dir, means) {
            Ok(Some(size)) => info!("Saved the cache mount {name}, {size} bytes"),
            Ok(None) => {}
            Err(error) => warn!("the cache mount {name} is not saved: {error:#}"),
        }
    }

    fn find(&self, id: &[u8], means: Means<'_>) -> Result<Option<Saved>> {
        match &self.place {
            SavedIn::Directory(dir) => directory::find(dir, &key(id)),
            SavedIn::Repository(repository) => repository::find(repository, &key(id), means.client),
        }
    }

    /// Brings the layer and unpacks it.
    fn unpack(&self, id: &[u8], saved: &Saved, to: &Path, means: Means<'_>) -> Result<Tree> {
        ensure!(saved.about.id.as_bytes() == id, "what is saved there is the cache mount {:?}", saved.about.id);
        let layer = &saved.layer;
        ensure!(layer.size <= self.limits.size, "{} bytes are more than --cache-mount-max-size", layer.size);
        match &self.place {
            SavedIn::Directory(dir) => directory::fetch(dir, &key(id), layer, means.blobs)?,
            SavedIn::Repository(repository) => means.client.artifact_blob(repository, layer, means.blobs)?,
        }
        let unpacked = contents::unpack(means.blobs.open(&layer.digest)?, to, &saved.about, self.limits.size);
        forget(layer, means.blobs);
        unpacked
    }

    /// The size of what was saved; nothing if that was not needed.
    fn try_save(&self, id: &[u8], dir: &Path, means: Means<'_>) -> Result<Option<u64>> {
        let Some(_lock) = lock(dir)? else {
            info!("The cache mount {} is in use by another build and is not saved", String::from_utf8_lossy(id));
            return Ok(None);
        };
        let data = dir.join("data");
        ensure!(fs::symlink_metadata(&data)?.is_dir(), "{} is no directory", data.display());
        let root = Root::open(&data)?;
        let tree = contents::scan(&root)?;
        let before = self.restored.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some((saved, restored)) = &before
            && contents::is_same(restored, &tree)
            && !self.is_half_as_old(&saved.about)
        {
            debug!("The cache mount {} is as it was", saved.about.id);
            return Ok(None);
        }
        let size = contents::size(&tree);
        if size > self.limits.size {
            bail!("its {size} bytes are more than --cache-mount-max-size");
        }
        let layer = contents::pack(&root, &tree, means.blobs)?;
        let saved = self.store(id, &tree, layer, means);
        saved.map(|stored| stored.then_some(size))
    }

    /// Whether anything was stored.
    fn store(&self, id: &[u8], tree: &Tree, layer: crate::layer::Layer, means: Means<'_>) -> Result<bool> {
        let blob = layer.descriptor.clone();
        let stored = (|| {
            let size = layer.uncompressed_size;
            ensure!(size <= self.limits.size, "its {size} bytes are more than --cache-mount-max-size");
            let about = About::of(id, tree, &layer, now())?;
            let there = self.find(id, means).unwrap_or_default();
            if there.is_some_and(|there| there.is(&blob, &about) && !self.is_half_as_old(&there.about)) {
                debug!("The cache mount {} is saved already", about.id);
                return Ok(false);
            }
            let key = key(id);
            match &self.place {
                SavedIn::Directory(dir) => directory::store(dir, &key, &about, &blob, means.blobs, &self.making)?,
                SavedIn::Repository(repository) => repository::store(repository, &key, &about, &layer, means)?,
            }
            Ok(true)
        })();
        forget(&blob, means.blobs);
        stored
    }

    fn is_too_old(&self, about: &About) -> bool {
        age(about) > self.limits.age
    }

    /// So it is saved again, though nothing changed: what is used does not become too old.
    fn is_half_as_old(&self, about: &About) -> bool {
        age(about) > self.limits.age / 2
    }
}

/// How long ago a cache was saved.
fn age(about: &About) -> SignedDuration {
    let seconds = i64::try_from(now().saturating_sub(about.saved)).unwrap_or(i64::MAX);
    SignedDuration::from_secs(seconds)
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The cache's lock, unless somebody has it.
fn lock(dir: &Path) -> Result<Option<File>> {
    let path = dir.join("lock");
    let lock = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(None),
        locked => locked.map(|()| Some(lock)).context("lock a cache"),
    }
}

/// A blob that nobody needs any more.
fn forget(blob: &Descriptor, blobs: &BlobDir) {
    drop(fs::remove_file(blobs.path(&blob.digest)));
}

/// Removes what was unpacked so far, as deep as it may be.
fn remove(dir: &Path) {
    let cleared = Root::open(dir).and_then(|root| clear(&root)).and_then(|()| fs::remove_dir(dir));
    if let Err(error) = cleared
        && fs::symlink_metadata(dir).is_ok()
    {
        warn!("cannot remove {}: {error}", dir.display());
    }
}
