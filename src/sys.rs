//! The system calls of the root package that neither rustix nor nix offers as safe functions.
//!
//! Guarantees: this is the only file of the package with `unsafe` in it, and every function here is safe to call.
//! It does not decide anything: policy belongs to its callers.
//! Follows fork(2), close_range(2), signal(2), prctl(2), mmap(2), ioctl(2).

#![allow(unsafe_code, reason = "the one file of the package that may; every block says why it is sound")]

use std::io;

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit};

/// Which side of [`fork`] this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The new process.
    Child,
    /// The caller, with the process id of the new process as the caller's PID namespace counts.
    Parent(Pid),
}

/// fork(2), refused with `EBUSY` in a process of more than one thread: only there could a lock stay held for ever in the
/// child. It needs /proc to count the threads.
pub fn fork() -> io::Result<Fork> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(Errno::BUSY.into());
    }
    // SAFETY: the process has one thread, the one that forks, so that no lock of the allocator or of std can be held by
    // a thread which the child lacks; the child may do all that the parent may.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => Ok(Fork::Child),
        nix::unistd::ForkResult::Parent { child } => match Pid::from_raw(child.as_raw()) {
            Some(pid) => Ok(Fork::Parent(pid)),
            None => Err(Errno::CHILD.into()),
        },
    }
}

/// Has the allocator take 128 KiB and more from the kernel each time, and give that back at once. By default the bound rises
/// with what is freed, up to 32 MiB, and records that grow leave holes.
pub fn map_large_blocks() {
    const LARGE: i32 = 128 << 10;
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes two integers, and glibc does it under the allocator's lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Gives free pages of the allocator back to the kernel.
pub fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes an integer and touches free memory alone, under the allocator's locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Ends the process at once: nothing is flushed and no destructor runs. It is for children of [`fork`].
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}

/// Marks every descriptor from 3 on close-on-exec, also those that were inherited by accident.
///
/// Kernels before 5.11 lack `CLOSE_RANGE_CLOEXEC`; there the descriptors are found in /proc.
pub fn close_on_exec_from_3() -> io::Result<()> {
    // SAFETY: close_range(2) takes three integers; with CLOEXEC it closes nothing, it only sets a flag.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        if let Some(fd) = name.to_str().and_then(|n| n.parse::<i32>().ok()).filter(|fd| *fd >= 3) {
            // SAFETY: fcntl(F_SETFD) takes integers; on a number that is not open it answers EBADF.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Gives every signal its default disposition again: an ignored signal would stay ignored across execve(2).
///
/// It asks the kernel and not libc, which keeps two signals to itself and leaves them ignored in what it spawns.
pub fn reset_signal_dispositions() {
    // A kernel sigaction of zeros is SIG_DFL with no flags and an empty mask; it has at most four words.
    let default = [0u64; 4];
    let (none, set_size) = (std::ptr::null_mut::<libc::c_void>(), size_of::<u64>());
    for signal in 1..=64 {
        // SAFETY: the kernel reads no more than `default` has and writes nothing; SIG_DFL installs no handler, so no code
        // can run at a bad moment. SIGKILL and SIGSTOP are refused, which is right.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, set_size) };
    }
}

/// Makes this process private: not dumpable (so no process without `CAP_SYS_PTRACE` reads its memory, environment or
/// descriptors through /proc), and no core file.
///
/// Only the soft core limit is lowered, so that the commands of a build may raise their own again.
pub fn make_private_process() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let core = rustix::process::getrlimit(Resource::Core);
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: core.maximum })?;
    Ok(())
}

/// Maps the first page of `file`, opened for reading and writing, as shared; reads its first byte and then stores `byte`
/// there, both through the mapping. The file must not be empty, and nobody else may cut it meanwhile (mmap(2): `SIGBUS`).
pub fn store_after_read(file: &std::fs::File, byte: u8) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Err(Errno::INVAL.into());
    }
    let (access, none) = (libc::PROT_READ | libc::PROT_WRITE, std::ptr::null_mut());
    // SAFETY: the kernel chooses where one byte, which it rounds up to a page, is mapped; nothing of ours is replaced.
    let page = unsafe { libc::mmap(none, 1, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `page` is mapped for reading and writing until it is unmapped below, nobody else knows it, and the file has
    // its first byte; volatile accesses are neither left out nor exchanged.
    unsafe {
        page.cast::<u8>().read_volatile();
        page.cast::<u8>().write_volatile(byte);
    }
    // SAFETY: this is the mapping made above, and nothing refers to it any more.
    match unsafe { libc::munmap(page, 1) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What `FS_IOC_GETFSUUID` (linux/fs.h, Linux 6.9) tells of the file system that `file` is on; `None` where the kernel or the
/// file system does not know it.
pub fn file_system_uuid(file: impl AsFd) -> io::Result<Option<Vec<u8>>> {
    // struct fsuuid2: the length, then as many of the bytes.
    let mut answer = [0u8; 17];
    let request = rustix::ioctl::opcode::read::<[u8; 17]>(0x15, 0);
    // SAFETY: the request says that the kernel writes at most the 17 bytes that `answer` has; a file system that does not
    // know the request writes nothing.
    let result = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), request as _, answer.as_mut_ptr()) };
    match (result, answer.split_first()) {
        (0, Some((length, uuid))) => {
            Ok(uuid.get(..usize::from(*length)).filter(|uuid| !uuid.is_empty()).map(<[u8]>::to_vec))
        }
        (0, None) => Ok(None),
        _ => match io::Error::last_os_error() {
            error
                if [Errno::NOTTY, Errno::OPNOTSUPP, Errno::INVAL]
                    .map(Errno::raw_os_error)
                    .contains(&error.raw_os_error().unwrap_or(0)) =>
            {
                Ok(None)
            }
            error => Err(error),
        },
    }
}
