//! Making one name in an open directory and giving it its attributes, in as few calls as that takes.
//!
//! Nothing here replaces: a name that exists is `EEXIST`. Whoever creates does not know the umask and may stand in a setgid
//! directory, so the result is looked at, and corrected only where it is not as asked.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Statx, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat, chownat, fchmod,
    fchown, futimens, makedev, mkdirat, mknodat, openat, symlinkat, utimensat,
};
use rustix::io::{Errno, Result};
use sha2::{Digest, Sha256};

use super::observe::{node, stat_at};
use super::{ContentDigest, Entry, Kind, Node, Timestamp, xattr};

const COPY: usize = 128 * 1024;

/// What was made, as the disk holds it.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its attributes and identity; for a file with the digest of what was written.
    pub node: Node,
    /// Names of extended attributes that this file system or our privileges do not allow.
    pub lost: Vec<Box<[u8]>>,
}

/// Makes the file `name`; `fill` writes its content and says what it wrote.
pub(super) fn file(
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    fill: impl FnOnce(&mut File) -> io::Result<ContentDigest>,
) -> io::Result<Made> {
    let mut file = create(parent, name, entry)?;
    let digest = fill(&mut file)?;
    let mut made = finish(&file, entry)?;
    if let Kind::File { digest: known, .. } = &mut made.node.entry_mut().kind {
        *known = Some(digest);
    }
    Ok(made)
}

/// Makes the empty file `name`, which [`finish`] must follow.
pub(super) fn create(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(parent, name, flags, bits(entry.mode & 0o777))?))
}

/// Gives a file that was made with its content the attributes of `entry`.
pub(super) fn finish(file: &File, entry: &Entry) -> Result<Made> {
    let (stat, lost) = settle(file.as_fd(), entry)?;
    let node = node(&stat, None, stored(entry, &lost));
    Ok(Made { node, lost })
}

/// Copies `from` to `to` and returns the digest of what was copied.
pub(super) fn copy(from: &mut dyn Read, to: &mut File) -> io::Result<ContentDigest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; COPY];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                to.write_all(&buffer[..n])?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Makes the directory `name`. Its time of modification is set too, but whatever is made in it moves that on.
pub(super) fn directory(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<Made> {
    mkdirat(parent, name, bits(entry.mode & 0o777))?;
    set_directory(parent, name, entry)
}

/// Gives the directory `name` the attributes of `entry`.
pub(super) fn set_directory(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<Made> {
    let fd = open_directory(parent, name)?;
    replace_attributes(fd.as_fd(), entry)
}

/// Makes the directory `name` and leaves its time of modification to be set later.
pub(super) fn directory_untimed(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<Made> {
    mkdirat(parent, name, bits(entry.mode & 0o777))?;
    let stat = stat_at(parent, name)?;
    if agrees(&stat, entry) && entry.xattrs.is_empty() {
        return Ok(Made { node: node(&stat, None, Default::default()), lost: Vec::new() });
    }
    set_directory(parent, name, entry)
}

fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, if name.is_empty() { b"." } else { name }, flags, Mode::empty())
}

/// Makes a symlink, a device or a named pipe.
pub(super) fn special(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<Made> {
    match &entry.kind {
        Kind::Symlink(target) => symlinkat(&target[..], parent, name)?,
        Kind::CharDevice { major, minor } => node_at(parent, name, FileType::CharacterDevice, entry, (*major, *minor))?,
        Kind::BlockDevice { major, minor } => node_at(parent, name, FileType::BlockDevice, entry, (*major, *minor))?,
        Kind::Fifo => node_at(parent, name, FileType::Fifo, entry, (0, 0))?,
        Kind::File { .. } | Kind::Directory | Kind::Socket => return Err(Errno::INVAL),
    }
    let stat = stat_at(parent, name)?;
    let stat = set_special(parent, name, entry, &stat)?;
    Ok(Made { node: node(&stat, link(entry), Default::default()), lost: Vec::new() })
}

/// Gives a symlink, a device or a named pipe, which `stat` describes, the attributes of `entry`.
pub(super) fn set_special(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry, stat: &Statx) -> Result<Statx> {
    if (stat.stx_uid, stat.stx_gid) != (entry.uid, entry.gid) {
        let (uid, gid) = owner(entry)?;
        chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    let is_link = FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::Symlink;
    if !is_link && !agrees(stat, entry) {
        chmodat(parent, name, bits(entry.mode), AtFlags::empty())?;
    }
    touch(parent, name, entry.mtime)?;
    stat_at(parent, name)
}

fn node_at(parent: BorrowedFd<'_>, name: &[u8], kind: FileType, entry: &Entry, rdev: (u32, u32)) -> Result<()> {
    mknodat(parent, name, kind, bits(entry.mode & 0o777), makedev(rdev.0, rdev.1))
}

fn link(entry: &Entry) -> Option<Vec<u8>> {
    match &entry.kind {
        Kind::Symlink(target) => Some(target.to_vec()),
        _ => None,
    }
}

/// Sets the time of modification of a name, not through a link.
pub(super) fn touch(parent: BorrowedFd<'_>, name: &[u8], mtime: Timestamp) -> Result<()> {
    utimensat(parent, name, &modified(mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// Gives an open file or directory the attributes of `entry`, and takes away the extended ones that it does not have.
pub(super) fn replace_attributes(fd: BorrowedFd<'_>, entry: &Entry) -> Result<Made> {
    xattr::remove_others(fd, &entry.xattrs)?;
    let (stat, lost) = settle(fd, entry)?;
    let node = node(&stat, None, stored(entry, &lost));
    Ok(Made { node, lost })
}

/// Owner first, since a change of owner clears setuid, setgid and capabilities; then mode, attributes and time.
fn settle(fd: BorrowedFd<'_>, entry: &Entry) -> Result<(Statx, Vec<Box<[u8]>>)> {
    if (entry.uid, entry.gid) != (0, 0) {
        let (uid, gid) = owner(entry)?;
        fchown(fd, uid, gid)?;
    }
    if entry.mode & 0o7000 != 0 {
        fchmod(fd, bits(entry.mode))?;
    }
    let lost = xattr::set(fd, &entry.xattrs)?;
    futimens(fd, &modified(entry.mtime))?;
    let stat = stat_at(fd, b"")?;
    if agrees(&stat, entry) {
        return Ok((stat, lost));
    }
    let (uid, gid) = owner(entry)?;
    fchown(fd, uid, gid)?;
    fchmod(fd, bits(entry.mode))?;
    let lost = xattr::set(fd, &entry.xattrs)?;
    Ok((stat_at(fd, b"")?, lost))
}

fn agrees(stat: &Statx, entry: &Entry) -> bool {
    u32::from(stat.stx_mode) & 0o7777 == entry.mode & 0o7777 && (stat.stx_uid, stat.stx_gid) == (entry.uid, entry.gid)
}

/// `EINVAL` for the number that chown(2) takes for "leave it".
fn owner(entry: &Entry) -> Result<(Option<Uid>, Option<Gid>)> {
    if entry.uid == u32::MAX || entry.gid == u32::MAX {
        return Err(Errno::INVAL);
    }
    Ok((Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid))))
}

fn bits(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o7777)
}

fn modified(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.sec, tv_nsec: mtime.nsec.into() },
    }
}

fn stored(entry: &Entry, lost: &[Box<[u8]>]) -> super::Xattrs {
    let kept = entry.xattrs.iter().filter(|(name, _)| xattr::is_kept(name) && !lost.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
