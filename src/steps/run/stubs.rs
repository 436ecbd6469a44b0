//! Stubs: what a step needs and the image lacks. They are made before it and removed after it, so that the tree is as it
//! was. For an isolated step they are mount points, for one under chroot(2) alone the few devices and files themselves.
//!
//! Guarantees: all names resolve inside the root (`RESOLVE_IN_ROOT`, Linux 5.6); only what was made here is removed, and
//! no directory that the step put something in; a parent that nobody else touched in between gets its old mtime back.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fstat, mkdirat, mknodat,
    open, openat, openat2, readlinkat, statat, unlinkat,
};
use rustix::io::{Errno, Result};

/// As many links in a row as the kernel follows.
const MOST_LINKS: u32 = 40;

/// Something that a step needs, by its path inside the root. Whatever stands there already is left alone.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub path: PathBuf,
    pub kind: Kind,
}

/// What is needed there.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// An empty directory, mode 0755.
    Directory,
    /// A file with these contents, mode 0644.
    File(Vec<u8>),
    /// A character device with this number, mode 0666; left out where the kernel permits none.
    Device(u64),
}

/// The stubs that were made, in the order of their making.
pub(super) struct Stubs {
    root: OwnedFd,
    made: Vec<Stub>,
}

struct Stub {
    parent: OwnedFd,
    name: OsString,
    /// Kept open, so that nothing that the step makes in its place gets its inode number.
    object: OwnedFd,
    /// The parent's mtime before and after the stub was made.
    before: Timespec,
    after: Timespec,
}

impl Stubs {
    /// Makes those of `needs` that are missing below `root`. After an error nothing is left.
    pub(super) fn make(root: &Path, needs: impl Iterator<Item = Need>) -> Result<Self> {
        let root = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut stubs = Stubs { root, made: Vec::new() };
        for need in needs {
            if let Err(why) = stubs.ensure(&need.path, &need.kind, MOST_LINKS) {
                stubs.remove()?;
                return Err(why);
            }
        }
        Ok(stubs)
    }

    /// The directory that `path` lies in and its name there, links followed inside the root, the last one too. The directory
    /// must be there, `path` need not.
    pub(super) fn locate(&self, path: &Path) -> Result<(OwnedFd, OsString)> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::INVAL) };
            let within = self.open(parent, OFlags::DIRECTORY)?;
            let target = match readlinkat(&within, name, Vec::new()) {
                Ok(target) => target,
                Err(Errno::INVAL | Errno::NOENT) => return Ok((within, name.to_owned())),
                Err(why) => return Err(why),
            };
            path = parent.join(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(target.as_bytes()));
        }
        Err(Errno::LOOP)
    }

    /// Those that are directories by their paths on this machine, in the order of their making.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let parent = |stub: &Stub| std::fs::read_link(format!("/proc/self/fd/{}", stub.parent.as_raw_fd()));
        self.made.iter().filter_map(|stub| Some(parent(stub).ok()?.join(&stub.name))).collect()
    }

    /// Removes them, the last one first.
    pub(super) fn remove(self) -> Result<()> {
        self.made.iter().rev().try_for_each(Stub::remove)
    }

    /// Makes `path` if it is missing, and its parents; a link that leads nowhere gets something to lead to.
    fn ensure(&mut self, path: &Path, kind: &Kind, links: u32) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if self.exists(path)? {
            return Ok(());
        }
        self.ensure(parent, &Kind::Directory, links)?;
        // `a/..` is there as soon as `a` is.
        let Some(name) = path.file_name() else { return Ok(()) };
        let within = self.open(parent, OFlags::DIRECTORY)?;
        match readlinkat(&within, name, Vec::new()) {
            Ok(_) if links == 0 => Err(Errno::LOOP),
            Ok(target) => {
                let target = <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(target.as_bytes());
                self.ensure(&parent.join(target), kind, links - 1)
            }
            Err(Errno::NOENT) => {
                self.made.extend(Stub::make(within, name, kind)?);
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
    fn make(parent: OwnedFd, name: &OsStr, kind: &Kind) -> Result<Option<Stub>> {
        let before = mtime(&fstat(&parent)?);
        match kind {
            Kind::Directory => mkdirat(&parent, name, Mode::from_raw_mode(0o755))?,
            Kind::File(contents) => make_file(&parent, name, contents)?,
            Kind::Device(number) => {
                match mknodat(&parent, name, FileType::CharacterDevice, Mode::from_raw_mode(0o666), *number) {
                    Err(Errno::PERM) => return Ok(None),
                    made => made?,
                }
            }
        }
        let object = openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let after = mtime(&fstat(&parent)?);
        Ok(Some(Stub { parent, name: name.to_owned(), object, before, after }))
    }

    /// Removes it if it is still there under its name, and still empty if it is a directory.
    fn remove(&self) -> Result<()> {
        let found = match statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => found?,
        };
        if found.st_ino != fstat(&self.object)?.st_ino {
            return Ok(());
        }
        let is_directory = FileType::from_raw_mode(found.st_mode).is_dir();
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let now = mtime(&fstat(&self.parent)?);
        match unlinkat(&self.parent, &self.name, flags) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(()),
            removed => removed?,
        }
        set_mtime(&self.parent, if same(now, self.after) { self.before } else { now })
    }
}

/// When a directory was last modified.
pub(super) fn mtime_of(directory: &OwnedFd) -> Result<Timespec> {
    Ok(mtime(&fstat(directory)?))
}

/// Says when a directory was last modified. A descriptor opened with `O_PATH` takes no times, so it is opened once more.
pub(super) fn set_mtime(directory: &OwnedFd, mtime: Timespec) -> Result<()> {
    let directory = openat(directory, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: mtime };
    rustix::fs::futimens(directory, &times)
}

fn make_file(parent: &OwnedFd, name: &OsStr, contents: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::from_raw_mode(0o644))?;
    let written = std::fs::File::from(file).write_all(contents);
    written.map_err(|why| Errno::from_io_error(&why).unwrap_or(Errno::IO))
}

fn mtime(stat: &Stat) -> Timespec {
    Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() }
}

fn same(a: Timespec, b: Timespec) -> bool {
    (a.tv_sec, a.tv_nsec) == (b.tv_sec, b.tv_nsec)
}

#[cfg(test)]
mod tests;
