//! What every recorder does between two steps: start, wait until all was heard, take. What the events mean is the
//! dialect's business, and where they come from the recorder's.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::hearing::{Dialect, Hearing, Pumped, unreadable};
use crate::mounts::Mounts;
use crate::reader::Reader;
use crate::recording::Lost;
use crate::refused::Refused;
use crate::selftest;
use crate::sightings::Sightings;

/// How long the barrier waits for its marker. Events are queued before the call that caused them returns, so all that
/// takes time is to read the millions that may be queued before it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A hearing with its reading thread, and what the barrier needs.
#[derive(Debug)]
pub struct Listener<D: Dialect> {
    reader: Reader<D>,
    /// Where the root is, as mountinfo names it.
    path: PathBuf,
    /// Where markers are made. Kept open, so that its inode number is not reused.
    scratch: OwnedFd,
    mounts: Mounts,
}

impl<D: Dialect> Listener<D> {
    /// Begins to read `hearing`'s queue, which is `group`, for the root that is open as `root`.
    pub fn new(hearing: Hearing<D>, group: Arc<OwnedFd>, root: &OwnedFd, scratch: OwnedFd) -> Result<Self, Refused> {
        let path = std::fs::read_link(format!("/proc/self/fd/{}", root.as_raw_fd()))
            .map_err(|source| Refused::File { call: "readlink", path: "/proc/self/fd".into(), source })?;
        Ok(Listener { reader: Reader::spawn(hearing, group)?, path, scratch, mounts: Mounts::default() })
    }

    /// Forgets all heard so far, losses too: the recording begins here.
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

    /// What was seen since `start`, or since the last `take`, up to this call. After a loss nothing is noted before the
    /// next `start`.
    pub fn take(&mut self) -> Result<Sightings<D::Object>, Lost> {
        let taken = self.try_take();
        if taken.is_err() {
            self.stop();
        }
        taken
    }

    /// Notes nothing any more until the next `start`.
    pub fn stop(&self) {
        if let Ok(mut hearing) = self.reader.lock() {
            hearing.stop();
        }
    }

    /// How many events were read since `start`.
    pub fn heard(&self) -> u64 {
        self.reader.lock().map_or(0, |hearing| hearing.heard())
    }

    /// What was heard, while nobody else listens.
    pub fn lock(&self) -> Result<MutexGuard<'_, Hearing<D>>, Lost> {
        self.reader.lock()
    }

    fn try_take(&self) -> Result<Sightings<D::Object>, Lost> {
        let barrier = self.barrier();
        let sightings = self.reader.lock()?.take()?;
        barrier?;
        if self.mounts_below()? != self.mounts {
            return Err(Lost::Mounts);
        }
        Ok(sightings)
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

/// Opens a directory to be used as the base of other calls.
pub fn open_directory(path: &Path) -> Result<OwnedFd, Refused> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let refuse = |error: rustix::io::Errno| Refused::File { call: "open", path: path.into(), source: error.into() };
    rustix::fs::open(path, flags, Mode::empty()).map_err(refuse)
}

/// Makes a failed call of the barrier a loss.
fn lost(call: &'static str) -> impl Fn(rustix::io::Errno) -> Lost {
    move |error| Lost::Io { call, source: io::Error::from(error) }
}
