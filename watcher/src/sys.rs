//! The system calls that no safe wrapper covers: `fanotify_init(2)`, `fanotify_mark(2)` and `open_by_handle_at(2)`.
//!
//! This is the only file of the crate with `unsafe`. Each function makes one call, takes and returns owned or borrowed
//! descriptors, and gives the call's errno as it is; it decides nothing.

use std::ffi::{c_int, c_uint};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// The most bytes that a file handle may have (`MAX_HANDLE_SZ`).
pub const MAX_HANDLE: usize = 128;

/// `struct file_handle` with room for the longest handle, laid out as `open_by_handle_at(2)` reads it.
#[repr(C)]
struct FileHandle {
    handle_bytes: c_uint,
    handle_type: c_int,
    f_handle: [u8; MAX_HANDLE],
}

/// `fanotify_init(flags, O_RDONLY|O_CLOEXEC)`: a new notification group.
pub fn fanotify_init(flags: c_uint) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::fanotify_init(flags, (libc::O_RDONLY | libc::O_CLOEXEC) as c_uint) };
    owned(fd)
}

/// `fanotify_mark(FAN_MARK_ADD|FAN_MARK_FILESYSTEM)` for the superblock that `directory` is on.
pub fn mark_filesystem(group: BorrowedFd<'_>, mask: u64, directory: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
    // SAFETY: both descriptors are open for the whole call; a null path means the directory itself (fanotify_mark(2)).
    let done = unsafe { libc::fanotify_mark(group.as_raw_fd(), flags, mask, directory.as_raw_fd(), ptr::null()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `open_by_handle_at(2)` with `O_PATH`; `mount` is any open file on the superblock. `EINVAL` for an impossible length.
pub fn open_by_handle(mount: BorrowedFd<'_>, handle_type: c_int, handle: &[u8]) -> io::Result<OwnedFd> {
    let mut raw = FileHandle { handle_bytes: handle.len() as c_uint, handle_type, f_handle: [0; MAX_HANDLE] };
    let room = raw.f_handle.get_mut(..handle.len()).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    room.copy_from_slice(handle);
    // SAFETY: `raw` has the layout of `struct file_handle`, outlives the call, and `handle_bytes` is within its array; the
    // kernel reads no further. `mount` is open for the whole call.
    let fd = unsafe {
        libc::open_by_handle_at(mount.as_raw_fd(), ptr::from_mut(&mut raw).cast(), libc::O_PATH | libc::O_CLOEXEC)
    };
    owned(fd)
}

/// The descriptor that a call has just returned, or its errno.
fn owned(fd: c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel returned `fd` for this call, so it is open and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
