//! Extended attributes that a layer carries: `user.*` and `security.capability`; see xattr(7).

use std::os::fd::AsRawFd;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{
    Mode, OFlags, XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, lgetxattr, llistxattr, openat,
};
use rustix::io::{Errno, Result};

use super::Xattrs;

/// The longest list and the longest value that Linux allows (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const LONGEST: usize = 65536;
/// Enough for almost every list and value.
const SHORT: usize = 1024;

/// Whether a layer carries the attribute.
pub(super) fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability" || name.starts_with(b"user.")
}

/// The attributes of `name` in `parent`, a file or a directory; of `parent` itself, open for reading, if `name` is empty.
pub(super) fn read(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Xattrs> {
    if name.is_empty() {
        return read_open(parent);
    }
    let path = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), name].concat();
    let list = match sized(|buffer| llistxattr(&path[..], buffer)) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return read_without_proc(parent, name),
        result => result,
    };
    collect(list, |attribute, buffer| lgetxattr(&path[..], attribute, buffer))
}

fn read_without_proc(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Xattrs> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = super::observe::quietly(|quiet| openat(parent, name, flags | quiet, Mode::empty()))?;
    read_open(fd.as_fd())
}

/// The attributes of an open file or directory.
pub(super) fn read_open(fd: BorrowedFd<'_>) -> Result<Xattrs> {
    let list = sized(|buffer| flistxattr(fd, buffer));
    collect(list, |attribute, buffer| fgetxattr(fd, attribute, buffer))
}

/// Removes those attributes of an open file or directory that a layer carries and `wanted` has not.
pub(super) fn remove_others(fd: BorrowedFd<'_>, wanted: &Xattrs) -> Result<()> {
    for name in read_open(fd)?.keys().filter(|name| !wanted.contains_key(*name)) {
        fremovexattr(fd, &name[..])?;
    }
    Ok(())
}

/// Adds attributes to an open file or directory and returns the names that cannot be set here.
pub(super) fn set(fd: BorrowedFd<'_>, wanted: &Xattrs) -> Result<Vec<Box<[u8]>>> {
    let mut lost = Vec::new();
    for (name, value) in wanted.iter().filter(|(name, _)| is_kept(name)) {
        match fsetxattr(fd, &name[..], value, XattrFlags::empty()) {
            Err(Errno::NOTSUP | Errno::PERM | Errno::NOSPC | Errno::TOOBIG) => lost.push(name.clone()),
            result => result?,
        }
    }
    Ok(lost)
}

fn collect(list: Result<Vec<u8>>, get: impl Fn(&[u8], &mut [u8]) -> Result<usize>) -> Result<Xattrs> {
    let list = match list {
        Err(Errno::NOTSUP) => return Ok(Xattrs::new()),
        result => result?,
    };
    let mut xattrs = Xattrs::new();
    for name in list.split(|b| *b == 0).filter(|name| is_kept(name)) {
        match sized(|buffer| get(name, buffer)) {
            Err(Errno::NODATA) => {}
            value => drop(xattrs.insert(name.into(), value?.into())),
        }
    }
    Ok(xattrs)
}

/// Calls with a short buffer, and with the longest one if that is too short.
fn sized(call: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut short = [0; SHORT];
    match call(&mut short) {
        Err(Errno::RANGE) => {}
        length => return Ok(short[..length?].to_vec()),
    }
    let mut long = vec![0; LONGEST];
    let length = call(&mut long)?;
    long.truncate(length);
    Ok(long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::fixture::Fixture;

    #[test]
    fn both_ways_of_reading_agree() {
        let fixture = Fixture::new();
        std::fs::write(fixture.on_disk("f"), "x").expect("write");
        let file = std::fs::File::open(fixture.on_disk("f")).expect("open");
        let long = "n".repeat(240);
        let wanted: Xattrs = (0..8)
            .map(|i| (format!("user.{long}{i}").into_bytes().into(), vec![b'v'; 10 * i].into()))
            .chain([(Box::from(&b"trusted.not-ours"[..]), Box::from(&b"x"[..]))])
            .collect();
        assert_eq!(set(file.as_fd(), &wanted).expect("set"), Vec::<Box<[u8]>>::new());
        let read = read(fixture.root.fd(), b"f").expect("read");
        assert_eq!(read.len(), 8, "a list longer than the short buffer, without the foreign name");
        assert_eq!(read, read_without_proc(fixture.root.fd(), b"f").expect("read"));
        remove_others(file.as_fd(), &Xattrs::new()).expect("removed");
        assert_eq!(read_open(file.as_fd()).expect("read"), Xattrs::new());
    }
}
