//! Listening: bytes from the kernel's queue become sightings. It remembers what was lost, and never blocks.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use crate::fanotify::{self, Event, Place};
use crate::handle::{Identity, Layouts};
use crate::options::Options;
use crate::recording::Lost;
use crate::sightings::{Seen, Sightings};

/// How much one `read(2)` may return: some thousands of events.
const BUFFER: usize = 256 << 10;

/// The reading end of a notification group, opened with `FAN_NONBLOCK`.
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

/// A queue and what was heard from it.
#[derive(Debug)]
pub struct Hearing {
    queue: Queue,
    ledger: Ledger,
}

/// What was heard.
#[derive(Debug)]
struct Ledger {
    options: Options,
    layouts: Layouts,
    /// The directory whose names are not noted, and in which markers are made.
    scratch: Identity,
    /// The name of the marker that is waited for.
    marker: Option<Vec<u8>>,
    sightings: Sightings,
    lost: Option<Lost>,
    heard: u64,
}

impl Hearing {
    /// Listens to `queue`; nothing is noted before `restart`.
    pub fn new(queue: Queue, layouts: Layouts, scratch: Identity, options: Options) -> Self {
        let (sightings, lost) = (Sightings::default(), Some(Lost::NotStarted));
        let ledger = Ledger { options, layouts, scratch, marker: None, sightings, lost, heard: 0 };
        Hearing { queue, ledger }
    }

    /// Reads what the queue has, up to one buffer. An error means that the queue cannot be read; it is a loss too.
    pub fn pump(&mut self) -> Result<Pumped, Errno> {
        let bytes = match self.queue.read() {
            Ok([]) => return Ok(Pumped::Nothing),
            Ok(bytes) => bytes,
            Err(error) => {
                self.ledger.lose(unreadable(error));
                return Err(error);
            }
        };
        match fanotify::decode(bytes) {
            Ok(events) => events.iter().for_each(|event| self.ledger.hear(event)),
            Err(why) => self.ledger.lose(why),
        }
        Ok(Pumped::Some)
    }

    /// Forgets everything, losses too.
    pub fn restart(&mut self) {
        self.ledger.sightings = Sightings::default();
        self.ledger.lost = None;
        self.ledger.heard = 0;
    }

    /// Notes nothing any more until `restart`.
    pub fn stop(&mut self) {
        self.ledger.lose(Lost::NotStarted);
    }

    /// What was noted since `restart` or the last call, or the first loss.
    pub fn take(&mut self) -> Result<Sightings, Lost> {
        match self.ledger.lost.take() {
            None => Ok(std::mem::take(&mut self.ledger.sightings)),
            Some(why) => Err(why),
        }
    }

    /// Sets the name of the marker to wait for. A marker is a directory in scratch that is made and removed.
    pub fn expect_marker(&mut self, name: Vec<u8>) {
        self.ledger.marker = Some(name);
    }

    /// Whether the marker was made and removed, so that everything before it was heard.
    pub fn heard_marker(&self) -> bool {
        self.ledger.marker.is_none()
    }

    /// Whether something was lost.
    pub fn is_lost(&self) -> bool {
        self.ledger.lost.is_some()
    }

    /// How many events were read since `restart`, without markers. Events that the kernel merged count once.
    pub fn heard(&self) -> u64 {
        self.ledger.heard
    }
}

impl Ledger {
    /// Notes one event.
    fn hear(&mut self, event: &Event<'_>) {
        if event.is_overflow() {
            return self.lose(Lost::Overflow);
        }
        let own = event.at.is_some_and(|place| self.layouts.identify(place.directory) == self.scratch);
        if own && event.to.is_none() && event.is_entry() && event.is_directory() {
            return self.hear_marker(event);
        }
        self.heard += 1;
        let mask = event.mask & self.options.events.mask();
        let listening = self.lost.is_none() && (!event.is_directory() || mask & libc::FAN_ONDIR != 0);
        if listening && mask & !libc::FAN_ONDIR != 0 {
            self.note(&Event { mask, ..*event });
        }
    }

    /// Ends the wait if the marker is now gone again. Other directories in scratch are nobody's concern.
    fn hear_marker(&mut self, event: &Event<'_>) {
        let name = event.at.map(|place| place.name);
        if event.mask & libc::FAN_DELETE != 0 && name == self.marker.as_deref() {
            self.marker = None;
        }
    }

    /// Adds an event to the sightings.
    fn note(&mut self, event: &Event<'_>) {
        let seen = match (event.is_entry(), event.is_directory()) {
            (true, true) => Seen::Tree,
            (true, false) => Seen::Entry,
            _ => Seen::Touched,
        };
        for place in event.at.iter().chain(&event.to) {
            self.note_place(place, seen);
        }
        if let Some(target) = event.target.filter(|_| self.options.resolve_inodes && !event.is_directory()) {
            self.sightings.note_target(self.layouts.identify(target));
        }
        if self.sightings.bytes() > self.options.memory {
            self.lose(Lost::Memory { limit: self.options.memory });
        }
    }

    /// Adds a name. Names in scratch are ours; what was done to their objects still counts, as they may be links.
    fn note_place(&mut self, place: &Place<'_>, seen: Seen) {
        let directory = self.layouts.identify(place.directory);
        if directory != self.scratch {
            self.sightings.note(directory, place.name, seen);
        }
    }

    /// Remembers the first loss; from then on nothing needs to be kept.
    fn lose(&mut self, why: Lost) {
        self.sightings = Sightings::default();
        self.lost.get_or_insert(why);
    }
}

/// The loss when the queue cannot be read.
pub fn unreadable(error: Errno) -> Lost {
    Lost::Io { call: "read fanotify", source: error.into() }
}

#[cfg(test)]
mod tests;
