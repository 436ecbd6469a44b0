//! Entries of a shared directory as they are made: whole or not there, whenever their maker is killed.
//!
//! An entry is made under another name, `.warming-…`, written to the disk, and then renamed; where one is there already the two are
//! exchanged, so that there is always one. A directory under such another name is locked by whom it belongs to; those of programs that
//! were killed are removed by the next one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat_with};
use rustix::io::Errno;
use tracing::warn;

use crate::store::BlobDir;

/// What the names of entries begin with that are not finished.
pub(super) const PARTIAL: &str = ".warming-";

/// How often a name for an entry is looked for that nobody removes in between.
const ATTEMPTS: usize = 100;

/// What this process is making now.
#[derive(Debug, Default)]
pub(super) struct Making(Mutex<Option<PathBuf>>);

impl Making {
    /// Removes it, when this process must end.
    pub(super) fn abandon(&self) {
        if let Some(path) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            drop(remove(path));
        }
    }

    fn set(&self, path: Option<PathBuf>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }
}

/// An entry that is being made, or what is left of one. Dropped, it is removed.
pub(super) struct Partial<'m> {
    making: &'m Making,
    dir: PathBuf,
    path: PathBuf,
    pub(super) blobs: BlobDir,
    _lock: File,
}

impl<'m> Partial<'m> {
    /// Begins an entry of `dir`.
    pub(super) fn begin(dir: &Path, making: &'m Making) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            let made = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(dir);
            let path = made.with_context(|| format!("create a directory in {}", dir.display()))?.keep();
            making.set(Some(path.clone()));
            // One that looks for what was left over may have been faster than our lock.
            let Some(lock) = hold(&path) else { continue };
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("chmod {}", path.display()))?;
            let blobs = BlobDir::create(&path)?;
            return Ok(Partial { making, dir: dir.to_owned(), path, blobs, _lock: lock });
        }
        anyhow::bail!("directories in {} vanish as soon as they are made", dir.display())
    }

    /// Gives the entry its name once the disk has it. What had that name before is removed with `self`.
    pub(super) fn place(self, path: &Path) -> io::Result<()> {
        sync_tree(&self.path)?;
        exchange(&self.path, path)?;
        sync_directory(&self.dir)
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        self.making.set(None);
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
pub(super) fn remove_stale(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_partial =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PARTIAL.as_bytes()));
    for path in entries.filter(is_partial) {
        let Ok(lock) = open_at_once(&path) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        if let Err(error) = remove(&path) {
            warn!("cannot remove {}, left by an earlier warmer: {error}", path.display());
        }
    }
}

/// Opens what stands there, and waits for nobody: it may be a pipe.
fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?.into())
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
pub(super) fn make_open(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Ok(()) => fs::set_permissions(dir, fs::Permissions::from_mode(0o755)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
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
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}
