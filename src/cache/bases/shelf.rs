//! The directory of base images as warmers fill it: entries appear whole or not at all, and one warmer at a time works on an entry.
//!
//! All of it is below `DIR/silt`, locks too: kaniko's warmer cannot replace what it did not write, and fails where it finds such a thing
//! under its own names. An entry of kaniko's that is whole and not too old serves as it is. What killed warmers left is removed by the
//! next one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use jiff::SignedDuration;
use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, utimensat};
use rustix::io::Errno;
use tracing::{info, warn};

use super::entry::Entry;
use super::{Age, BaseCache, INDEXES, OWN};
use crate::cache::partial::{Making, PARTIAL, Partial, make_open, remove_stale, sync_directory};
use crate::oci::{Descriptor, Digest, Platform};
use crate::registry::{Client, Resolved};
use crate::store::{self, BlobDir, LayoutDir};

/// The directory of locks.
const LOCKS: &str = "locks";

/// What was found instead of being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// An entry that is whole.
    Fresh,
    /// One that was too old; it is as good as new now.
    Renewed,
}

/// A directory to fill.
#[derive(Debug)]
pub struct Shelf {
    /// Our own directory in that of the cache.
    dir: PathBuf,
    cache: BaseCache,
    making: Making,
    /// The entry that nothing may be taken from, since it is fetched again.
    distrusted: Mutex<Option<Digest>>,
}

impl Shelf {
    /// Opens `dir`, which is made if it is not there, and removes what killed warmers left.
    pub fn open(dir: &Path, ttl: SignedDuration) -> Result<Self> {
        let own = dir.join(OWN);
        fs::create_dir_all(dir).and_then(|()| make_open(&own)).with_context(|| format!("create {}", own.display()))?;
        remove_stale(&own);
        let (cache, making, distrusted) = (BaseCache::new(dir, ttl), Making::default(), Mutex::default());
        Ok(Shelf { dir: own, cache, making, distrusted })
    }

    /// The digest of the manifest that `digest` stands for on `platform`, if there is an entry, of whatever age.
    pub fn find(&self, digest: &Digest, platform: &Platform) -> Option<Digest> {
        self.cache.find(digest, platform, Age::Any)
    }

    /// Sees to it that the entry of `digest` is whole and not too old. `None` if there is none that is whole.
    pub fn keep(&self, digest: &Digest) -> Result<Option<Kept>> {
        let _lock = self.lock(digest)?;
        self.keep_locked(digest)
    }

    /// Stores an image, unless a whole entry is there already and `again` is not asked for. `name` is what people call it.
    pub fn store(&self, resolved: &Resolved, name: &str, client: &Client, again: bool) -> Result<Option<Kept>> {
        let _lock = self.lock(&resolved.digest)?;
        *self.distrusted.lock().unwrap_or_else(PoisonError::into_inner) = again.then(|| resolved.digest.clone());
        let kept = if again { None } else { self.keep_locked(&resolved.digest)? };
        if kept.is_none() {
            self.fill(resolved, name, client)?;
        }
        resolved.documents.indexes.iter().try_for_each(|(digest, bytes)| self.store_index(digest, bytes))?;
        Ok(kept)
    }

    /// Copies a layer into `blobs` that an entry has, if it is whole there. For clients that fetch for [`Shelf::store`].
    pub fn supply(&self, layer: &Descriptor, blobs: &BlobDir) -> bool {
        let distrusted = self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let digest = |entry: &fs::DirEntry| entry.file_name().to_str()?.parse::<Digest>().ok();
        let entries = [&self.dir, &self.cache.dir].into_iter().flat_map(fs::read_dir).flatten().flatten();
        let mut entries = entries.filter(|entry| digest(entry).is_some_and(|digest| Some(digest) != distrusted));
        entries.any(|entry| {
            let Ok(layout) = LayoutDir::open(&entry.path()) else { return false };
            layout.open_blob(&layer.digest).is_ok_and(|blob| blobs.copy_in(layer, blob, layout.path()).is_ok())
        })
    }

