//! The identity of a file on one machine while it is mounted: device and inode number, as `stat(2)` gives them.

/// A file's identity: `st_dev` and `st_ino`. A number is reused once its file is gone, so an `Inode` is a hint about
/// names, never proof that two observations saw one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inode {
    /// `st_dev`, encoded as the kernel's `statx` major and minor pair: `major << 32 | minor`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
}
