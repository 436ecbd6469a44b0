//! Listening: bytes from the kernel's queue become sightings. It remembers what was lost, and never blocks.
//!
//! What the bytes mean is the business of a [`Dialect`]: fanotify's or inotify's.

use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use crate::recording::Lost;
use crate::sightings::{Object, Seen, Sightings};

pub mod superblock;
pub mod watches;

/// How much one `read(2)` may return: some thousands of events.
const BUFFER: usize = 256 << 10;

/// The reading end of a notification group, opened so that reading does not block.
#[derive(Debug)]
pub struct Queue {
    group: Arc<OwnedFd>,
    buffer: Vec<u8>,
}

impl Queue {
    /// The queue of `group`.
    pub fn new(group: Arc<OwnedFd>) -> Self {
        Queue { group, buffer: vec![0; BUFFER] }
    }

    /// The bytes of the next events; none if the queue is empty.
    pub fn read(&mut self) -> Result<&[u8], Errno> {
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.group, &mut self.buffer)) {
            Ok(length) => Ok(&self.buffer[..length]),
            Err(Errno::AGAIN) => Ok(&[]),
            Err(error) => Err(error),
        }
    }
}

/// Whether a queue had something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// Events were read; there may be more.
    Some,
    /// There were none.
    Nothing,
}

/// What events of one kind mean.
pub trait Dialect: Debug + Send + 'static {
    /// How events name directories and other objects.
    type Object: Object;

    /// Notes all events in `bytes`, which one `read(2)` gave. An error is a loss.
    fn hear(&mut self, bytes: &[u8], notes: &mut Notes<Self::Object>) -> Result<(), Lost>;
}

/// A queue and what was heard from it.
#[derive(Debug)]
pub struct Hearing<D: Dialect> {
    queue: Queue,
    /// What the events mean, and what that needs to know.
    pub dialect: D,
    notes: Notes<D::Object>,
}

/// What was heard.
#[derive(Debug)]
pub struct Notes<O: Object> {
    /// The most bytes that sightings may take.
    memory: usize,
    /// The name of the marker that is waited for.
    marker: Option<Vec<u8>>,
    sightings: Sightings<O>,
    lost: Option<Lost>,
    heard: u64,
}

impl<D: Dialect> Hearing<D> {
    /// Listens to `queue`, keeping about `memory` bytes; nothing is noted before `restart`.
    pub fn new(queue: Queue, dialect: D, memory: usize) -> Self {
        let (sightings, lost) = (Sightings::default(), Some(Lost::NotStarted));
        Hearing { queue, dialect, notes: Notes { memory, marker: None, sightings, lost, heard: 0 } }
    }

    /// Reads what the queue has, up to one buffer. An error means that the queue cannot be read; it is a loss too.
    pub fn pump(&mut self) -> Result<Pumped, Errno> {
        let bytes = match self.queue.read() {
            Ok([]) => return Ok(Pumped::Nothing),
            Ok(bytes) => bytes,
            Err(error) => {
                self.notes.lose(unreadable(error));
                return Err(error);
            }
        };
        if let Err(why) = self.dialect.hear(bytes, &mut self.notes) {
            self.notes.lose(why);
        }
        Ok(Pumped::Some)
    }

    /// Forgets everything, losses too.
    pub fn restart(&mut self) {
        self.notes.sightings = Sightings::default();
        self.notes.lost = None;
        self.notes.heard = 0;
    }

    /// Notes nothing any more until `restart`.
    pub fn stop(&mut self) {
        self.notes.lose(Lost::NotStarted);
    }

    /// What was noted since `restart` or the last call, or the first loss.
    pub fn take(&mut self) -> Result<Sightings<D::Object>, Lost> {
        match self.notes.lost.take() {
            None => Ok(std::mem::take(&mut self.notes.sightings)),
            Some(why) => Err(why),
        }
    }

    /// Sets the name of the marker to wait for. A marker is a directory in scratch that is made and removed.
    pub fn expect_marker(&mut self, name: Vec<u8>) {
        self.notes.marker = Some(name);
    }

    /// Whether the marker was made and removed, so that everything before it was heard.
    pub fn heard_marker(&self) -> bool {
        self.notes.marker.is_none()
    }

    /// Whether something was lost.
    pub fn is_lost(&self) -> bool {
        self.notes.lost.is_some()
    }

    /// How many events were read since `restart`, without markers. Events that the kernel merged count once.
    pub fn heard(&self) -> u64 {
        self.notes.heard
    }
}

impl<O: Object> Notes<O> {
    /// Counts an event that is no marker's.
    pub fn count(&mut self) {
        self.heard += 1;
    }

    /// Ends the wait if `name`, a directory that was removed from scratch, is the marker.
    pub fn removed_from_scratch(&mut self, name: &[u8]) {
        if self.marker.as_deref() == Some(name) {
            self.marker = None;
        }
    }

    /// Notes that `name` was seen in `directory`; `.` is the directory itself.
    pub fn note(&mut self, directory: O, name: &[u8], seen: Seen) {
        if self.lost.is_none() {
            self.sightings.note(directory, name, seen);
            self.check_memory();
        }
    }

    /// Notes an object.
    pub fn note_target(&mut self, target: O) {
        if self.lost.is_none() {
            self.sightings.note_target(target);
            self.check_memory();
        }
    }

    fn check_memory(&mut self) {
        if self.sightings.bytes() > self.memory {
            self.lose(Lost::Memory { limit: self.memory });
        }
    }

    /// Remembers the first loss; from then on nothing needs to be kept.
    pub fn lose(&mut self, why: Lost) {
        self.sightings = Sightings::default();
        self.lost.get_or_insert(why);
    }
}

/// The loss when the queue cannot be read.
pub fn unreadable(error: Errno) -> Lost {
    Lost::Io { call: "read events", source: error.into() }
}

#[cfg(test)]
mod tests;
