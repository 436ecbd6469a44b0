//! The recorder itself: opened once for a root, then started and taken once for each step.
//!
//! It marks the whole superblock, so that a file is heard of under every name and from every mount namespace. It is exact
//! or says why not. Starting and taking cost what was heard, never what exists.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::handle;
use crate::hearing::{Hearing, Pumped, Queue, unreadable};
use crate::inode::Inode;
use crate::mounts::Mounts;
use crate::options::{EventClasses, Options};
use crate::reader::Reader;
use crate::recording::{Directories, Lost, Nominated, Recording};
use crate::refused::Refused;
use crate::resolve::resolve;
use crate::{selftest, sys};

/// What the group reports: directory, name and object of each event (fanotify_init(2)).
const GROUP: u32 = libc::FAN_CLASS_NOTIF | libc::FAN_REPORT_DFID_NAME_TARGET | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK;

/// How long the barrier waits for its marker. Events are queued before the call that caused them returns, so all that
/// takes time is to read the millions that may be queued before it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Records what changes on the superblock of a root, with a fanotify mark on it. The mark goes with the recorder.
#[derive(Debug)]
pub struct Recorder {
    reader: Reader,
    /// Kept open, so that its inode number is not reused, and to open handles by.
    root: OwnedFd,
    /// Where the root is, as mountinfo names it.
    path: PathBuf,
    dev: u64,
    /// Kept open for the same reasons.
    scratch: OwnedFd,
    mounts: Mounts,
}

impl Recorder {
    /// Opens a recorder for the directory `root`: marks its superblock and proves, with files that it makes and removes
    /// in `scratch`, that what it will rely on is reported.
    ///
    /// `scratch` is a directory on the same superblock that the caller does not publish and nobody else writes to.
    /// Changes to names in `scratch` itself are not recorded.
    pub fn open(root: &Path, scratch: &Path, options: &Options) -> Result<Self, Refused> {
        let root_fd = open_directory(root)?;
        let scratch_fd = open_directory(scratch)?;
        let inode = inode_of(&root_fd, root)?;
        let other = inode_of(&scratch_fd, scratch)?;
        if inode.dev != other.dev {
            return Err(Refused::Scratch { path: scratch.into(), scratch: other.dev, root: inode.dev });
        }
        let path = std::fs::read_link(format!("/proc/self/fd/{}", root_fd.as_raw_fd()))
            .map_err(|source| Refused::File { call: "readlink", path: "/proc/self/fd".into(), source })?;
        let group = Arc::new(group(&root_fd)?);
        let mut queue = Queue::new(Arc::clone(&group));
        let proven = selftest::run(&mut queue, inode, &scratch_fd, scratch)?;
        let hearing = Hearing::new(queue, proven.layouts, proven.scratch, options.clone());
        let reader = Reader::spawn(hearing, group)?;
        Ok(Recorder { reader, root: root_fd, path, dev: inode.dev, scratch: scratch_fd, mounts: Mounts::default() })
    }

    /// Forgets all heard so far, losses too: the recording begins here. What the caller passes to `take` as its record
    /// must be of the tree as it stands now.
    pub fn start(&mut self) -> Result<(), Lost> {
        self.reader.lock()?.stop();
        self.mounts = self.mounts_below()?;
        self.empty()?;
        self.reader.lock()?.restart();
        let barrier = self.barrier();
        let mut hearing = self.reader.lock()?;
        match barrier {
            Ok(()) => hearing.restart(),
            Err(why) => {
                let first = hearing.take().err();
                hearing.stop();
                return Err(first.unwrap_or(why));
            }
        }
        Ok(())
    }

    /// All that changed since `start`, or since the last `take`, up to this call; the recording then goes on.
    ///
    /// `directories` says where the directories were at that `start` or `take`. Processes that may still write must be
    /// gone: a store to mapped memory is only heard of when it is unmapped. After `Incomplete` nothing is recorded before
    /// the next `start`.
    pub fn take(&mut self, directories: &dyn Directories) -> Recording {
        match self.try_take(directories) {
            Ok(nominated) => Recording::Complete(nominated),
            Err(why) => {
                if let Ok(mut hearing) = self.reader.lock() {
                    hearing.stop();
                }
                Recording::Incomplete { why }
            }
        }
    }

