//! A queue made of a pipe: what the kernel may send is heard, noted, lost and forgotten as it must be.

use libc::{FAN_ATTRIB, FAN_CREATE, FAN_DELETE, FAN_MODIFY, FAN_ONDIR, FAN_Q_OVERFLOW, FAN_RENAME};
use libc::{FAN_EVENT_INFO_TYPE_NEW_DFID_NAME as NEW, FAN_EVENT_INFO_TYPE_OLD_DFID_NAME as OLD};
use rustix::pipe::PipeFlags;

use super::superblock::Superblock;
use super::*;
use crate::handle::{Handle, Identity, Layouts};
use crate::options::{EventClass, Options};
use crate::samples::{event, named, record};

/// The inode of the scratch directory.
const SCRATCH: u32 = 50;

/// A started hearing, and the end to write its events to.
fn hearing(options: Options) -> (Hearing<Superblock>, OwnedFd) {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK).unwrap();
    let mut layouts = Layouts::default();
    layouts.learn(Handle { handle_type: 1, bytes: &[2, 0, 0, 0, 9, 0, 0, 0] }, 2);
    let memory = options.memory;
    let dialect = Superblock::new(layouts, Identity::Ino(SCRATCH.into()), options);
    let mut hearing = Hearing::new(Queue::new(Arc::new(read)), dialect, memory);
    hearing.restart();
    (hearing, write)
}

/// Sends `events` and reads them.
fn send(hearing: &mut Hearing<impl Dialect>, write: &OwnedFd, events: &[Vec<u8>]) {
    for event in events {
        rustix::io::write(write, event).unwrap();
        assert_eq!(hearing.pump().unwrap(), Pumped::Some);
    }
    assert_eq!(hearing.pump().unwrap(), Pumped::Nothing);
}

/// What was noted, as a sorted text.
fn noted(hearing: &mut Hearing<Superblock>) -> String {
    let sightings = match hearing.take() {
        Ok(sightings) => sightings,
        Err(why) => return why.to_string(),
    };
    let ino = |identity: &Identity| match identity {
        Identity::Ino(ino) => *ino,
        Identity::Handle(_) => panic!("{identity:?}"),
    };
    let mut all: Vec<String> = sightings.targets().map(|target| format!("={}", ino(target))).collect();
    for (directory, names) in sightings.directories() {
        for (name, seen) in names {
            all.push(format!("{}/{} {seen:?}", ino(directory), name.escape_ascii()));
        }
    }
    all.sort();
    all.join(", ")
}

/// Every kind of event that counts, twice over.
fn events() -> Vec<Vec<u8>> {
    let rename = [record(OLD, 2, b"a"), record(NEW, 3, b"b"), record(1, 7, b"")];
    let events = [
        named(FAN_CREATE, 2, b"new", 7),
        named(FAN_MODIFY, 2, b"old", 8),
        event(FAN_ATTRIB, &[record(1, 9, b"")]),
        event(FAN_RENAME, &rename),
        named(FAN_CREATE | FAN_ONDIR, 2, b"dir", 10),
        event(FAN_ATTRIB | FAN_ONDIR, &[record(2, 3, b".")]),
    ];
    [&events[..], &events].concat()
}

#[test]
fn events_are_noted_once() {
    let (mut hearing, write) = hearing(Options::default());
    send(&mut hearing, &write, &events());
    assert_eq!(hearing.heard(), 12);
    let all = "2/a Entry, 2/dir Tree, 2/new Entry, 2/old Touched, 3/. Touched, 3/b Entry, =7, =8, =9";
    assert_eq!(noted(&mut hearing), all);
    assert_eq!(noted(&mut hearing), "");
    assert_eq!(hearing.heard(), 12);
}

