//! The recorder with directory watches, for where no mark on the superblock is allowed: an ordinary pod, under Docker's
//! seccomp profile, on any file system that has inotify(7).
//!
//! It hears of what happens under a name in a directory that was there at the start, so it is not exact. A file that is
//! written through a name elsewhere (a hard link in a directory made since, or outside of the root) is not heard of under
//! the names that the caller's record has, and neither is one whose other name in a watched directory came and went: inotify
//! says nothing of the object. So it answers `Partial`: good for beginning early, not for publishing.
//!
//! A directory made or moved in since the start is nominated as a whole and needs no watch until the caller has looked at
//! it. So there is no race to win for watches while the step runs.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::beneath::Opener;
use crate::budget::{Budget, Scarce, no_instance};
use crate::hearing::watches::Watches;
use crate::hearing::{Hearing, Queue};
use crate::inode::Inode;
use crate::inotify::{Watch, mask};
use crate::listener::{Listener, open_directory};
use crate::options::{EventClasses, Options};
use crate::recording::{Directories, Lost, Nominated, Recording};
use crate::refused::Refused;
use crate::resolve::resolve;

/// Records what changes in the directories of a root, with an inotify watch on each. The watches go with the recorder.
///
/// A mask for each watch: all that changes an entry, and nothing of reading. `IN_DELETE_SELF` and `IN_MOVE_SELF` would say
/// what the parent's watch says; that a watch is gone, `IN_IGNORED` says unasked. `IN_EXCL_UNLINK` would keep back writes
/// to a file whose name was removed, which may have others.
#[derive(Debug)]
pub struct DirWatch {
    listener: Listener<Watches>,
    group: Arc<OwnedFd>,
    root: OwnedFd,
    path: PathBuf,
    opener: Opener,
    budget: Budget,
    /// What is watched. A directory that moves keeps its watch.
    directories: HashMap<Watch, Inode>,
}

impl DirWatch {
    /// Opens a recorder for the directory `root` that watches nothing yet.
    ///
    /// `scratch` is a directory, anywhere, that the caller does not publish and nobody else writes to. Changes to names in
    /// `scratch` itself are not recorded.
    pub fn open(root: &Path, scratch: &Path, options: &Options) -> Result<Self, Refused> {
        let root_fd = open_directory(root)?;
        let scratch_fd = open_directory(scratch)?;
        let budget = Budget::new(options.watches);
        budget.check(1)?;
        let group = Arc::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(no_instance)?);
        let own = add(&group, &scratch_fd).map_err(|error| unwatched(error, 1, 0, scratch))?;
        let dialect = Watches::new(own, options.events);
        let hearing = Hearing::new(Queue::new(Arc::clone(&group)), dialect, options.memory);
        let listener = Listener::new(hearing, Arc::clone(&group), &root_fd, scratch_fd)?;
        let (opener, directories) = (Opener::probe(&root_fd), HashMap::new());
        Ok(DirWatch { listener, group, root: root_fd, path: root.into(), opener, budget, directories })
    }

    /// Watches `directories`, each with its path from the root (clean, the empty path is the root) and its identity in the
    /// caller's record. Directories that are watched already may be among them.
    ///
    /// It must be called, between a `take` and the next step, with every directory that the record has and that is not yet
    /// watched: the first time all; later those that were looked at since, at or below what was nominated and whatever else
    /// the caller found. One that was removed and made again is a new one, even under the same path and inode number.
    ///
    /// No link is followed, and a directory that is not the one in the record is refused. A refusal leaves no watch behind,
    /// and the recorder is of no more use. The cost is that of `directories`.
    pub fn watch<P: AsRef<[u8]>>(
        &mut self,
        directories: impl Iterator<Item = (P, Inode)> + Clone,
    ) -> Result<(), Refused> {
        let placed = self.place(directories);
        if placed.is_err() {
            self.give_up();
        }
        placed
    }

    /// Forgets all heard so far, losses too: the recording begins here. What the caller passes to `take` as its record
    /// must be of the tree as it stands now.
    pub fn start(&mut self) -> Result<(), Lost> {
        let started = self.listener.start();
        self.forget_gone();
        if self.directories.is_empty() {
            self.listener.stop();
            return Err(Lost::NotStarted);
        }
        started
    }

    /// What was heard of since `start`, or since the last `take`, up to this call; the recording then goes on. It is
    /// `Partial` or `Incomplete`.
    ///
    /// `directories` says where the directories were at that `start` or `take`. Processes that may still write must be
    /// gone: a store to mapped memory is only heard of when it is unmapped. After `Incomplete` nothing is recorded before
    /// the next `start`.
    pub fn take(&mut self, directories: &dyn Directories) -> Recording {
        let taken = self.try_take(directories);
        self.forget_gone();
        match taken {
            Ok(nominated) => Recording::Partial(nominated),
            Err(why) => Recording::Incomplete { why },
        }
    }

    /// How many events were read since `start`. A repetition of the event before it does not count.
    pub fn heard(&self) -> u64 {
        self.listener.heard()
    }

    /// How many directories are watched, as of the last call of another method. Those that were moved out of the root are
    /// among them.
    pub fn watched(&self) -> usize {
        self.directories.len()
    }

    fn try_take(&mut self, directories: &dyn Directories) -> Result<Nominated, Lost> {
        let sightings = self.listener.take()?;
        resolve(&sightings, directories, &mut |watch| Ok(self.directories.get(watch).copied()))
    }

    /// Places all watches. The one in scratch counts too.
    fn place<P: AsRef<[u8]>>(&mut self, directories: impl Iterator<Item = (P, Inode)> + Clone) -> Result<(), Refused> {
        let wanted = directories.clone().count() + 1;
        self.budget.check(wanted)?; // Before any is placed.
        for (path, inode) in directories {
            self.place_one(path.as_ref(), inode, wanted)?;
            self.budget.check(self.directories.len() + 1)?;
        }
        Ok(())
    }

    /// Watches the directory `path` if it is `inode`; `wanted` watches are wanted in all.
    fn place_one(&mut self, path: &[u8], inode: Inode, wanted: usize) -> Result<(), Refused> {
        let full = || self.path.join(std::ffi::OsStr::from_bytes(path));
        let file = |call| move |source: io::Error| Refused::File { call, path: full(), source };
        let directory = self.opener.open(&self.root, path).map_err(io::Error::from).map_err(file("openat"))?;
        let found = Inode::of(&directory).map_err(file("statx"))?;
        if found != inode {
            return Err(Refused::Stranger { path: full(), recorded: inode, found });
        }
        let left = self.directories.len() + 1;
        let watch =
            add(&self.group, &directory).map_err(|error| unwatched(error, wanted.max(left + 1), left, &full()))?;
        self.directories.insert(watch, inode);
        Ok(())
    }

    /// Forgets the watches that the kernel has dropped.
    fn forget_gone(&mut self) {
        let Ok(mut hearing) = self.listener.lock() else { return };
        for watch in hearing.dialect.take_gone() {
            self.directories.remove(&watch);
        }
    }

    /// Gives all watches back, so that others may have them.
    fn give_up(&mut self) {
        self.listener.stop();
        for (watch, _) in self.directories.drain() {
            let _ = inotify::remove_watch(&self.group, watch.0); // It may be gone already.
        }
    }
}

