//! The directory of base images as warmers fill it: entries appear whole or not at all, and one warmer at a time works on an entry.
//!
//! An entry is made under another name, `.warming-…`, written to the disk, and then renamed; where one is there already the two are
//! exchanged, so that there is always one. The lock on `.warmer-locks/<digest>.lock` is the one of kaniko's fork. A directory under such
//! another name is locked by whom it belongs to; those of warmers that were killed are removed by the next one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use jiff::SignedDuration;
use rustix::fs::{
    AtFlags, CWD, FlockOperation, RenameFlags, Timespec, Timestamps, UTIME_NOW, flock, renameat_with, utimensat,
};
use rustix::io::Errno;
use tracing::{info, warn};

use super::entry::{Entry, beside};
use super::{Age, BaseCache, INDEXES};
use crate::oci::{Descriptor, Digest, Platform};
use crate::registry::{Client, Resolved};
use crate::store::{self, BlobDir, LayoutDir};

/// The directory of locks, as kaniko's fork has it.
const LOCKS: &str = ".warmer-locks";

/// What the names of entries begin with that are not finished.
const PARTIAL: &str = ".warming-";

/// How often a name for an entry is looked for that nobody removes in between.
const ATTEMPTS: usize = 100;

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
    dir: PathBuf,
    cache: BaseCache,
    /// What is being made now, for [`Shelf::abandon`].
    partial: Mutex<Option<PathBuf>>,
    /// The entry that nothing may be taken from, since it is fetched again.
    distrusted: Mutex<Option<Digest>>,
}

impl Shelf {
    /// Opens `dir`, which is made if it is not there, and removes what killed warmers left.
    pub fn open(dir: &Path, ttl: SignedDuration) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        remove_stale(dir);
        let (cache, partial, distrusted) = (BaseCache::new(dir, ttl), Mutex::default(), Mutex::default());
        Ok(Shelf { dir: dir.to_owned(), cache, partial, distrusted })
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
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut entries = entries.filter(|entry| digest(entry).is_some_and(|digest| Some(digest) != distrusted));
        entries.any(|entry| {
            let Ok(layout) = LayoutDir::open(&entry.path()) else { return false };
            layout.open_blob(&layer.digest).is_ok_and(|blob| blobs.copy_in(layer, blob, layout.path()).is_ok())
        })
    }

    /// Removes what is being made, when this process must end.
    pub fn abandon(&self) {
        if let Some(path) = &*self.partial.lock().unwrap_or_else(PoisonError::into_inner) {
            drop(remove(path));
        }
    }

    fn keep_locked(&self, digest: &Digest) -> Result<Option<Kept>> {
        let path = self.path(digest);
        let Some(entry) = Entry::open(&path) else { return Ok(None) };
        let mut scratch = None;
        let verified = entry.verify(digest, || {
            let partial = Partial::begin(self)?;
            let blobs = partial.blobs.clone();
            scratch = Some(partial);
            Ok(blobs)
        });
        drop(scratch);
        if let Err(error) = verified {
            warn!("{} is corrupt and will be replaced: {error:#}", path.display());
            return Ok(None);
        }
        if self.cache.has(digest, Age::Fresh) {
            return Ok(Some(Kept::Fresh));
        }
        touch(&path).with_context(|| format!("renew {}", path.display()))?;
        Ok(Some(Kept::Renewed))
    }

    fn fill(&self, resolved: &Resolved, name: &str, client: &Client) -> Result<()> {
        let partial = Partial::begin(self)?;
        client.fetch(&resolved.image, &partial.blobs)?;
        let documents = &resolved.documents;
        let size = documents.manifest.len() as u64;
        let manifest = Descriptor::new(documents.media_type.clone(), resolved.digest.clone(), size);
        let documents = [(&manifest, &documents.manifest[..]), (&documents.config_descriptor, &documents.config[..])];
        store::write_known_layout(&partial.blobs, documents, resolved.image.config.platform(), name)?;
        let path = self.path(&resolved.digest);
        partial.place(&path).with_context(|| format!("put the image to {}", path.display()))?;
        // A sidecar of an archive that was here.
        drop(fs::remove_file(beside(&path)));
        Ok(())
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

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.as_str())
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

/// An entry that is being made, or what is left of one. Dropped, it is removed.
struct Partial<'s> {
    shelf: &'s Shelf,
    path: PathBuf,
    blobs: BlobDir,
    _lock: File,
}

impl<'s> Partial<'s> {
    fn begin(shelf: &'s Shelf) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            let made = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(&shelf.dir);
            let path = made.with_context(|| format!("create a directory in {}", shelf.dir.display()))?.keep();
            *shelf.partial.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.clone());
            // One that looks for what was left over may have been faster than our lock.
            let Some(lock) = hold(&path) else { continue };
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("chmod {}", path.display()))?;
            let blobs = BlobDir::create(&path)?;
            return Ok(Partial { shelf, path, blobs, _lock: lock });
        }
        anyhow::bail!("directories in {} vanish as soon as they are made", shelf.dir.display())
    }

    /// Gives the entry its name once the disk has it. What had that name before is removed with `self`.
    fn place(self, path: &Path) -> io::Result<()> {
        sync_tree(&self.path)?;
        exchange(&self.path, path)?;
        sync_directory(&self.shelf.dir)
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        *self.shelf.partial.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Err(error) = remove(&self.path) {
            warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// The lock of a directory that was just made, unless it is gone or somebody else has it.
fn hold(path: &Path) -> Option<File> {
    let lock = File::open(path).ok()?;
    lock.try_lock().ok()?;
    let (held, there) = (lock.metadata().ok()?, fs::symlink_metadata(path).ok()?);
    (held.ino() == there.ino() && held.dev() == there.dev()).then_some(lock)
}

/// Gives `new` the name `path`, and what has that name the name of `new`.
fn exchange(new: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, new, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(()),
        Err(Errno::EXIST) => {}
        // A file system that cannot say so.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if fs::symlink_metadata(path).is_ok() => {}
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => return fs::rename(new, path),
        Err(error) => return Err(error.into()),
    }
    match renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => exchange_in_steps(new, path),
        exchanged => Ok(exchanged?),
    }
}

/// The same where the kernel has no call for it: for a moment there is no entry.
fn exchange_in_steps(new: &Path, path: &Path) -> io::Result<()> {
    let aside = new.with_extension("old");
    fs::rename(path, &aside)?;
    if let Err(error) = fs::rename(new, path) {
        drop(fs::rename(&aside, path));
        return Err(error);
    }
    fs::rename(&aside, new)
}

/// Removes what warmers left that were killed. What is locked belongs to one that runs.
fn remove_stale(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_partial =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PARTIAL.as_bytes()));
    for path in entries.filter(is_partial) {
        let Ok(lock) = File::open(&path) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        if let Err(error) = remove(&path) {
            warn!("cannot remove {}, left by an earlier warmer: {error}", path.display());
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// A directory that others can read, whatever the umask.
fn make_open(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Ok(()) => fs::set_permissions(dir, fs::Permissions::from_mode(0o755)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn touch(path: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Has the disk hold all files and directories at and below `path`.
fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_directory(path)
}

/// Some file systems of clusters do not let directories be synced, and need not.
fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}
