//! What fanotify's events say: names and objects anywhere on one superblock.

use super::{Dialect, Notes};
use crate::fanotify::{self, Event};
use crate::handle::{Identity, Layouts};
use crate::options::Options;
use crate::recording::Lost;
use crate::sightings::Seen;

/// The events of a mark on a superblock.
#[derive(Debug)]
pub struct Superblock {
    options: Options,
    layouts: Layouts,
    /// The directory whose names are not noted, and in which markers are made.
    scratch: Identity,
}

impl Superblock {
    /// Reads handles by `layouts`; `scratch` is where markers are made.
    pub fn new(layouts: Layouts, scratch: Identity, options: Options) -> Self {
        Superblock { options, layouts, scratch }
    }

    /// Notes one event.
    fn hear_one(&self, event: &Event<'_>, notes: &mut Notes<Identity>) {
        if event.is_overflow() {
            return notes.lose(Lost::Overflow);
        }
        let own = event.at.filter(|place| self.layouts.identify(place.directory) == self.scratch);
        if let Some(own) = own.filter(|_| event.to.is_none() && event.is_entry() && event.is_directory()) {
            if event.mask & libc::FAN_DELETE != 0 {
                notes.removed_from_scratch(own.name);
            }
            return; // Other directories in scratch are nobody's concern.
        }
        notes.count();
        let mask = event.mask & self.options.events.mask();
        let masked = event.is_directory() && mask & libc::FAN_ONDIR == 0;
        if !masked && mask & !libc::FAN_ONDIR != 0 {
            self.note(&Event { mask, ..*event }, notes);
        }
    }

    /// Adds an event to the notes. Names in scratch are ours; what was done to their objects still counts, as they may be
    /// links.
    fn note(&self, event: &Event<'_>, notes: &mut Notes<Identity>) {
        let seen = Seen::of(event.is_entry(), event.is_directory());
        for place in event.at.iter().chain(&event.to) {
            let directory = self.layouts.identify(place.directory);
            if directory != self.scratch {
                notes.note(directory, place.name, seen);
            }
        }
        if let Some(target) = event.target.filter(|_| self.options.resolve_inodes && !event.is_directory()) {
            notes.note_target(self.layouts.identify(target));
        }
    }
}

impl Dialect for Superblock {
    type Object = Identity;

    fn hear(&mut self, bytes: &[u8], notes: &mut Notes<Identity>) -> Result<(), Lost> {
        fanotify::decode(bytes)?.iter().for_each(|event| self.hear_one(event, notes));
        Ok(())
    }
}
