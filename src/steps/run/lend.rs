//! The mounts of a step where nothing can be mounted: what is mounted elsewhere is moved to its place and back again.
//!
//! What stands at a target is moved out of the way, what the mount shows is moved there (or, in `/`, linked to where it
//! lies on another file system), and after the step everything goes back. A secret is a file of a file system in memory
//! with a link to it, or where the root has none a file that is removed afterwards.
//!
//! Guarantees: the supervisor puts everything back also when the executor was killed. If both were, the journal in our
//! directory says what is to be put back, and [`recover`] does it; what it does may be interrupted and done again. Names
//! resolve inside the root, and a target whose parent the step moved is still found.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, mkdirat, openat2, readlinkat, renameat, statat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::error::{Error, failed};
use super::mount::{After, Mount, Network, SCRIPT, What};
use super::order::Report;
use super::spec::{Isolation, RunSpec};
use super::stubs::{self, Kind, Need, Stubs};
use journal::{Journal, Record};

mod journal;

pub use journal::recover;

/// Where files in memory are, if it is what it should be.
const MEMORY: &str = "/dev/shm";
/// `TMPFS_MAGIC` of statfs(2).
const TMPFS: i64 = 0x0102_1994;

/// Runs a step with its mounts in place.
pub(super) fn around(spec: &RunSpec, run: impl FnOnce() -> Report) -> Report {
    if spec.surroundings.network == Network::None {
        return Err(failed("--network=none")(
            "the step cannot have a network of its own here (no right to unshare it)",
        ));
    }
    if spec.surroundings.mounts.is_empty() {
        return run();
    }
    let lent = Lent::make(spec)?;
    let report = run();
    lent.end()?;
    report
}

/// What was put in place, in the order of its making.
struct Lent {
    placed: Vec<Placed>,
    journal: Journal,
}

struct Placed {
    stubs: Stubs,
    parent: OwnedFd,
    record: Record,
    /// The parent's mtime before and after.
    before: Timespec,
    after: Timespec,
}

impl Lent {
    /// After an error nothing is left in place.
    fn make(spec: &RunSpec) -> Result<Self, Error> {
        let mut lent = Lent { placed: Vec::new(), journal: Journal::new(&spec.surroundings.own()) };
        for (number, mount) in spec.surroundings.mounts.iter().enumerate() {
            if let Err(why) = lent.place(spec, mount, number) {
                lent.end()?;
                return Err(why);
            }
        }
        Ok(lent)
    }

    fn place(&mut self, spec: &RunSpec, mount: &Mount, number: usize) -> Result<(), Error> {
        let call = || format!("--mount at {:?}", mount.target);
        let target = Path::new(&mount.target).strip_prefix("/").map_err(failed(call()))?;
        let parents = target.parent().map(|path| Need { path: path.to_owned(), kind: Kind::Directory });
        let stubs = Stubs::make(&spec.root, parents.into_iter()).map_err(failed(call()))?;
        self.swap(spec, mount, number, stubs).map_err(failed(call()))
    }

    fn swap(&mut self, spec: &RunSpec, mount: &Mount, number: usize, stubs: Stubs) -> std::io::Result<()> {
        let target = Path::new(&mount.target).strip_prefix("/").map_err(std::io::Error::other)?;
        let located = stubs.locate(target);
        let (parent, name) = match located {
            Ok(located) => located,
            Err(why) => {
                stubs.remove()?;
                return Err(why.into());
            }
        };
        let before = stubs::mtime_of(&parent)?;
        let is_there = exists(parent.as_fd(), &name)?;
        let mut record = Record::new(path_of(&parent)?, name, stubs.paths(), self.journal.trash(number));
        if is_there {
            record.shadows(self.journal.attic(number, &parent)?);
        }
        record.promise(&mount.what, (spec.isolation == Isolation::InPlace && has_memory()).then_some(number));
        self.journal.add(&record)?;
        // From here on the record is undone, whatever fails.
        let set_up = record.set_aside(parent.as_fd()).and_then(|()| install(&parent, &record, &mount.what, spec));
        let after = stubs::mtime_of(&parent)?;
        self.placed.push(Placed { stubs, parent, record, before, after });
        set_up
    }

