//! The identity of a file on one machine while it is mounted: device and inode number, as `stat(2)` gives them.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags};

/// A file's identity: `st_dev` and `st_ino`. A number is reused once its file is gone, so an `Inode` is a hint about
/// names, never proof that two observations saw one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inode {
    /// `st_dev`, encoded as the kernel's `statx` major and minor pair: `major << 32 | minor`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
}

impl Inode {
    /// The identity of an open file, which may be opened with `O_PATH`.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        let stat = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::INO)?;
        Ok(Inode { dev: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor), ino: stat.stx_ino })
    }
}
