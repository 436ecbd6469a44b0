//! `--mount=type=cache`: directories of ours that outlive a build, one for each id, and who may use one when.
//!
//! `CACHES/KEY/data` is the directory, KEY being a digest of the id; a lock on `CACHES/KEY/lock` says that it is in use, and the
//! kernel gives it back when its holder ends. Where nothing can be mounted a cache is moved to its place, so that only one
//! step at a time can have it, whatever `sharing` says.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::bind;
use super::points::Points;
use crate::dockerfile::{self, Sharing};
use crate::rootfs::{Entry, Kind, Root, RootPath, Timestamp, Xattrs};
use crate::steps::Tree;
use crate::steps::run::{Access, After, Isolation, Mount, What};
use crate::steps::source::find_one;

/// How many private directories one id may have.
const MOST_PRIVATE: u32 = 64;

/// A cache in use. Dropped, others may have it.
#[derive(Debug)]
pub(super) struct Lease {
    id: Vec<u8>,
    data: PathBuf,
    lock: File,
}

impl Lease {
    /// Takes the cache of `id`, and has a new one filled: `fill` makes the directory that it is given the path of.
    pub(super) fn take(
        caches: &Path,
        id: &[u8],
        sharing: Sharing,
        isolation: Isolation,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let key: String = Sha256::digest(id).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let dir = caches.join(key);
        let (dir, lock) = match sharing {
            Sharing::Private => private(&dir)?,
            Sharing::Shared if isolation == Isolation::Isolated => (dir.clone(), lock(&dir, true)?),
            Sharing::Shared | Sharing::Locked => (dir.clone(), lock(&dir, false)?),
        };
        let data = dir.join("data");
        if !fs::symlink_metadata(&data).is_ok_and(|found| found.is_dir()) {
            renew(&dir, &data, fill)?;
        }
        Ok(Lease { id: id.to_owned(), data, lock })
    }

    /// Whether it is the cache of `id`.
    pub(super) fn is_of(&self, id: &[u8]) -> bool {
        self.id == id
    }

    /// Whose cache it is.
    pub(super) fn id(&self) -> &[u8] {
        &self.id
    }

    /// The directory that holds the cache and its lock.
    pub(super) fn dir(&self) -> &Path {
        self.data.parent().unwrap_or(&self.data)
    }

    /// What mounting these makes in the cache.
    pub(super) fn points(&self, mounts: &[Mount]) -> Option<Points> {
        Points::of(&self.data, mounts)
    }

    /// Whether no other build uses the cache, when this one is done with it: the lock may be lost.
    pub(super) fn is_ours_alone(&self) -> bool {
        flock(&self.lock, FlockOperation::NonBlockingLockExclusive).is_ok()
    }

    /// What the mount shows.
    pub(super) fn what(&self, access: dockerfile::Access) -> What {
        let access = match access {
            dockerfile::Access::ReadOnly => Access::ReadOnly,
            dockerfile::Access::ReadWrite => Access::ReadWrite,
        };
        What::Lent { source: self.data.clone().into(), access, after: After::Kept }
    }
}

/// Makes the directory under another name first: one that is there is whole. Two that share a new cache may both get here.
fn renew(dir: &Path, data: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let new = tempfile::Builder::new().prefix("new-").tempdir_in(dir).context("begin a cache")?;
    fill(&new.path().join("filled"))?;
    if fs::symlink_metadata(data).is_ok_and(|found| !found.is_dir()) {
        fs::remove_file(data).with_context(|| format!("remove {}", data.display()))?;
    }
    let source = ["filled/shown", "filled"].map(|name| new.path().join(name)).into_iter().find(|path| path.is_dir());
    place(&source.context("a cache begins with a directory")?, data).context("begin a cache")
}

/// Gives a new cache its name, unless another build was faster: its directory may be empty and yet in use.
fn place(new: &Path, data: &Path) -> io::Result<()> {
    match renameat_with(CWD, new, CWD, data, RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        // A file system that cannot say so.
        Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(data).is_ok() => Ok(()),
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(new, data),
        Err(why) => Err(why.into()),
    }
}