    /// How many events were read since `start`. Unread events of one object come as one.
    pub fn heard(&self) -> u64 {
        self.reader.lock().map_or(0, |hearing| hearing.heard())
    }

    /// As `take`, with any loss as the error.
    fn try_take(&mut self, directories: &dyn Directories) -> Result<Nominated, Lost> {
        let barrier = self.barrier();
        let sightings = self.reader.lock()?.take()?;
        barrier?;
        if self.mounts_below()? != self.mounts {
            return Err(Lost::Mounts);
        }
        resolve(&sightings, directories, &mut |identity| handle::inode(&self.root, self.dev, identity))
    }

    /// Returns when everything that happened before the call was heard: makes and removes a marker and waits until that
    /// is heard, since the queue is in order.
    fn barrier(&self) -> Result<(), Lost> {
        let name = selftest::unique("marker");
        self.reader.lock()?.expect_marker(name.clone().into_bytes());
        rustix::fs::mkdirat(&self.scratch, &name, Mode::RWXU).map_err(lost("mkdirat"))?;
        rustix::fs::unlinkat(&self.scratch, &name, AtFlags::REMOVEDIR).map_err(lost("unlinkat"))?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let mut hearing = self.reader.lock()?;
            let pumped = hearing.pump().map_err(unreadable)?;
            if hearing.heard_marker() {
                return Ok(());
            }
            if pumped == Pumped::Nothing && hearing.is_lost() {
                return Err(Lost::NotStarted); // The marker fell to an overflow, say; that loss is the reason.
            }
            drop(hearing);
            if pumped == Pumped::Nothing {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Err(Lost::Marker { millis: PATIENCE.as_millis() as u64 })
    }

    /// Reads what is queued, so that a full queue has room for the marker. Bounded, as others may go on writing.
    fn empty(&self) -> Result<(), Lost> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.reader.lock()?.pump().map_err(unreadable)? == Pumped::Nothing {
                break;
            }
        }
        Ok(())
    }

    /// The mounts at and below the root, as they are now.
    fn mounts_below(&self) -> Result<Mounts, Lost> {
        Mounts::below(&self.path).map_err(|source| Lost::Io { call: "read /proc/self/mountinfo", source })
    }
}

/// Makes a notification group with a mark on the superblock of `root`. Only a privileged caller may have a queue without
/// a bound; the others can lose events, and are told.
fn group(root: &OwnedFd) -> Result<OwnedFd, Refused> {
    let group = match sys::fanotify_init(GROUP | libc::FAN_UNLIMITED_QUEUE) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => sys::fanotify_init(GROUP),
        other => other,
    };
    let group = group.map_err(|source| Refused::Call { call: "fanotify_init", source })?;
    sys::mark_filesystem(group.as_fd(), EventClasses::all().mask(), root.as_fd())
        .map_err(|source| Refused::Call { call: "fanotify_mark(FAN_MARK_FILESYSTEM)", source })?;
    Ok(group)
}

/// Opens a directory to be used as the base of other calls.
fn open_directory(path: &Path) -> Result<OwnedFd, Refused> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let refuse = |error: rustix::io::Errno| Refused::File { call: "open", path: path.into(), source: error.into() };
    rustix::fs::open(path, flags, Mode::empty()).map_err(refuse)
}

/// The identity of the open directory `file`, which is `path`.
fn inode_of(file: &OwnedFd, path: &Path) -> Result<Inode, Refused> {
    Inode::of(file).map_err(|source| Refused::File { call: "statx", path: path.into(), source })
}

/// Makes a failed call of the barrier a loss.
fn lost(call: &'static str) -> impl Fn(rustix::io::Errno) -> Lost {
    move |error| Lost::Io { call, source: io::Error::from(error) }
}
