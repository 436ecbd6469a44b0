//! The root directory, its protected paths, and the exact way from a [`RootPath`] to a handle.
//!
//! An exact path follows no symlink: where one stands in the middle, the path does not exist. [`Root::resolve`] turns a path
//! of the image, symlinks included, into an exact one.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, statx};

use super::RootPath;
use super::open::{Mounts, Opener};

/// The directory that becomes the image's file system.
///
/// It is opened once: renaming or replacing the directory by path later changes nothing here.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    fd: OwnedFd,
    dev: u64,
    opener: Opener,
    protected: Vec<RootPath>,
}

impl Root {
    /// Opens the directory `path` of the host; symlinks in `path` itself are followed.
    pub fn open(path: &Path) -> io::Result<Root> {
        let named = |call: &str, e: rustix::io::Errno| {
            let e = io::Error::from(e);
            io::Error::new(e.kind(), format!("{}: {call}: {e}", path.display()))
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| named("open", e))?;
        let stat = statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map_err(|e| named("statx", e))?;
        let opener = Opener::probe(fd.as_fd());
        let dev = super::observe::device(&stat);
        Ok(Root { path: path.to_owned(), fd, dev, opener, protected: Vec::new() })
    }

    /// The same with the way of opening that old kernels leave.
    #[cfg(test)]
    pub(super) fn open_walking(path: &Path) -> io::Result<Root> {
        Ok(Root { opener: Opener::Walk, ..Root::open(path)? })
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The handle of the directory, readable.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The device of the root directory itself, encoded as in [`silt_watcher::Inode`].
    pub fn dev(&self) -> u64 {
        self.dev
    }

    /// Marks `path` and everything below as not of the image: never written, never removed, never scanned. The root itself
    /// cannot be protected; that call changes nothing.
    pub fn protect(&mut self, path: RootPath) {
        if !path.is_root() && !self.protected.contains(&path) {
            self.protected.push(path);
        }
    }

    /// Protects these paths and no others.
    pub fn set_protected(&mut self, paths: impl IntoIterator<Item = RootPath>) {
        self.protected.clear();
        paths.into_iter().for_each(|path| self.protect(path));
    }

    /// All that was protected.
    pub fn protected(&self) -> &[RootPath] {
        &self.protected
    }

    /// Whether `path` is protected or lies below a protected path.
    pub fn is_protected(&self, path: &RootPath) -> bool {
        self.protected.iter().any(|p| path.is_at_or_below(p))
    }

    /// Whether a protected path lies strictly below `path`.
    pub fn holds_protected(&self, path: &RootPath) -> bool {
        self.protected.iter().any(|p| p != path && p.is_at_or_below(path))
    }

    pub(super) fn opener(&self) -> Opener {
        self.opener
    }

    /// Opens the exact `path`.
    pub(super) fn open_exact(&self, path: &RootPath, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.opener.open(self.fd(), path.as_bytes(), flags, Mounts::Cross)
    }
}
