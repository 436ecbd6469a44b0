//! Events against everything: what the recorder nominates gives the same change set as a walk of the whole root; and each
//! kind of event that is listened to is needed for that.

use std::path::Path;

use silt_watcher::{EventClass, EventClasses, Nominated, Options, Recorder, Recording};

use crate::agreement::{Compared, Nominates};
use crate::mounted::{FileSystem, on};
use crate::replay::Replay;

const SEQUENCES: u64 = 300;

struct Recorded(Recorder);

impl Nominates for Recorded {
    fn start(&mut self, _: &Replay) {
        self.0.start().expect("starts");
    }

    fn take(&mut self, replay: &Replay) -> Nominated {
        match self.0.take(&replay.baseline) {
            Recording::Complete(nominated) => nominated,
            other => panic!("{other:?}"),
        }
    }
}

fn recorded(dir: &Path, copy: &Path, options: &Options) -> Compared<Recorded> {
    Compared::new(dir, copy, |replay| {
        let scratch = dir.join("scratch");
        std::fs::create_dir(&scratch).expect("mkdir");
        Recorded(Recorder::open(replay.world.root(), &scratch, options).expect("fanotify"))
    })
}

#[test]
fn events_find_what_a_walk_finds_on_tmpfs() {
    on(FileSystem::Tmpfs, |dir, copy| recorded(dir, copy, &Options::default()).agree(SEQUENCES));
}

#[test]
fn events_find_what_a_walk_finds_on_ext4() {
    on(FileSystem::Ext4, |dir, copy| recorded(dir, copy, &Options::default()).agree(SEQUENCES));
}

#[test]
fn every_class_of_events_is_needed() {
    for class in EventClass::ALL {
        let options = Options { events: EventClasses::all().without(class), ..Options::default() };
        assert!(misses_something(&options), "no sequence needs {class:?}");
    }
}

#[test]
fn the_resolvers_inodes_are_needed() {
    assert!(misses_something(&Options { resolve_inodes: false, ..Options::default() }));
}

/// Whether any of the sequences makes a difference with `options`.
fn misses_something(options: &Options) -> bool {
    let mut missed = false;
    on(FileSystem::Tmpfs, |dir, copy| missed = recorded(dir, copy, options).misses_something(SEQUENCES));
    missed
}
