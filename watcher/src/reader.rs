//! The thread that keeps the kernel's queue short. It reads in batches, since waking for each event costs the writers as
//! much as the events, and never stops reading, since a long queue gets slower.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use crate::hearing::{Dialect, Hearing, Pumped};
use crate::recording::Lost;
use crate::refused::Refused;

/// How long events may gather between two batches.
const BATCH: Duration = Duration::from_millis(5);

/// How many buffers a batch has at the most. Each holds thousands of events, so a queue is not outrun; but where others never
/// stop writing, one that is read until it is empty is read for ever, and nobody else gets the lock.
const BUFFERS: usize = 64;

/// The reading thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Reader<D: Dialect> {
    hearing: Arc<Mutex<Hearing<D>>>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl<D: Dialect> Reader<D> {
    /// Begins to read `hearing`'s queue, whose group is `group`.
    pub fn spawn(hearing: Hearing<D>, group: Arc<OwnedFd>) -> Result<Self, Refused> {
        let refuse = |call| move |source: io::Error| Refused::Call { call, source };
        let stop = rustix::event::eventfd(0, EventfdFlags::CLOEXEC).map_err(io::Error::from);
        let stop = Arc::new(stop.map_err(refuse("eventfd"))?);
        let hearing = Arc::new(Mutex::new(hearing));
        let theirs = (Arc::clone(&hearing), Arc::clone(&stop));
        let builder = std::thread::Builder::new().name("silt-events".into());
        let thread = builder.spawn(move || run(&theirs.0, &group, &theirs.1)).map_err(refuse("clone"))?;
        Ok(Reader { hearing, stop, thread: Some(thread) })
    }

    /// What was heard, while nobody else listens.
    pub fn lock(&self) -> Result<MutexGuard<'_, Hearing<D>>, Lost> {
        self.hearing.lock().map_err(|_| Lost::Malformed("the reading thread panicked"))
    }
}

impl<D: Dialect> Drop for Reader<D> {
    fn drop(&mut self) {
        // Neither can fail in a way that leaves something to do: a full eventfd is readable, and a panic was a loss.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Reads until told to stop, or until the queue cannot be read, which `Hearing` remembers as a loss.
fn run(hearing: &Mutex<Hearing<impl Dialect>>, group: &OwnedFd, stop: &OwnedFd) {
    while matches!(wait(&[group, stop], None), Ok(ready) if !ready[1]) {
        if drain(hearing).is_err() || !matches!(wait(&[stop], Some(BATCH)), Ok(ready) if !ready[0]) {
            return;
        }
    }
}

/// Reads a batch, or until the queue is empty. The lock is given back after each buffer.
fn drain(hearing: &Mutex<Hearing<impl Dialect>>) -> io::Result<()> {
    for _ in 0..BUFFERS {
        let mut hearing = hearing.lock().map_err(|_| io::Error::other("poisoned"))?;
        if hearing.pump()? == Pumped::Nothing {
            break;
        }
    }
    Ok(())
}

/// Which of `files` are ready to be read, after at most `timeout`.
fn wait(files: &[&OwnedFd], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let timeout = timeout.and_then(|duration| Timespec::try_from(duration).ok());
    let mut polled: Vec<_> = files.iter().map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN)).collect();
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, timeout.as_ref()))?;
    Ok(polled.iter().map(|file| !file.revents().is_empty()).collect())
}
