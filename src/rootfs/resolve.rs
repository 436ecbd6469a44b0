//! From a path of the image, with symlinks and `..`, to an exact path, as `chroot(2)` would have it: an absolute link starts
//! again at the root, and nothing climbs above the root; see path_resolution(7).

use std::collections::VecDeque;
use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

use super::error::failed;
use super::{Root, RootPath};

/// As many links as the kernel follows on one path.
pub(super) const LINKS: usize = 40;

/// Whether a symlink at the end of the path is followed too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Follow,
    Keep,
}

impl Root {
    /// The exact path that `path` leads to inside the root, a link at its end followed too. What does not exist is taken as
    /// written, so the tail may be missing. A file where a directory is needed is [`io::ErrorKind::NotADirectory`].
    pub fn resolve(&self, path: &[u8]) -> io::Result<RootPath> {
        resolve(self, path, Last::Follow)
    }

    /// The same, but a link at the end is named, not followed: what `lstat(2)` would look at.
    pub fn resolve_parent(&self, path: &[u8]) -> io::Result<RootPath> {
        resolve(self, path, Last::Keep)
    }
}

/// Names from the root down, and the open directories of those that exist: never more than names.
struct Walk<'r> {
    root: &'r Root,
    names: Vec<Vec<u8>>,
    open: Vec<OwnedFd>,
    todo: VecDeque<Vec<u8>>,
    links: usize,
}

fn resolve(root: &Root, path: &[u8], last: Last) -> io::Result<RootPath> {
    let shown = || RootPath::clean(path).unwrap_or_else(RootPath::root);
    if path.contains(&0) {
        return Err(failed("resolve", &shown(), Errno::INVAL));
    }
    let mut walk = Walk { root, names: Vec::new(), open: Vec::new(), todo: components(path).collect(), links: 0 };
    while let Some(name) = walk.todo.pop_front() {
        walk.step(name, last).map_err(|e| failed("resolve", &shown(), e))?;
    }
    let clean = RootPath::clean(walk.names.join(&b'/'));
    clean.ok_or_else(|| failed("resolve", &shown(), Errno::INVAL))
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}

impl Walk<'_> {
    fn step(&mut self, name: Vec<u8>, last: Last) -> rustix::io::Result<()> {
        if name == b".." {
            self.names.pop();
            self.open.truncate(self.names.len());
            return Ok(());
        }
        if self.open.len() < self.names.len() || (last == Last::Keep && self.todo.is_empty()) {
            self.names.push(name);
            return Ok(());
        }
        match readlinkat(self.here(), &name[..], Vec::new()) {
            Ok(target) => self.follow(target.to_bytes()),
            Err(Errno::INVAL) => self.descend(name),
            Err(Errno::NOENT) => {
                self.names.push(name);
                Ok(())
            }
            Err(errno) => Err(errno),
        }
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(self.root.fd(), |fd| fd.as_fd())
    }

    fn follow(&mut self, target: &[u8]) -> rustix::io::Result<()> {
        self.links += 1;
        if self.links > LINKS {
            return Err(Errno::LOOP);
        }
        if target.starts_with(b"/") {
            self.names.clear();
            self.open.clear();
        }
        components(target).rev().for_each(|name| self.todo.push_front(name));
        Ok(())
    }

    fn descend(&mut self, name: Vec<u8>) -> rustix::io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(self.here(), &name[..], flags, Mode::empty()) {
            Ok(fd) => self.open.push(fd),
            Err(Errno::NOTDIR) if self.todo.is_empty() => {}
            Err(errno) => return Err(errno),
        }
        self.names.push(name);
        Ok(())
    }
}