    /// Puts everything back, the last one first; goes on after an error, which is the first one.
    fn end(self) -> Result<(), Error> {
        let mut first = Ok(());
        for placed in self.placed.into_iter().rev() {
            let what = format!("put back what stood at {:?}", placed.record.path());
            first = first.and(placed.end().map_err(failed(what)));
        }
        first?;
        self.journal.remove().map_err(failed("remove the journal of mounts"))
    }
}

impl Placed {
    fn end(self) -> std::io::Result<()> {
        let now = stubs::mtime_of(&self.parent)?;
        self.record.undo(self.parent.as_fd())?;
        let untouched = (now.tv_sec, now.tv_nsec) == (self.after.tv_sec, self.after.tv_nsec);
        stubs::set_mtime(&self.parent, if untouched { self.before } else { now })?;
        Ok(self.stubs.remove()?)
    }
}

/// Puts at its place what the mount shows.
fn install(parent: &OwnedFd, record: &Record, what: &What, spec: &RunSpec) -> std::io::Result<()> {
    let name = record.name();
    match what {
        What::Memory { .. } => Ok(mkdirat(parent, name, Mode::from_raw_mode(0o1777))?),
        What::Lent { source, .. } => match renameat(CWD, source.as_os_str(), parent, name) {
            Err(Errno::XDEV) if spec.isolation == Isolation::InPlace => {
                Ok(symlinkat(source.as_os_str(), parent, name)?)
            }
            moved => Ok(moved?),
        },
        What::Script(bytes) => write(&beside(parent, name), bytes, SCRIPT),
        What::Secret { bytes, mode, uid, gid } => {
            let attributes = (*mode, *uid, *gid);
            match record.memory() {
                Some(memory) => {
                    write(memory, bytes, attributes)?;
                    Ok(symlinkat(memory, parent, name)?)
                }
                None => write(&beside(parent, name), bytes, attributes),
            }
        }
    }
}

/// Makes a file that nobody can read before it is whole.
fn write(path: &Path, bytes: &[u8], (mode, uid, gid): (u32, u32, u32)) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    fchown(&file, Some(uid), Some(gid))?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// A path to an open directory, whatever it is called.
fn path_through(directory: &impl AsRawFd) -> PathBuf {
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string())
}

/// A path to `name` in an open directory.
fn beside(parent: &impl AsRawFd, name: &OsStr) -> PathBuf {
    path_through(parent).join(name)
}

/// What an open directory is called.
fn path_of(directory: &OwnedFd) -> std::io::Result<PathBuf> {
    fs::read_link(path_through(directory))
}

fn exists(parent: BorrowedFd<'_>, name: &OsStr) -> std::io::Result<bool> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(why) => Err(why.into()),
    }
}

fn has_memory() -> bool {
    rustix::fs::statfs(MEMORY).is_ok_and(|stat| stat.f_type == TMPFS)
}

/// Whether this is a link to `text`.
fn is_link_to(parent: BorrowedFd<'_>, name: &OsStr, text: &Path) -> bool {
    readlinkat(parent, name, Vec::new()).is_ok_and(|target| target.as_bytes() == text.as_os_str().as_bytes())
}

/// Removes `name`, whatever it is: what is a directory is moved to `trash`, which is emptied with our files, or removed.
fn discard(parent: BorrowedFd<'_>, name: &OsStr, trash: &Path) -> std::io::Result<()> {
    let found = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        found => found?,
    };
    if !FileType::from_raw_mode(found.st_mode).is_dir() {
        return Ok(unlinkat(parent, name, AtFlags::empty())?);
    }
    match renameat(parent, name, CWD, trash) {
        Err(Errno::XDEV | Errno::NOTEMPTY | Errno::EXIST) => fs::remove_dir_all(beside(&parent, name)),
        moved => Ok(moved?),
    }
}

/// Opens a directory of the machine by its path, which the kernel told us and so had no links: one that is there now is a step's.
fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
}

#[cfg(test)]
mod tests;
