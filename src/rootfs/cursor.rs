//! Looking at many paths with few calls: the directories on the way to the last path stay open.
//!
//! A cursor is for a time in which nobody renames or removes directories of the root behind its back: a handle that it
//! keeps would follow the directory to its new place. Drop it before a step runs.

use std::fs::File;
use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;

use super::error::{failed, means_absent};
use super::observe::{observe_at, open_file_at};
use super::open::Mounts;
use super::{Folder, Node, Root, RootPath};

/// More open directories than this are not worth their descriptors.
const DEEPEST: usize = 48;

/// Open directories from the root down to the last one used. In path order a walk needs one open for each directory.
#[derive(Debug)]
pub struct Cursor<'r> {
    root: &'r Root,
    chain: Vec<(RootPath, OwnedFd)>,
}

impl<'r> Cursor<'r> {
    /// A cursor at the top of `root`.
    pub fn new(root: &'r Root) -> Self {
        Cursor { root, chain: Vec::new() }
    }

    /// The root that it looks at.
    pub fn root(&self) -> &'r Root {
        self.root
    }

    /// As [`Root::observe`].
    pub fn observe(&mut self, path: &RootPath) -> io::Result<Option<Node>> {
        let at_parent = |(parent, name): (BorrowedFd<'_>, &[u8])| observe_at(parent, name);
        match self.parent(path).and_then(at_parent) {
            Err(errno) if means_absent(errno) => Ok(None),
            result => result.map_err(|e| failed("statx", path, e)),
        }
    }

    /// As [`Root::read_dir`].
    pub fn read_dir(&mut self, path: &RootPath) -> io::Result<Vec<Vec<u8>>> {
        let fd = self.directory(path).map_err(|e| failed("open", path, e))?;
        Folder { fd, path }.names()
    }

    /// As [`Root::open_file`].
    pub fn open_file(&mut self, path: &RootPath) -> io::Result<File> {
        let (parent, name) = self.parent(path).map_err(|e| failed("open", path, e))?;
        open_file_at(parent, name).map_err(|e| failed("open", path, e))
    }

    /// Forgets all open directories at or below `path`.
    pub(super) fn forget(&mut self, path: &RootPath) {
        self.chain.retain(|(kept, _)| !kept.is_at_or_below(path));
    }

    /// The open parent of the exact `path` and the last component; for the root the root itself and an empty name.
    pub(super) fn parent<'p>(&mut self, path: &'p RootPath) -> rustix::io::Result<(BorrowedFd<'_>, &'p [u8])> {
        match path.split() {
            None => Ok((self.root.fd(), b"")),
            Some((parent, name)) => Ok((self.directory(&parent)?, name)),
        }
    }

    /// The directory at the exact `path`, opened with `O_PATH` (the root: for reading).
    pub(super) fn directory(&mut self, path: &RootPath) -> rustix::io::Result<BorrowedFd<'_>> {
        if path.is_root() {
            return Ok(self.root.fd());
        }
        while self.chain.last().is_some_and(|(last, _)| !path.is_at_or_below(last)) {
            self.chain.pop();
        }
        if self.chain.last().is_none_or(|(last, _)| last != path) {
            let opened = self.open_below_last(path)?;
            if self.chain.len() == DEEPEST {
                self.chain.remove(0);
            }
            self.chain.push((path.clone(), opened));
        }
        Ok(self.chain.last().map_or(self.root.fd(), |(_, fd)| fd.as_fd()))
    }

    fn open_below_last(&self, path: &RootPath) -> rustix::io::Result<OwnedFd> {
        let (above, fd) = match self.chain.last() {
            Some((last, fd)) => (last.as_bytes().len() + 1, fd.as_fd()),
            None => (0, self.root.fd()),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        self.root.opener().open(fd, &path.as_bytes()[above..], flags, Mounts::Cross)
    }
}
