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

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    use libc::{IN_ATTRIB, IN_CREATE, IN_DELETE, IN_IGNORED, IN_ISDIR, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO};
    use libc::{IN_Q_OVERFLOW, IN_UNMOUNT};
    use rustix::pipe::PipeFlags;

    use super::*;
    use crate::hearing::{Hearing, Pumped, Queue};
    use crate::options::EventClass;
    use crate::samples::watched;

    const SCRATCH: i32 = 1;

    /// A started hearing, and the end to write its events to.
    fn hearing(events: EventClasses) -> (Hearing<Watches>, OwnedFd) {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut hearing = Hearing::new(Queue::new(Arc::new(read)), Watches::new(Watch(SCRATCH), events), 10_000);
        hearing.restart();
        (hearing, write)
    }

    /// Sends `events` and reads them; what was noted, as a sorted text.
    fn noted(hearing: &mut Hearing<Watches>, write: &OwnedFd, events: &[Vec<u8>]) -> String {
        rustix::io::write(write, &events.concat()).unwrap();
        assert_eq!(hearing.pump().unwrap(), Pumped::Some);
        let sightings = match hearing.take() {
            Ok(sightings) => sightings,
            Err(why) => return why.to_string(),
        };
        assert_eq!(sightings.targets().count(), 0);
        let mut all = Vec::new();
        for (watch, names) in sightings.directories() {
            all.extend(names.iter().map(|(name, seen)| format!("{}/{} {seen:?}", watch.0, name.escape_ascii())));
        }
        all.sort();
        all.join(", ")
    }

    #[test]
    fn events_are_noted_by_watch_and_name() {
        let events = [
            watched(2, IN_CREATE, b"new"),
            watched(2, IN_MODIFY, b"new"),
            watched(2, IN_MOVED_FROM, b"old"),
            watched(3, IN_MOVED_TO | IN_ISDIR, b"in"),
            watched(3, IN_ATTRIB | IN_ISDIR, b""),
            watched(3, IN_DELETE | IN_ISDIR, b"out"),
        ];
        let check = |classes: EventClasses, expected: &str| {
            let (mut hearing, write) = hearing(classes);
            assert_eq!(noted(&mut hearing, &write, &events), expected);
            assert_eq!(hearing.heard(), 6);
        };
        check(EventClasses::all(), "2/new Entry, 2/old Entry, 3/. Touched, 3/in Tree, 3/out Tree");
        check(EventClasses::all().without(EventClass::OnDir), "2/new Entry, 2/old Entry");
        check(EventClasses::all().without(EventClass::Rename), "2/new Entry, 3/. Touched, 3/out Tree");
        check(
            EventClasses::all().without(EventClass::Create),
            "2/new Touched, 2/old Entry, 3/. Touched, 3/in Tree, 3/out Tree",
        );
    }

    #[test]
    fn the_marker_is_waited_for_and_scratch_left_out() {
        let (mut hearing, write) = hearing(EventClasses::all());
        hearing.expect_marker(b"marker".to_vec());
        let others = [
            watched(SCRATCH, IN_CREATE | IN_ISDIR, b"marker"),
            watched(SCRATCH, IN_DELETE | IN_ISDIR, b"other"),
            watched(SCRATCH, IN_DELETE, b"marker"),
            watched(2, IN_DELETE | IN_ISDIR, b"marker"),
        ];
        assert_eq!(noted(&mut hearing, &write, &others), "2/marker Tree");
        assert!(!hearing.heard_marker());
        assert_eq!(noted(&mut hearing, &write, &[watched(SCRATCH, IN_DELETE | IN_ISDIR, b"marker")]), "");
        assert!(hearing.heard_marker());
        assert_eq!(hearing.heard(), 1);
    }

    #[test]
    fn watches_that_are_gone_are_remembered_even_after_a_loss() {
        let (mut hearing, write) = hearing(EventClasses::all());
        let gone = |watch| watched(watch, IN_IGNORED, b"");
        let lost = [gone(2), watched(-1, IN_Q_OVERFLOW, b""), gone(3)];
        assert_eq!(noted(&mut hearing, &write, &lost), "the kernel's event queue overflowed");
        hearing.stop();
        let unmounted = [watched(4, IN_UNMOUNT, b""), gone(4)];
        assert_eq!(noted(&mut hearing, &write, &unmounted), "the recording was not started");
        assert_eq!(hearing.dialect.take_gone(), [Watch(2), Watch(3), Watch(4)]);
        assert_eq!(hearing.dialect.take_gone(), []);
        hearing.restart();
        let mounts = "the mounts below the root changed while the step ran";
        assert_eq!(noted(&mut hearing, &write, &unmounted), mounts);
        hearing.restart();
        assert!(noted(&mut hearing, &write, &[vec![7; 30]]).starts_with("an event could not be decoded"));
    }
}