/// Watches an open directory. Its descriptor leads to it and nowhere else, so the link that `/proc` has for it is followed.
fn add(group: &OwnedFd, directory: &OwnedFd) -> Result<Watch, Errno> {
    let flags = WatchFlags::from_bits_retain(mask(EventClasses::all()) & !libc::IN_ISDIR) | WatchFlags::ONLYDIR;
    inotify::add_watch(group, format!("/proc/self/fd/{}", directory.as_raw_fd()), flags).map(Watch)
}

/// The refusal when the kernel gave no watch for `path`, after `left` others; `wanted` are wanted.
fn unwatched(error: Errno, wanted: usize, left: usize, path: &Path) -> Refused {
    match error {
        Errno::NOSPC => Refused::Budget { wanted, allowed: left, why: Scarce::Watches },
        error => Refused::File { call: "inotify_add_watch", path: path.into(), source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The record of a root without directories.
    struct Known(Inode);

    impl Directories for Known {
        fn path_of(&self, inode: Inode) -> Option<Vec<u8>> {
            (inode == self.0).then(Vec::new)
        }
    }

    #[test]
    fn a_queue_that_overflows_is_a_loss_that_a_start_ends() {
        let top = tempfile::TempDir::new_in("/dev/shm").unwrap();
        let (root, scratch) = (top.path().join("root"), top.path().join("scratch"));
        [&root, &scratch].iter().for_each(|path| fs::create_dir(path).unwrap());
        let known = Known(Inode::of(fs::File::open(&root).unwrap()).unwrap());
        let queue: usize =
            fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
        let mut recorder = DirWatch::open(&root, &scratch, &Options::default()).unwrap();
        recorder.watch([(b"", known.0)].into_iter()).unwrap();
        recorder.start().unwrap();
        fs::write(root.join("file"), "").unwrap();
        let other = root.join("other");
        {
            let _silence = recorder.listener.lock().unwrap(); // The reading thread must wait.
            for _ in 0..queue / 4 + 1 {
                fs::rename(root.join("file"), &other).unwrap();
                fs::rename(&other, root.join("file")).unwrap();
            }
        }
        let lost = |recording| match recording {
            Recording::Incomplete { why } => why.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(lost(recorder.take(&known)), "the kernel's event queue overflowed");
        assert_eq!(lost(recorder.take(&known)), "the recording was not started");
        recorder.start().unwrap();
        fs::write(&other, "").unwrap();
        let Recording::Partial(nominated) = recorder.take(&known) else { panic!("lost again") };
        assert_eq!(nominated.paths, [b"".as_slice().into(), b"other".as_slice().into()].into());
    }
}
