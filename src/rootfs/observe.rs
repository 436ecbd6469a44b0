//! Looking at one path: its attributes, its identity, its content. Nothing here changes the tree, not even access times
//! where the kernel lets us.
//!
//! Extended attributes have no `*at` calls before Linux 6.13, so they are read through `/proc/self/fd/PARENT/NAME`, or from
//! the opened file where /proc is missing. Links and special files carry none that a layer would hold.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RawMode, Statx, StatxFlags, StatxTimestamp, openat, readlinkat, statx,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use silt_watcher::Inode;

use super::error::{failed, means_absent};
use super::{ContentDigest, Cursor, Entry, Kind, Node, Root, RootPath, Timestamp, Xattrs, xattr};

const READ: usize = 128 * 1024;

impl Root {
    /// What stands at the exact `path`, its content unread. `None` if nothing does, or if something on the way is no
    /// directory. For many paths use a [`Cursor`]: it needs half the calls.
    pub fn observe(&self, path: &RootPath) -> io::Result<Option<Node>> {
        Cursor::new(self).observe(path)
    }

    /// The names in the directory at the exact `path`, sorted, without `.` and `..`.
    pub fn read_dir(&self, path: &RootPath) -> io::Result<Vec<Vec<u8>>> {
        let fd = open_directory(self, path).map_err(|e| failed("open", path, e))?;
        names(&fd).map_err(|e| failed("getdents64", path, e))
    }

    /// Opens the regular file at the exact `path` for reading. Anything else is [`io::ErrorKind::InvalidInput`]; a named
    /// pipe does not block.
    pub fn open_file(&self, path: &RootPath) -> io::Result<File> {
        Cursor::new(self).open_file(path)
    }

    /// Reads the regular file at the exact `path` and hashes what was read.
    pub fn digest(&self, path: &RootPath) -> io::Result<ContentDigest> {
        let mut file = self.open_file(path)?;
        hash(&mut file).map_err(|e| failed("read", path, e))
    }
}

/// The SHA-256 of all that `reader` still has.
fn hash(reader: &mut impl Read) -> io::Result<ContentDigest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Opens with `O_NOATIME`, or without it where the file belongs to someone else and we lack `CAP_FOWNER`.
pub(super) fn quietly<T>(open: impl Fn(OFlags) -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    match open(OFlags::NOATIME) {
        Err(Errno::PERM) => open(OFlags::empty()),
        result => result,
    }
}

/// Opens the file `name` in `parent` for reading; not through a link, and without waiting for a pipe's writer.
pub(super) fn open_file_at(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = if name.is_empty() { b"." } else { name };
    let fd = quietly(|quiet| openat(parent, name, flags | quiet, Mode::empty()))?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode as RawMode);
    if kind != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(File::from(fd))
}

fn open_directory(root: &Root, path: &RootPath) -> rustix::io::Result<OwnedFd> {
    quietly(|quiet| root.open_exact(path, OFlags::RDONLY | OFlags::DIRECTORY | quiet))
}

/// The names in an open directory, sorted.
pub(super) fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Looks at `name` in the directory `parent`; an empty `name` is `parent` itself, which must then be open for reading.
pub(super) fn observe_at(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Option<Node>> {
    let stat = match stat_at(parent, name) {
        Err(errno) if means_absent(errno) => return Ok(None),
        result => result?,
    };
    let link = match FileType::from_raw_mode(RawMode::from(stat.stx_mode)) {
        FileType::Symlink => Some(readlinkat(parent, name, Vec::new())?.into_bytes()),
        _ => None,
    };
    let xattrs = match FileType::from_raw_mode(RawMode::from(stat.stx_mode)) {
        FileType::RegularFile | FileType::Directory => xattr::read(parent, name)?,
        _ => Xattrs::new(),
    };
    Ok(Some(node(&stat, link, xattrs)))
}

/// `statx(2)` of a name, not through a link; of `parent` itself if the name is empty.
pub(super) fn stat_at(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let flags = if name.is_empty() { flags | AtFlags::EMPTY_PATH } else { flags };
    statx(parent.as_fd(), name, flags, StatxFlags::BASIC_STATS)
}

/// A node from what the calls said. `link` is the target of a symlink.
pub(super) fn node(stat: &Statx, link: Option<Vec<u8>>, xattrs: Xattrs) -> Node {
    let entry = Entry {
        kind: kind(stat, link),
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        mtime: timestamp(stat.stx_mtime),
        xattrs,
    };
    let inode = Inode { dev: device(stat), ino: stat.stx_ino };
    Node { entry: Arc::new(entry), inode, nlink: stat.stx_nlink, ctime: timestamp(stat.stx_ctime), foreign: false }
}

fn kind(stat: &Statx, link: Option<Vec<u8>>) -> Kind {
    let (major, minor) = (stat.stx_rdev_major, stat.stx_rdev_minor);
    match FileType::from_raw_mode(RawMode::from(stat.stx_mode)) {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink(link.unwrap_or_default().into()),
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        _ => Kind::File { size: stat.stx_size, digest: None },
    }
}

pub(super) fn timestamp(time: StatxTimestamp) -> Timestamp {
    Timestamp { sec: time.tv_sec, nsec: time.tv_nsec }
}

/// The device that a file is on, as [`Inode::dev`] has it.
pub(super) fn device(stat: &Statx) -> u64 {
    u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor)
}