#[test]
fn options_leave_events_out() {
    let check = |options: Options, expected: &str| {
        let (mut hearing, write) = hearing(options);
        send(&mut hearing, &write, &events());
        assert_eq!(noted(&mut hearing), expected);
    };
    let without = |classes: &[EventClass]| {
        let events = classes.iter().fold(Options::default().events, |events, class| events.without(*class));
        Options { events, ..Options::default() }
    };
    let most = [EventClass::Create, EventClass::Rename, EventClass::Attrib];
    check(without(&most), "2/old Touched, =8");
    check(without(&[EventClass::OnDir, EventClass::Modify, EventClass::Rename]), "2/new Entry, =7, =9");
    check(without(&EventClass::ALL), "");
    let names = "2/a Entry, 2/dir Tree, 2/new Entry, 2/old Touched, 3/. Touched, 3/b Entry";
    check(Options { resolve_inodes: false, ..Options::default() }, names);
}

#[test]
fn markers_are_waited_for_and_not_counted() {
    let (mut hearing, write) = hearing(Options::default());
    hearing.expect_marker(b"marker".to_vec());
    let made = named(FAN_CREATE | FAN_ONDIR, SCRATCH, b"marker", 60);
    let elsewhere = named(FAN_CREATE | FAN_DELETE | FAN_ONDIR, 2, b"marker", 60);
    let other = named(FAN_CREATE | FAN_DELETE | FAN_ONDIR, SCRATCH, b"other", 60);
    send(&mut hearing, &write, &[made, elsewhere, other]);
    assert!(!hearing.heard_marker());
    send(&mut hearing, &write, &[named(FAN_DELETE | FAN_ONDIR, SCRATCH, b"marker", 60)]);
    assert!(hearing.heard_marker());
    assert_eq!(hearing.heard(), 1);
    assert_eq!(noted(&mut hearing), "2/marker Tree");
}

#[test]
fn names_in_scratch_are_left_out_and_their_objects_are_not() {
    let (mut hearing, write) = hearing(Options::default());
    let rename = [record(OLD, SCRATCH, b"a"), record(NEW, 3, b"b"), record(1, 7, b"")];
    let link = named(FAN_CREATE, SCRATCH, b"link", 8);
    send(&mut hearing, &write, &[link, event(FAN_RENAME, &rename)]);
    assert_eq!(noted(&mut hearing), "3/b Entry, =7, =8");
}

#[test]
fn a_loss_lasts_until_a_restart() {
    let check = |bytes: Vec<u8>, expected: &str| {
        let (mut hearing, write) = hearing(Options { memory: 10_000, ..Options::default() });
        send(&mut hearing, &write, &[named(FAN_CREATE, 2, b"before", 7), bytes, named(FAN_CREATE, 2, b"after", 7)]);
        assert!(hearing.is_lost());
        send(&mut hearing, &write, &[event(FAN_Q_OVERFLOW, &[])]);
        assert_eq!(noted(&mut hearing), expected);
        hearing.stop();
        send(&mut hearing, &write, &[named(FAN_CREATE, 2, b"still", 7)]);
        assert_eq!(noted(&mut hearing), "the recording was not started");
        hearing.restart();
        send(&mut hearing, &write, &[named(FAN_CREATE, 2, b"again", 7)]);
        assert_eq!(noted(&mut hearing), "2/again Entry, =7");
    };
    check(event(FAN_Q_OVERFLOW, &[]), "the kernel's event queue overflowed");
    check(vec![7; 30], "an event could not be decoded: an event longer than what was read");
    let many: Vec<_> = (100..300).map(|ino| named(FAN_CREATE, ino, b"name", ino)).collect();
    check(many.concat(), "more than 10000 bytes of distinct names and inodes were heard of");
}

#[test]
fn a_queue_that_cannot_be_read_is_a_loss() {
    let unreadable = rustix::fs::open("/", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    let queue = Queue::new(Arc::new(unreadable));
    let dialect = Superblock::new(Layouts::default(), Identity::Ino(1), Options::default());
    let mut hearing = Hearing::new(queue, dialect, 1000);
    hearing.restart();
    assert_eq!(hearing.pump(), Err(Errno::ISDIR));
    assert!(noted(&mut hearing).starts_with("read events: "));
}
