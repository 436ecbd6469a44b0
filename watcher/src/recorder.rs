//! The recorder with a superblock mark: opened once for a root, then started and taken once for each step.
//!
//! It marks the whole superblock, so that a file is heard of under every name and from every mount namespace. It is exact
//! or says why not. Starting and taking cost what was heard, never what exists.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use crate::handle;
use crate::hearing::superblock::Superblock;
use crate::hearing::{Hearing, Queue};
use crate::inode::Inode;
use crate::listener::{Listener, open_directory};
use crate::options::{EventClasses, Options};
use crate::recording::{Directories, Lost, Nominated, Recording};
use crate::refused::Refused;
use crate::resolve::resolve;
use crate::{selftest, sys};

/// What the group reports: directory, name and object of each event (fanotify_init(2)).
const GROUP: u32 = libc::FAN_CLASS_NOTIF | libc::FAN_REPORT_DFID_NAME_TARGET | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK;

/// Records what changes on the superblock of a root, with a fanotify mark on it. The mark goes with the recorder.
#[derive(Debug)]
pub struct Recorder {
    listener: Listener<Superblock>,
    /// Kept open, so that its inode number is not reused, and to open handles by.
    root: OwnedFd,
    dev: u64,
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
        let group = Arc::new(group(&root_fd)?);
        let mut queue = Queue::new(Arc::clone(&group));
        let proven = selftest::run(&mut queue, inode, &scratch_fd, scratch)?;
        let dialect = Superblock::new(proven.layouts, proven.scratch, options.clone());
        let hearing = Hearing::new(queue, dialect, options.memory);
        let listener = Listener::new(hearing, group, &root_fd, scratch_fd)?;
        Ok(Recorder { listener, root: root_fd, dev: inode.dev })
    }

    /// Forgets all heard so far, losses too: the recording begins here. What the caller passes to `take` as its record
    /// must be of the tree as it stands now.
    pub fn start(&mut self) -> Result<(), Lost> {
        self.listener.start()
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
                self.listener.stop();
                Recording::Incomplete { why }
            }
        }
    }

    /// How many events were read since `start`. Unread events of one object come as one.
    pub fn heard(&self) -> u64 {
        self.listener.heard()
    }

    /// As `take`, with any loss as the error.
    fn try_take(&mut self, directories: &dyn Directories) -> Result<Nominated, Lost> {
        let sightings = self.listener.take()?;
        resolve(&sightings, directories, &mut |identity| handle::inode(&self.root, self.dev, identity))
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

/// The identity of the open directory `file`, which is `path`.
fn inode_of(file: &OwnedFd, path: &Path) -> Result<Inode, Refused> {
    Inode::of(file).map_err(|source| Refused::File { call: "statx", path: path.into(), source })
}
