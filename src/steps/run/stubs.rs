//! Mount points that the image lacks: made before a step, removed after it, so that the tree is as it was.
//!
//! Guarantees: all names resolve inside the root (`RESOLVE_IN_ROOT`, Linux 5.6); only what was made here is removed, and
//! only while it is empty; a directory that nobody else touched in between gets its old mtime back. What the step put
//! below a stub stays, and the stub with it.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fstat, mkdirat, mknodat,
    open, openat, openat2, readlinkat, statat, unlinkat,
};
use rustix::io::{Errno, Result};

/// As many links in a row as the kernel follows.
const MOST_LINKS: u32 = 40;

/// A place to mount on, by its path inside the root.
#[derive(Debug, Clone, Copy)]
pub(super) enum MountPoint {
    /// For a file system or a directory.
    Directory(&'static Path),
    /// For a single file.
    File(&'static Path),
}

/// The mount points that were made, in the order of their making.
pub(super) struct Stubs {
    root: OwnedFd,
    made: Vec<Stub>,
}

struct Stub {
    parent: OwnedFd,
    name: std::ffi::OsString,
    directory: bool,
    inode: u64,
    /// The parent's mtime before and after the stub was made.
    before: Timespec,
    after: Timespec,
}

impl Stubs {
    /// Makes those of `points` that are missing below `root`. After an error nothing is left.
    pub(super) fn make(root: &Path, points: impl Iterator<Item = MountPoint>) -> Result<Self> {
        let root = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut stubs = Stubs { root, made: Vec::new() };
        for point in points {
            let made = match point {
                MountPoint::Directory(path) => stubs.ensure(path, true, MOST_LINKS),
                MountPoint::File(path) => stubs.ensure(path, false, MOST_LINKS),
            };
            if let Err(why) = made {
                stubs.remove()?;
                return Err(why);
            }
        }
        Ok(stubs)
    }

    /// Removes them, the last one first.
    pub(super) fn remove(self) -> Result<()> {
        self.made.iter().rev().try_for_each(Stub::remove)
    }

    /// Makes `path` if it is missing, and its parents; a link that leads nowhere gets something to lead to.
    fn ensure(&mut self, path: &Path, directory: bool, links: u32) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if self.exists(path)? {
            return Ok(());
        }
        self.ensure(parent, true, links)?;
        // `a/..` is there as soon as `a` is.
        let Some(name) = path.file_name() else { return Ok(()) };
        let within = self.open(parent, OFlags::DIRECTORY)?;
        match readlinkat(&within, name, Vec::new()) {
            Ok(_) if links == 0 => Err(Errno::LOOP),
            Ok(target) => {
                let target = <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(target.as_bytes());
                self.ensure(&parent.join(target), directory, links - 1)
            }
            Err(Errno::NOENT) => {
                self.made.push(Stub::make(within, name, directory)?);
                Ok(())
            }
            Err(why) => Err(why),
        }
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        match self.open(path, OFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(why) => Err(why),
        }
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, path, OFlags::PATH | OFlags::CLOEXEC | flags, Mode::empty(), resolve)
    }
}

impl Stub {
    fn make(parent: OwnedFd, name: &OsStr, directory: bool) -> Result<Stub> {
        let before = mtime(&fstat(&parent)?);
        match directory {
            true => mkdirat(&parent, name, Mode::from_raw_mode(0o755))?,
            false => mknodat(&parent, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)?,
        }
        let inode = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?.st_ino;
        let after = mtime(&fstat(&parent)?);
        Ok(Stub { parent, name: name.to_owned(), directory, inode, before, after })
    }

    fn remove(&self) -> Result<()> {
        let found = match statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => found?,
        };
        if found.st_ino != self.inode || (!self.directory && found.st_size != 0) {
            return Ok(());
        }
        let now = mtime(&fstat(&self.parent)?);
        let flags = if self.directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match unlinkat(&self.parent, &self.name, flags) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(()),
            removed => removed?,
        }
        self.restore_mtime(if same(now, self.after) { self.before } else { now })
    }

    /// A descriptor opened with `O_PATH` takes no times, so the directory is opened once more.
    fn restore_mtime(&self, mtime: Timespec) -> Result<()> {
        let parent = openat(&self.parent, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: mtime };
        rustix::fs::futimens(parent, &times)
    }
}

fn mtime(stat: &Stat) -> Timespec {
    Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() }
}

fn same(a: Timespec, b: Timespec) -> bool {
    (a.tv_sec, a.tv_nsec) == (b.tv_sec, b.tv_nsec)
}
