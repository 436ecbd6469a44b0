//! Whether `ctime` tells of every change of a file of a root, so that a sweep needs no contents.
//!
//! Two things must hold. The file system is one of a list that was found good by test: ext4 (and ext2, ext3, which have its
//! number), xfs, btrfs, and overlay over one of them. And it passes a test now, in a directory of ours, since a number in
//! `statfs(2)` says nothing of what an overlay writes to, of a sandbox that plays a file system, or of old formats that keep
//! whole seconds. tmpfs fails it: a page that was read through a shared mapping is stored to without a trace.

mod probe;

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fstatfs, open, statfs};
use rustix::io::Errno;
use silt_watcher::Inode;

use crate::rootfs::Root;

/// Why `ctime` is not relied upon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Distrust {
    /// The root is on a file system that is not on the list.
    #[error("on {} ctime does not tell of every change", name(*.0))]
    FileSystem(u64),
    /// The root is an overlay that writes to such a file system.
    #[error("the root is an overlay over {}, where ctime does not tell of every change", name(*.0))]
    Upper(u64),
    /// The directory for the test is not on the root's file system.
    #[error("{0:?} is not on the root's file system, so ctime cannot be tested")]
    Scratch(PathBuf),
    /// A store through a mapping left `ctime` as it was.
    #[error("a store into a shared mapping does not move ctime here")]
    StoreUnseen,
    /// A change was stamped with a time before it.
    #[error("ctime is too coarse here: a change was stamped {millis} ms before it was made")]
    Coarse {
        /// By how much, at least, in milliseconds.
        millis: i64,
    },
    /// The test could not be made.
    #[error("ctime cannot be tested: {call} {path:?}: {source}")]
    Test {
        /// The system call.
        call: &'static str,
        /// Its file.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
}

const EXT4: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;
const BTRFS: u64 = 0x9123_683e;
const OVERLAY: u64 = 0x794c_7630;

/// Says why `ctime` cannot be relied upon in `root`, if so. `scratch` is a private directory on the same file system, in
/// which a file is made and removed.
pub fn ctime_tells(root: &Root, scratch: &Path) -> Result<(), Distrust> {
    judge(magic(kind(root)?), upper(root))?;
    let failed = |source| Distrust::Test { call: "open", path: scratch.to_owned(), source };
    let file = tempfile::NamedTempFile::new_in(scratch).map_err(failed)?;
    test(root, file.as_file(), scratch)
}

/// The same where no directory is ours: the file has no name (`O_TMPFILE`), so that nobody sees it come or go. It is in the
/// first of `places` that is on the root's file system and can be written to.
pub fn ctime_tells_by(root: &Root, places: &[&Path]) -> Result<(), Distrust> {
    judge(magic(kind(root)?), upper(root))?;
    let mut why = Distrust::Scratch(root.path().to_owned());
    for place in places {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match open(*place, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => match test(root, &File::from(file), place) {
                Err(Distrust::Scratch(other)) => why = Distrust::Scratch(other),
                result => return result,
            },
            Err(errno) => why = Distrust::Test { call: "open", path: (*place).to_owned(), source: errno.into() },
        }
    }
    Err(why)
}

fn kind(root: &Root) -> Result<rustix::fs::FsWord, Distrust> {
    let failed = |errno: Errno| Distrust::Test { call: "statfs", path: root.path().to_owned(), source: errno.into() };
    Ok(fstatfs(root.fd()).map_err(failed)?.f_type)
}

/// Makes the test with a file in the directory `place`, if that is on the root's file system. The directory tells: files of nested
/// overlays have devices of their own.
fn test(root: &Root, file: &File, place: &Path) -> Result<(), Distrust> {
    let failed = |source| Distrust::Test { call: "stat", path: place.to_owned(), source };
    let beside = File::open(place).and_then(Inode::of).map_err(failed)?;
    if beside.dev != root.dev() {
        return Err(Distrust::Scratch(place.to_owned()));
    }
    probe::test(file, place)
}

