//! Why a recorder is not possible here. It names the call, so that the log can say why.

use std::io;
use std::path::PathBuf;

use crate::budget::Scarce;
use crate::inode::Inode;

/// A recorder found that this root cannot be recorded as it promises. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A system call failed on a file.
    #[error("{call} {path:?}: {source}")]
    File {
        /// The system call.
        call: &'static str,
        /// Its file.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
    /// The kernel, a seccomp filter or missing privileges deny a call that recording needs.
    #[error("{call}: {source}{hint}", hint = hint(.call, .source))]
    Call {
        /// The system call.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// There are not enough inotify watches, or instances. It is wise to record in another way.
    #[error("{wanted} inotify {} needed, {allowed} {why}", .why.noun(*.wanted))]
    Budget {
        /// How many are needed.
        wanted: usize,
        /// How many there may be.
        allowed: usize,
        /// What bounds them.
        why: Scarce,
    },
    /// A directory is not the one that the caller's record has.
    #[error("{path:?} is inode {} on device {:#x}, and in the record {} on {:#x}", .found.ino, .found.dev, .recorded.ino, .recorded.dev)]
    Stranger {
        /// The directory.
        path: PathBuf,
        /// What the record has.
        recorded: Inode,
        /// What is there.
        found: Inode,
    },
    /// The scratch directory and the root have different device numbers.
    #[error("the scratch directory {path:?} has device number {scratch:#x}, the root {root:#x}")]
    Scratch {
        /// The scratch directory.
        path: PathBuf,
        /// Its `st_dev`, as `Inode::dev` has it.
        scratch: u64,
        /// That of the root.
        root: u64,
    },
    /// A file does not have the device number of the root, so inode numbers do not identify files.
    #[error("files of this file system have device number {file:#x}, its root {root:#x}")]
    Device {
        /// `st_dev` of the root, as `Inode::dev` has it.
        root: u64,
        /// `st_dev` of a file just made.
        file: u64,
    },
    /// An operation of the self-test was not reported as it must be.
    #[error("self-test: the kernel did not report {operation}")]
    Unheard {
        /// What was done.
        operation: &'static str,
    },
    /// The self-test could not read the queue.
    #[error("self-test: {0}")]
    SelfTest(#[source] crate::Lost),
    /// The file handles in events cannot be turned into inode numbers.
    #[error("self-test: a file handle of type {handle_type:#x} and {length} bytes is not understood: {source}")]
    Handle {
        /// `handle_type` of `struct file_handle`.
        handle_type: i32,
        /// `handle_bytes` of it.
        length: usize,
        /// What `open_by_handle_at(2)` said.
        source: io::Error,
    },
}

/// What the errno of a fanotify call usually means.
fn hint(call: &str, error: &io::Error) -> &'static str {
    if !call.starts_with("fanotify") {
        return "";
    }
    match error.raw_os_error() {
        Some(libc::EPERM) => " (it needs CAP_SYS_ADMIN, and a seccomp filter that allows it)",
        Some(libc::EOPNOTSUPP) => " (this file system has no file handles: an overlay without nfs_export, for one)",
        Some(libc::EXDEV) => " (the root is in a btrfs subvolume)",
        Some(libc::ENODEV) => " (this file system has no identifier: FUSE, for one)",
        Some(libc::ENOSYS) => " (this kernel has no fanotify)",
        Some(libc::EINVAL) => " (this kernel is older than 5.17)",
        _ => "",
    }
}
