//! Opening a path below a directory handle so that no symlink is followed anywhere on it.
//!
//! `openat2(2)` does it in one call. Where that is missing or forbidden (old kernels, gVisor, old seccomp profiles) the path
//! is walked one component at a time with `O_NOFOLLOW`, to the same result.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, Result};

/// Longest path that one call takes: below `PATH_MAX` with its NUL.
const LONGEST: usize = 4000;

/// Which way of opening works here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    /// `openat2(2)`, one call a path.
    Kernel,
    /// One `openat(2)` for each component.
    Walk,
}

/// May an open descend into another mount?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mounts {
    /// It may.
    Cross,
    /// It fails with `EXDEV`.
    Refuse,
}

impl Opener {
    /// The better one that works on `dir`.
    pub(super) fn probe(dir: BorrowedFd<'_>) -> Opener {
        match openat2(dir, c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), exactly(Mounts::Cross)) {
            Ok(_) => Opener::Kernel,
            Err(_) => Opener::Walk,
        }
    }

    /// Opens `path`, relative and clean, below `dir`. A symlink anywhere but at the end fails with `ELOOP` or `ENOTDIR`; at
    /// the end too, unless `flags` has `O_PATH`.
    pub(super) fn open(self, dir: BorrowedFd<'_>, path: &[u8], flags: OFlags, mounts: Mounts) -> Result<OwnedFd> {
        if path.len() <= LONGEST {
            return self.open_short(dir, path, flags, mounts);
        }
        let cut = path[..LONGEST].iter().rposition(|b| *b == b'/').ok_or(Errno::NAMETOOLONG)?;
        let middle = self.open_short(dir, &path[..cut], OFlags::PATH | OFlags::DIRECTORY, mounts)?;
        self.open(middle.as_fd(), &path[cut + 1..], flags, mounts)
    }

    fn open_short(self, dir: BorrowedFd<'_>, path: &[u8], flags: OFlags, mounts: Mounts) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = if path.is_empty() { b"." } else { path };
        match self {
            Opener::Kernel => openat2(dir, path, flags, Mode::empty(), exactly(mounts)),
            Opener::Walk => walk(dir, path, flags, mounts),
        }
    }
}

fn exactly(mounts: Mounts) -> ResolveFlags {
    let flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match mounts {
        Mounts::Cross => flags,
        Mounts::Refuse => flags | ResolveFlags::NO_XDEV,
    }
}

fn walk(dir: BorrowedFd<'_>, path: &[u8], flags: OFlags, mounts: Mounts) -> Result<OwnedFd> {
    let mut at: Option<OwnedFd> = None;
    let mut rest = path;
    while let Some(slash) = rest.iter().position(|b| *b == b'/') {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let here = at.as_ref().map_or(dir, |fd| fd.as_fd());
        let next = openat(here, &rest[..slash], step, Mode::empty())?;
        refuse_mount(here, next.as_fd(), mounts)?;
        at = Some(next);
        rest = &rest[slash + 1..];
    }
    let here = at.as_ref().map_or(dir, |fd| fd.as_fd());
    let opened = openat(here, rest, flags, Mode::empty())?;
    refuse_mount(here, opened.as_fd(), mounts)?;
    Ok(opened)
}

/// Without `openat2` a bind mount of the same file system goes unseen; the list of protected paths has those.
fn refuse_mount(parent: BorrowedFd<'_>, child: BorrowedFd<'_>, mounts: Mounts) -> Result<()> {
    if mounts == Mounts::Refuse && rustix::fs::fstat(parent)?.st_dev != rustix::fs::fstat(child)?.st_dev {
        return Err(Errno::XDEV);
    }
    Ok(())
}