/// The list: `kind` is the root's file system, `upper` the one that an overlay writes to, where that can be seen.
fn judge(kind: u64, upper: Option<u64>) -> Result<(), Distrust> {
    match (kind, upper) {
        (EXT4 | XFS | BTRFS, _) => Ok(()),
        (OVERLAY, None | Some(EXT4 | XFS | BTRFS)) => Ok(()),
        (OVERLAY, Some(upper)) => Err(Distrust::Upper(upper)),
        (other, _) => Err(Distrust::FileSystem(other)),
    }
}

/// The file system below the overlay that `root` is on. In a container its path is one of the host's and means nothing.
fn upper(root: &Root) -> Option<u64> {
    let table = std::fs::read("/proc/thread-self/mountinfo").ok()?;
    Some(magic(statfs(upper_directory(&table, root.dev())?).ok()?.f_type))
}

/// `upperdir=` of the overlay with this device number, from the text of mountinfo (proc_pid_mountinfo(5)). One
/// with characters that are escaped there counts as not seen.
fn upper_directory(table: &[u8], dev: u64) -> Option<PathBuf> {
    let number = format!("{}:{}", dev >> 32, dev & 0xffff_ffff);
    let of_device = |line: &&[u8]| line.split(|b| *b == b' ').nth(2) == Some(number.as_bytes());
    let line = table.split(|b| *b == b'\n').find(of_device)?;
    let options = line.rsplit(|b| *b == b' ').next()?;
    let path = options.split(|b| *b == b',').find_map(|option| option.strip_prefix(b"upperdir="))?;
    let plain = path.starts_with(b"/") && !path.contains(&b'\\');
    plain.then(|| PathBuf::from(std::ffi::OsStr::from_bytes(path)))
}

/// `f_type`, whose width and sign are those of the machine; the numbers have 32 bits.
fn magic(kind: rustix::fs::FsWord) -> u64 {
    kind as u64 & 0xffff_ffff
}

fn name(magic: u64) -> String {
    let known = match magic {
        0x0102_1994 => "tmpfs",
        0x6573_5546 => "FUSE",
        0x6969 => "NFS",
        0x0102_1997 => "9p",
        0x8584_58f6 => "ramfs",
        0x2fc1_2fc1 => "ZFS",
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => "SMB",
        0x00c3_6400 => "Ceph",
        0xf2f5_2010 => "F2FS",
        0xca45_1a4e => "bcachefs",
        OVERLAY => "overlay",
        other => return format!("a file system of type {other:#x}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_found_good_is_on_the_list() {
        const TMPFS: u64 = 0x0102_1994;
        let check = |kind, upper, expected: Option<&str>| {
            let said = judge(kind, upper).err().map(|why| why.to_string());
            assert_eq!(said.is_some(), expected.is_some(), "{kind:#x}: {said:?}");
            assert!(said.unwrap_or_default().contains(expected.unwrap_or_default()));
        };
        for good in [EXT4, XFS, BTRFS] {
            check(good, None, None);
            check(OVERLAY, Some(good), None);
        }
        check(OVERLAY, None, None);
        check(TMPFS, None, Some("on tmpfs ctime"));
        check(OVERLAY, Some(TMPFS), Some("an overlay over tmpfs"));
        check(OVERLAY, Some(OVERLAY), Some("an overlay over overlay"));
        check(0x0102_1997, None, Some("9p"));
        check(0x6969, None, Some("NFS"));
        check(0x6573_5546, None, Some("FUSE"));
        check(0x1234, None, Some("type 0x1234"));
    }

    #[test]
    fn an_overlays_upper_directory_is_found_by_device() {
        let table = b"21 1 254:0 / / rw - ext4 /dev/vda rw,upperdir=/no\n\
            22 21 0:40 / /a rw shared:3 - overlay none rw,lowerdir=/l,upperdir=/x/u,workdir=/x/w\n\
            23 21 0:41 / /b rw - overlay none rw,lowerdir=/l,upperdir=/x\\040y,workdir=/x/w\n\
            24 21 0:42 / /c rw - overlay none ro,lowerdir=/l:/m\n";
        let check = |minor: u64, expected: Option<&str>| {
            assert_eq!(upper_directory(table, minor), expected.map(PathBuf::from), "{minor}");
        };
        check(40, Some("/x/u"));
        check(41, None);
        check(42, None);
        check(43, None);
    }
}