/// The first content of a cache: that of `source` in `tree`, or nothing.
pub(super) fn fill(
    place: &Path,
    tree: Option<&Tree<'_>>,
    source: &str,
    (mode, uid, gid): (u32, u32, u32),
) -> Result<()> {
    let Some(tree) = tree else {
        fs::create_dir(place)?;
        let (kind, mtime, xattrs) = (Kind::Directory, Timestamp::now(), Xattrs::new());
        Root::open(place)?.set_attributes(&RootPath::root(), &Entry { kind, mode, uid, gid, mtime, xattrs })?;
        return Ok(());
    };
    let found = find_one(tree, if source.is_empty() { "/" } else { source })?;
    if !found.node.entry.is_directory() {
        bail!("a cache cannot begin with {source:?}, which is no directory");
    }
    bind::copy(tree, &found, place)
}

fn lock(dir: &Path, is_shared: bool) -> Result<File> {
    let file = open(dir)?;
    let (now, wait) = if is_shared {
        (FlockOperation::NonBlockingLockShared, FlockOperation::LockShared)
    } else {
        (FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive)
    };
    match flock(&file, now) {
        Err(Errno::WOULDBLOCK) => {
            tracing::info!("Waiting for a cache that another build uses");
            flock(&file, wait).context("lock a cache")?;
        }
        locked => locked.context("lock a cache")?,
    }
    Ok(file)
}

/// The first directory of the id that nobody uses.
fn private(dir: &Path) -> Result<(PathBuf, File)> {
    for number in 0..MOST_PRIVATE {
        let dir = if number == 0 { dir.to_owned() } else { dir.with_extension(number.to_string()) };
        let file = open(&dir)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {}
            locked => return locked.map(|()| (dir, file)).context("lock a cache"),
        }
    }
    bail!("{MOST_PRIVATE} builds use this cache already")
}

fn open(dir: &Path) -> Result<File> {
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let path = dir.join("lock");
    let file = File::options().create(true).append(true).open(&path);
    file.with_context(|| format!("open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(caches: &Path, id: &str, sharing: Sharing) -> Lease {
        let fill = |place: &Path| super::fill(place, None, "", (0o750, 0, 0));
        Lease::take(caches, id.as_bytes(), sharing, Isolation::Isolated, fill).expect("a cache")
    }

    fn is_free(lease: &Lease, operation: FlockOperation) -> bool {
        let lock = File::open(lease.data.with_file_name("lock")).expect("the lock");
        flock(&lock, operation).is_ok()
    }

    #[test]
    fn a_cache_is_there_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = take(dir.path(), "a", Sharing::Shared);
        fs::write(first.data.join("x"), "1").expect("write");
        drop(first);
        assert!(take(dir.path(), "a", Sharing::Locked).data.join("x").exists());
        assert!(!take(dir.path(), "b", Sharing::Shared).data.join("x").exists());
    }

    #[test]
    fn who_may_use_one_meanwhile() {
        let dir = tempfile::tempdir().expect("a directory");
        let (one, two) = (take(dir.path(), "a", Sharing::Shared), take(dir.path(), "a", Sharing::Shared));
        assert_eq!(one.data, two.data);
        let private = take(dir.path(), "a", Sharing::Private);
        assert_ne!(private.data, one.data);
        drop((one, two, private));
        let locked = take(dir.path(), "a", Sharing::Locked);
        assert!(!is_free(&locked, FlockOperation::NonBlockingLockShared));
        drop(locked);
        let private = take(dir.path(), "a", Sharing::Private);
        assert!(!is_free(&private, FlockOperation::NonBlockingLockExclusive));
    }

    #[test]
    fn one_that_another_build_began_meanwhile_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let [new, data] = ["new", "data"].map(|name| dir.path().join(name));
        fs::create_dir(&new).expect("mkdir");
        fs::create_dir(&data).expect("mkdir");
        let used = rustix::fs::stat(&data).expect("stat").st_ino;
        place(&new, &data).expect("placed");
        assert_eq!(rustix::fs::stat(&data).expect("stat").st_ino, used);
        fs::remove_dir(&data).expect("rmdir");
        place(&new, &data).expect("placed");
        assert!(data.is_dir() && !new.exists());
    }

    #[test]
    fn what_is_no_directory_any_more_begins_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let data = take(dir.path(), "a", Sharing::Shared).data.clone();
        fs::remove_dir(&data).expect("remove");
        std::os::unix::fs::symlink("/", &data).expect("symlink");
        assert!(fs::symlink_metadata(&take(dir.path(), "a", Sharing::Shared).data).expect("stat").is_dir());
    }
}
