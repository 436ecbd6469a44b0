//! The operations of the self-test: tables of what to do in its directory and what must be heard of it.

use std::os::fd::OwnedFd;

use libc::{FAN_ATTRIB, FAN_CLOSE_WRITE, FAN_CREATE, FAN_DELETE, FAN_MODIFY, FAN_ONDIR, FAN_RENAME};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};

/// One thing to do in the probe directory, and what must be heard of it.
pub struct Operation {
    /// What to call it when it was not heard of.
    pub what: &'static str,
    /// The name that it must be heard under.
    pub name: &'static str,
    /// The bits that must be heard.
    pub mask: u64,
    /// Does it to the name, or a thing that it was made with, in the directory.
    pub act: fn(&OwnedFd, &str) -> rustix::io::Result<()>,
}

/// Made first, so that later events do not merge with those of their making; each is left to its own operation.
pub const MADE: [Operation; 7] = [
    Operation { what: "a file made", name: "linked", mask: WRITTEN, act: make },
    Operation { what: "a file made", name: "old", mask: WRITTEN, act: make },
    Operation { what: "a file made", name: "touched", mask: WRITTEN, act: make },
    Operation { what: "a file made", name: "cut", mask: WRITTEN, act: make },
    Operation { what: "a file made", name: "mode", mask: WRITTEN, act: make },
    Operation { what: "a file made", name: "kept", mask: WRITTEN, act: make },
    Operation { what: "a directory made", name: "directory", mask: FAN_CREATE | FAN_ONDIR, act: make_directory },
];

/// What making and writing a file is.
const WRITTEN: u64 = FAN_CREATE | FAN_MODIFY | FAN_CLOSE_WRITE;

/// Changes, each to a file of its own.
pub const CHANGED: [Operation; 7] = [
    Operation { what: "a link", name: "link", mask: FAN_CREATE, act: link },
    Operation { what: "the old name of a rename", name: "old", mask: FAN_RENAME, act: rename },
    Operation { what: "the new name of a rename", name: "new", mask: FAN_RENAME, act: nothing },
    Operation { what: "a modification time", name: "touched", mask: FAN_MODIFY, act: touch },
    Operation { what: "a truncation", name: "cut", mask: FAN_MODIFY | FAN_CLOSE_WRITE, act: cut },
    Operation { what: "a mode", name: "mode", mask: FAN_ATTRIB, act: set_mode },
    Operation { what: "a directory's mode", name: ".", mask: FAN_ATTRIB | FAN_ONDIR, act: set_mode },
];

/// The end of it.
pub const REMOVED: [Operation; 8] = [
    Operation { what: "a removal", name: "linked", mask: FAN_DELETE, act: remove },
    Operation { what: "a removal", name: "link", mask: FAN_DELETE, act: remove },
    Operation { what: "a removal", name: "new", mask: FAN_DELETE, act: remove },
    Operation { what: "a removal", name: "touched", mask: FAN_DELETE, act: remove },
    Operation { what: "a removal", name: "cut", mask: FAN_DELETE, act: remove },
    Operation { what: "a removal", name: "mode", mask: FAN_DELETE, act: remove },
    Operation { what: "a removal", name: "kept", mask: FAN_DELETE, act: remove },
    Operation { what: "a directory removed", name: "directory", mask: FAN_DELETE | FAN_ONDIR, act: remove_directory },
];

/// Removes what a test that failed half-way left in `probe`; what is gone already is no error.
pub fn clean(probe: &OwnedFd) {
    for operation in &REMOVED {
        let _ = (operation.act)(probe, operation.name);
    }
    let _ = remove(probe, "old");
}

fn make(probe: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(probe, name, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::io::write(&file, b"written").map(drop)
}

fn make_directory(probe: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    rustix::fs::mkdirat(probe, name, Mode::RWXU)
}

fn link(probe: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    rustix::fs::linkat(probe, "linked", probe, name, AtFlags::empty())
}

fn rename(probe: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    rustix::fs::renameat(probe, name, probe, "new")
}

fn nothing(_: &OwnedFd, _: &str) -> rustix::io::Result<()> {
    Ok(())
}

fn touch(probe: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps { last_access, last_modification: Timespec { tv_sec: 1, tv_nsec: 0 } };
    rustix::fs::utimensat(probe, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

fn cut(probe: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    let file = rustix::fs::openat(probe, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::fs::ftruncate(&file, 1)
}

fn set_mode(probe: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    rustix::fs::chmodat(probe, name, Mode::RUSR | Mode::WUSR | Mode::XUSR | Mode::XGRP, AtFlags::empty())
}

fn remove(probe: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    rustix::fs::unlinkat(probe, name, AtFlags::empty())
}

fn remove_directory(probe: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    rustix::fs::unlinkat(probe, name, AtFlags::REMOVEDIR)
}
