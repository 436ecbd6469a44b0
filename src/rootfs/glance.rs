//! A glance at an entry: what one `statx(2)` says. It takes neither the content, the extended attributes nor the target of
//! a link, so it can tell that something may have changed, and that nothing did only where `ctime` can be trusted.

use std::fs::File;
use std::io;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{FileType, Mode, OFlags, RawMode, Statx, openat};
use silt_watcher::Inode;

use super::error::{failed, means_absent};
use super::observe::{device, names, node, observe_at, open_file_at, quietly, stat_at, timestamp};
use super::{Cursor, Entry, Kind, Node, RootPath, Timestamp, Xattrs, xattr};

/// What one call says of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Glance(Statx);

/// A directory that stays open while its entries are glanced at.
#[derive(Debug)]
pub struct Folder<'c> {
    pub(super) fd: BorrowedFd<'c>,
    pub(super) path: &'c RootPath,
}

impl Cursor<'_> {
    /// The directory at the exact `path`; `None` if there is none.
    pub fn folder<'c>(&'c mut self, path: &'c RootPath) -> io::Result<Option<Folder<'c>>> {
        match self.directory(path) {
            Ok(fd) => Ok(Some(Folder { fd, path })),
            Err(errno) if means_absent(errno) => Ok(None),
            Err(errno) => Err(failed("open", path, errno)),
        }
    }
}

impl Folder<'_> {
    /// Where it is.
    pub fn path(&self) -> &RootPath {
        self.path
    }

    /// Glances at `name`, one component, or at the directory itself if it is empty; not through a link. `None` if nothing
    /// is there.
    pub fn glance(&self, name: &[u8]) -> io::Result<Option<Glance>> {
        match stat_at(self.fd, name) {
            Ok(stat) => Ok(Some(Glance(stat))),
            Err(errno) if means_absent(errno) => Ok(None),
            Err(errno) if name.is_empty() => Err(failed("statx", self.path, errno)),
            Err(errno) => Err(failed("statx", &self.path.join_name(name), errno)),
        }
    }

    /// The names in it, sorted, without `.` and `..`.
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |quiet| openat(self.fd, c".", flags | quiet, Mode::empty());
        let readable = quietly(open).map_err(|e| failed("open", self.path, e))?;
        names(&readable).map_err(|e| failed("getdents64", self.path, e))
    }

    /// What stands at `name`, one component, as [`super::Root::observe`] says it.
    pub fn observe(&self, name: &[u8]) -> io::Result<Option<Node>> {
        observe_at(self.fd, name).map_err(|e| failed("statx", &self.path.join_name(name), e))
    }

    /// Opens the regular file `name`, one component, as [`super::Root::open_file`] does.
    pub fn open_file(&self, name: &[u8]) -> io::Result<File> {
        open_file_at(self.fd, name).map_err(|e| failed("open", &self.path.join_name(name), e))
    }
}

/// The extended attributes of an open file that a layer carries.
pub fn xattrs(file: &File) -> io::Result<Xattrs> {
    Ok(xattr::read_open(file.as_fd())?)
}

impl Glance {
    /// At an open file.
    pub fn of(file: &File) -> io::Result<Glance> {
        Ok(Glance(stat_at(file.as_fd(), b"")?))
    }

    /// What it says, as a node that has no extended attributes, and if it is a link an empty target.
    pub fn bare(&self) -> Node {
        node(&self.0, None, Xattrs::new())
    }

    /// Which file it is.
    pub fn inode(&self) -> Inode {
        Inode { dev: device(&self.0), ino: self.0.stx_ino }
    }

    /// When anything about the file last changed.
    pub fn ctime(&self) -> Timestamp {
        timestamp(self.0.stx_ctime)
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// When its content was last modified.
    pub fn mtime(&self) -> Timestamp {
        timestamp(self.0.stx_mtime)
    }

    /// Whether all that a glance shows but `ctime` is what `node` says: identity, links and what it looks like.
    pub fn agrees_with(&self, node: &Node) -> bool {
        node.inode == self.inode() && node.nlink == self.0.stx_nlink && self.looks_like(&node.entry)
    }

    /// Whether kind, size, mode, owner and mtime are what `entry` says.
    pub fn looks_like(&self, entry: &Entry) -> bool {
        let stat = &self.0;
        (entry.uid, entry.gid) == (stat.stx_uid, stat.stx_gid)
            && entry.mode == u32::from(stat.stx_mode) & 0o7777
            && entry.mtime == self.mtime()
            && self.is_of_kind(&entry.kind)
    }

    fn is_of_kind(&self, kind: &Kind) -> bool {
        let device = (self.0.stx_rdev_major, self.0.stx_rdev_minor);
        match (kind, self.kind()) {
            (Kind::File { size, .. }, FileType::RegularFile) => *size == self.0.stx_size,
            (Kind::Symlink(target), FileType::Symlink) => target.len() as u64 == self.0.stx_size,
            (Kind::CharDevice { major, minor }, FileType::CharacterDevice)
            | (Kind::BlockDevice { major, minor }, FileType::BlockDevice) => (*major, *minor) == device,
            (Kind::Directory, FileType::Directory)
            | (Kind::Fifo, FileType::Fifo)
            | (Kind::Socket, FileType::Socket) => true,
            _ => false,
        }
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(RawMode::from(self.0.stx_mode))
    }
}
