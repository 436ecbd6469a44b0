//! Events against everything: what the recorder nominates gives the same change set as a walk of the whole root, over
//! random operations; and each kind of event that is listened to is needed for that.

use std::path::Path;

use silt::snapshot::Candidates;
use silt_watcher::{EventClass, EventClasses, Options, Recorder, Recording};

use crate::mounted::{FileSystem, on};
use crate::operations::{Operation, Random, building, changing, minimised};
use crate::replay::Replay;

const SEQUENCES: u64 = 300;
const OPERATIONS: usize = 50;

#[test]
fn events_find_what_a_walk_finds_on_tmpfs() {
    on(FileSystem::Tmpfs, agree);
}

#[test]
fn events_find_what_a_walk_finds_on_ext4() {
    on(FileSystem::Ext4, agree);
}

/// Every sequence, with all that is listened to: no difference.
fn agree(dir: &Path, copy: &Path) {
    let mut recorded = Recorded::new(dir, copy, &Options::default());
    let mut changes = 0;
    for seed in 0..SEQUENCES {
        let (base, steps) = sequence(seed);
        match recorded.run(&base, &steps) {
            Ok(count) => changes += count,
            Err(_) => recorded.fail(&base, &steps, seed),
        }
    }
    assert!(changes > SEQUENCES as usize * 40, "only {changes} changes were made");
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
    on(FileSystem::Tmpfs, |dir, copy| {
        let mut recorded = Recorded::new(dir, copy, options);
        missed = (0..SEQUENCES).any(|seed| {
            let (base, steps) = sequence(seed);
            matches!(recorded.run(&base, &steps), Err(Failure::Missed(_)))
        });
    });
    missed
}

fn sequence(seed: u64) -> (Vec<Operation>, Vec<Operation>) {
    let mut random = Random::new(seed);
    (building(&mut random, 30), changing(&mut random, OPERATIONS))
}

/// How a sequence fails.
#[derive(Debug)]
enum Failure {
    /// What was nominated does not give what a walk gives.
    Missed(String),
    /// The layer does not make the tree, or the record does not follow the disk.
    Unfaithful(String),
}

struct Recorded {
    replay: Replay,
    recorder: Recorder,
}

impl Recorded {
    fn new(dir: &Path, copy: &Path, options: &Options) -> Self {
        let replay = Replay::new(dir, copy);
        let scratch = dir.join("scratch");
        std::fs::create_dir(&scratch).expect("mkdir");
        let recorder = Recorder::open(replay.world.root(), &scratch, options).expect("fanotify");
        Recorded { replay, recorder }
    }

    /// Two steps; the number of changes, or how events and walk differ.
    fn run(&mut self, base: &[Operation], steps: &[Operation]) -> Result<usize, Failure> {
        self.replay.begin(base);
        self.recorder.start().expect("starts");
        let mut changes = 0;
        for step in steps.chunks(steps.len().div_ceil(2).max(1)) {
            self.replay.world.run(step);
            self.replay.world.note("-- step");
            let nominated = match self.recorder.take(&self.replay.baseline) {
                Recording::Complete(nominated) => nominated,
                other => panic!("{other:?}"),
            };
            let all = self.replay.diff(&Candidates::Everything);
            let some = self.replay.diff(&Candidates::Only(nominated.clone()));
            if some.changes != all.changes {
                let (some, all) = (some.changes, all.changes);
                return Err(Failure::Missed(format!("{nominated:?} gives\n{some:?}\neverything gives\n{all:?}")));
            }
            changes += all.changes.len();
            self.replay.follow(some).map_err(Failure::Unfaithful)?;
        }
        Ok(changes)
    }

    fn fail(&mut self, base: &[Operation], steps: &[Operation], seed: u64) -> ! {
        let steps = minimised(steps, &mut |steps| self.run(base, steps).is_err());
        let error = self.run(base, &steps).expect_err("it failed before");
        let (Failure::Missed(how) | Failure::Unfaithful(how)) = error;
        panic!("seed {seed}: {how}\nafter\n{}", self.replay.world.log());
    }
}
