//! Base images that a warmer left in a directory (`--cache-dir`), for executors that share it.
//!
//! `DIR/silt/<digest of the manifest>` is an OCI layout of one image; `DIR/silt/indexes/<digest>` is an index, so that its digest needs
//! no registry either. All that is written here is below `DIR/silt`, since kaniko may share the directory: `DIR/<digest>` is an OCI
//! layout as kaniko's fork has it, or a docker archive with the manifest beside it in `<digest>.json`, as kaniko's own warmer writes
//! them. Those are read and never touched. The name is a promise that everything is checked against: the manifest against it, the
//! configuration and the layers against the manifest, whenever they are used. So nothing here must be trusted, and nothing here fails
//! a build: what is absent, too old, or not what it should be is pulled.
//!
//! An entry is too old when its modification time is longer ago than `--cache-ttl`.

mod entry;
mod shelf;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Result;
use jiff::SignedDuration;
use tracing::{debug, info, warn};

use crate::oci::{Descriptor, Digest, Document, Image, Platform, Repository};
use crate::store::{BlobDir, LayoutDir};
use entry::Entry;
pub use shelf::{Kept, Shelf};

/// The directory of what is written here, in the one that kaniko may use too.
const OWN: &str = "silt";

/// The directory of indexes in it.
const INDEXES: &str = "indexes";

/// How deep an index may stand in an index.
const MAX_DEPTH: usize = 4;

/// How often an entry that is replaced while it is read is read again.
const ATTEMPTS: usize = 3;

/// Which entries count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Those that are not too old.
    Fresh,
    /// All.
    Any,
}

/// The directory, as executors read it. It is never written to, and need not exist.
#[derive(Debug)]
pub struct BaseCache {
    dir: PathBuf,
    ttl: SignedDuration,
    /// Where the layers of the images are that were found: nobody else asks for them.
    layers: Mutex<BTreeMap<Digest, Entry>>,
}

impl BaseCache {
    /// The images in `dir` that are not older than `ttl`.
    pub fn new(dir: &Path, ttl: SignedDuration) -> Self {
        BaseCache { dir: dir.to_owned(), ttl, layers: Mutex::default() }
    }

    /// The digest of the manifest that `digest`, of a manifest or an index, stands for on `platform`, if there is an entry for it.
    pub fn find(&self, digest: &Digest, platform: &Platform, age: Age) -> Option<Digest> {
        let mut digest = digest.clone();
        for _ in 0..MAX_DEPTH {
            if self.has(&digest, age) {
                return Some(digest);
            }
            digest = self.select(&digest, platform)?;
        }
        None
    }

    /// The image of the manifest `digest`, whose layers stay where they are until [`BaseCache::supply`] is asked for them, or are copied
    /// into `blobs` now. `None`, after a warning, if it cannot be used.
    pub fn image(&self, digest: &Digest, platform: &Platform, origin: &Repository, blobs: &BlobDir) -> Option<Image> {
        let mut places = self.places(digest).into_iter().filter(|path| Entry::open(path).is_some()).peekable();
        while let Some(place) = places.next() {
            match self.image_at(&place, digest, platform, origin, blobs) {
                Some(Ok(image)) => return Some(image),
                Some(Err(error)) if places.peek().is_none() => {
                    warn!("the base image in {} cannot be used and is pulled: {error}", place.display());
                }
                Some(Err(error)) => warn!("the base image in {} cannot be used: {error}", place.display()),
                None => {}
            }
        }
        None
    }

    /// The image at `place`; `None` if there is none by now.
    fn image_at(
        &self,
        place: &Path,
        digest: &Digest,
        platform: &Platform,
        origin: &Repository,
        blobs: &BlobDir,
    ) -> Option<Result<Image>> {
        for _ in 0..ATTEMPTS {
            let entry = Entry::open(place)?;
            match entry.image(digest, platform, origin, blobs) {
                Ok(image) => {
                    info!("Found {digest} in {}", self.dir.display());
                    self.remember(&image, entry);
                    return Some(Ok(image));
                }
                Err(_) if entry.is_replaced() => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }

    /// Copies a layer of an image that was found into `blobs`, if it is what it should be.
    pub fn supply(&self, layer: &Descriptor, blobs: &BlobDir) -> bool {
        let known = self.layers.lock().unwrap_or_else(PoisonError::into_inner).get(&layer.digest).cloned();
        let Some(mut entry) = known else { return false };
        for _ in 0..ATTEMPTS {
            match entry.layer(layer, blobs) {
                Ok(()) => return true,
                Err(_) if entry.is_replaced() => match Entry::open(entry.path()) {
                    Some(new) => entry = new,
                    None => return false,
                },
                Err(error) => {
                    warn!("a layer in {} cannot be used and is pulled: {error}", entry.path().display());
                    return false;
                }
            }
        }
        false
    }

    fn remember(&self, image: &Image, entry: Entry) {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.extend(image.layers().iter().map(|layer| (layer.descriptor.digest.clone(), entry.clone())));
    }

    /// Where an entry may be: our own, and kaniko's.
    fn places(&self, digest: &Digest) -> [PathBuf; 2] {
        [self.own(digest), self.kanikos(digest)]
    }

    fn own(&self, digest: &Digest) -> PathBuf {
        self.dir.join(OWN).join(digest.as_str())
    }

    fn kanikos(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.as_str())
    }

    fn has(&self, digest: &Digest, age: Age) -> bool {
        self.places(digest).iter().any(|path| self.is_there(path, age))
    }

    fn is_there(&self, path: &Path, age: Age) -> bool {
        let Ok(found) = fs::symlink_metadata(path) else { return false };
        if !(found.is_dir() || found.is_file()) {
            return false;
        }
        let is_fresh = found.modified().is_ok_and(|modified| !is_older(modified, self.ttl));
        if !is_fresh && age == Age::Fresh {
            debug!("{} is older than --cache-ttl", path.display());
        }
        is_fresh || age == Age::Any
    }

    /// What a known index has for `platform`.
    fn select(&self, digest: &Digest, platform: &Platform) -> Option<Digest> {
        let indexes = LayoutDir::open(&self.dir.join(OWN).join(INDEXES)).ok()?;
        let bytes = indexes.read_document(digest.as_str()).ok()?;
        if !digest.verifies(&bytes) {
            debug!("the index {digest} in {} is corrupt", indexes.path().display());
            return None;
        }
        match Document::parse(&bytes, None).ok()? {
            Document::Index(index) => Some(index.select(platform).ok()?.digest.clone()),
            Document::Manifest(_) => None,
        }
    }
}

/// Whether `time` is longer ago than `ttl`. A time of the future is not.
fn is_older(time: SystemTime, ttl: SignedDuration) -> bool {
    let age = match SystemTime::now().duration_since(time) {
        Ok(age) => SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX),
        Err(_) => SignedDuration::ZERO,
    };
    age > ttl
}