    /// Removes what is being made, when this process must end.
    pub fn abandon(&self) {
        self.making.abandon();
    }

    fn keep_locked(&self, digest: &Digest) -> Result<Option<Kept>> {
        let own = self.cache.own(digest);
        if self.is_whole(&own, digest, "will be replaced") {
            if self.cache.is_there(&own, Age::Fresh) {
                return Ok(Some(Kept::Fresh));
            }
            touch(&own).with_context(|| format!("renew {}", own.display()))?;
            return Ok(Some(Kept::Renewed));
        }
        // Nothing of kaniko's is changed, its age neither.
        let kanikos = self.cache.kanikos(digest);
        let serves = self.cache.is_there(&kanikos, Age::Fresh) && self.is_whole(&kanikos, digest, "is left to kaniko");
        Ok(serves.then_some(Kept::Fresh))
    }

    /// Whether there is an entry, of which every byte is right. If not, a warning says what becomes of it.
    fn is_whole(&self, path: &Path, digest: &Digest, fate: &str) -> bool {
        let Some(entry) = Entry::open(path) else { return false };
        let mut scratch = None;
        let verified = entry.verify(digest, || {
            let partial = Partial::begin(&self.dir, &self.making)?;
            let blobs = partial.blobs.clone();
            scratch = Some(partial);
            Ok(blobs)
        });
        drop(scratch);
        verified.inspect_err(|error| warn!("{} is corrupt and {fate}: {error:#}", path.display())).is_ok()
    }

    fn fill(&self, resolved: &Resolved, name: &str, client: &Client) -> Result<()> {
        let partial = Partial::begin(&self.dir, &self.making)?;
        client.fetch(&resolved.image, &partial.blobs)?;
        let documents = &resolved.documents;
        let size = documents.manifest.len() as u64;
        let manifest = Descriptor::new(documents.media_type.clone(), resolved.digest.clone(), size);
        let documents = [(&manifest, &documents.manifest[..]), (&documents.config_descriptor, &documents.config[..])];
        store::write_known_layout(&partial.blobs, documents, resolved.image.config.platform(), name)?;
        let path = self.cache.own(&resolved.digest);
        partial.place(&path).with_context(|| format!("put the image to {}", path.display()))
    }

    fn store_index(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let dir = self.dir.join(INDEXES);
        let path = dir.join(digest.as_str());
        if fs::read(&path).is_ok_and(|found| found == bytes) {
            return Ok(());
        }
        let _lock = self.lock(digest)?;
        let partial = dir.join(format!("{PARTIAL}{digest}"));
        let write = || -> io::Result<()> {
            make_open(&dir)?;
            let mut file = File::create(&partial)?;
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&partial, &path)?;
            sync_directory(&dir)
        };
        write().with_context(|| format!("write {}", path.display()))
    }

    /// Waits until nobody else works on the entry. Where the file system has no locks the renames must do.
    fn lock(&self, digest: &Digest) -> Result<File> {
        let dir = self.dir.join(LOCKS);
        let path = dir.join(format!("{digest}.lock"));
        let open = || -> io::Result<File> {
            make_open(&dir)?;
            let flags = rustix::fs::OFlags::NOFOLLOW.bits();
            let flags = i32::try_from(flags).unwrap_or_default();
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .custom_flags(flags)
                .open(&path)
        };
        let file = open().with_context(|| format!("open the lock {}", path.display()))?;
        let locked = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                info!("Waiting for another warmer that works on {digest}");
                flock(&file, FlockOperation::LockExclusive)
            }
            locked => locked,
        };
        match locked {
            Err(Errno::OPNOTSUPP | Errno::NOLCK | Errno::NOSYS) => {
                warn!("{} cannot be locked; two warmers may fetch the same image", path.display());
                Ok(file)
            }
            locked => locked.map(|()| file).with_context(|| format!("lock {}", path.display())),
        }
    }
}

fn touch(path: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
