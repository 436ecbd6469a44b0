//! What inotify's events say: names in the directories that are watched.

use super::{Dialect, Notes};
use crate::inotify::{self, Event, Watch};
use crate::options::EventClasses;
use crate::recording::Lost;
use crate::sightings::Seen;

/// The events of directory watches.
#[derive(Debug)]
pub struct Watches {
    events: EventClasses,
    /// The watch whose names are not noted, and in whose directory markers are made.
    scratch: Watch,
    /// Watches that the kernel has removed, as their directories are gone. Its size is bounded by the number of watches.
    gone: Vec<Watch>,
}

impl Watches {
    /// Listens to `events`; `scratch` is where markers are made.
    pub fn new(scratch: Watch, events: EventClasses) -> Self {
        Watches { events, scratch, gone: Vec::new() }
    }

    /// The watches that are gone, once.
    pub fn take_gone(&mut self) -> Vec<Watch> {
        std::mem::take(&mut self.gone)
    }

    /// Notes one event.
    fn hear_one(&mut self, event: &Event<'_>, notes: &mut Notes<Watch>) {
        if event.is_overflow() {
            return notes.lose(Lost::Overflow);
        }
        if event.is_unmount() {
            return notes.lose(Lost::Mounts);
        }
        if event.is_gone() {
            return self.gone.push(event.watch);
        }
        if event.watch == self.scratch {
            if event.mask & libc::IN_DELETE != 0 && event.is_directory() {
                notes.removed_from_scratch(event.name);
            }
            return;
        }
        notes.count();
        let mask = event.mask & inotify::mask(self.events);
        let masked = event.is_directory() && mask & libc::IN_ISDIR == 0;
        if !masked && mask & !libc::IN_ISDIR != 0 {
            let event = Event { mask, ..*event };
            notes.note(event.watch, event.name, Seen::of(event.is_entry(), event.is_directory()));
        }
    }
}

impl Dialect for Watches {
    type Object = Watch;

    fn hear(&mut self, bytes: &[u8], notes: &mut Notes<Watch>) -> Result<(), Lost> {
        inotify::decode(bytes)?.iter().for_each(|event| self.hear_one(event, notes));
        Ok(())
    }
}
