//! The sweep against everything, on every file system on which it is relied upon: what it nominates gives the same change
//! set as a walk that reads every file, and once that was learned the next sweep nominates nothing.

use std::path::Path;

use silt::snapshot::{Attributes, Guard, SweepOptions, Tick, sweep};
use silt_watcher::Nominated;

use crate::agreement::{Compared, Nominates, sequence};
use crate::mounted::{FileSystem, on, overlay};
use crate::replay::Replay;
use crate::world::World;

const SEQUENCES: u64 = 100;

struct Sweeping {
    options: SweepOptions,
    guard: Guard,
}

impl Sweeping {
    fn new(options: SweepOptions) -> Self {
        Sweeping { options, guard: Guard::now() }
    }
}

impl Nominates for Sweeping {
    /// Nothing was done since the record: a sweep finds nothing.
    fn start(&mut self, replay: &Replay) {
        self.guard = match self.options.racy {
            true => Guard::past(replay.baseline.newest_ctime(), self.options.tick),
            false => Guard::now(),
        };
        assert_eq!(self.take(replay), Nominated::default(), "after\n{}", replay.world.log());
    }

    fn take(&mut self, replay: &Replay) -> Nominated {
        sweep(&replay.root, &replay.baseline, &self.guard, &self.options).expect("sweep").nominated
    }
}

fn swept(dir: &Path, copy: &Path, options: SweepOptions) -> Compared<Sweeping> {
    Compared::new(dir, copy, |_| Sweeping::new(options))
}

fn agree_on(kind: FileSystem) {
    on(kind, |dir, copy| swept(dir, copy, SweepOptions::default()).agree(SEQUENCES));
}

#[test]
fn a_sweep_finds_what_a_walk_finds_on_ext4() {
    agree_on(FileSystem::Ext4);
}

#[test]
fn a_sweep_finds_what_a_walk_finds_on_xfs() {
    agree_on(FileSystem::Xfs);
}

#[test]
fn a_sweep_finds_what_a_walk_finds_on_btrfs() {
    agree_on(FileSystem::Btrfs);
}

#[test]
fn a_sweep_finds_what_a_walk_finds_on_overlay() {
    agree_on(FileSystem::Overlay);
}

/// The base lies in the lower directory, as an image's does in a container, so that changes copy up and white out.
#[test]
fn a_sweep_finds_what_a_walk_finds_over_a_lower_directory() {
    on(FileSystem::Ext4, |dir, copy| {
        let mut changes = 0;
        for seed in 0..SEQUENCES / 2 {
            let (base, steps) = sequence(seed);
            let dir = dir.join(seed.to_string());
            World::new(&dir.join("lower")).run(&base);
            let merged = overlay(&dir);
            let mut compared = swept(merged.path(), copy, SweepOptions::default());
            compared.replay.begin_as_it_is();
            match compared.steps(&steps) {
                Ok(count) => changes += count,
                Err(failure) => panic!("seed {seed}: {failure:?}\nafter\n{}", compared.replay.world.log()),
            }
        }
        // A directory of the lower one cannot be renamed, so less happens.
        assert!(changes > SEQUENCES as usize / 2 * 30, "only {changes} changes were made");
    });
}

#[test]
fn ticks_of_10_ms_do_not_matter_with_the_rule_of_the_clock() {
    let options = SweepOptions { tick: Tick(10_000_000), ..SweepOptions::default() };
    on(FileSystem::Ext4, |dir, copy| swept(dir, copy, options).agree(SEQUENCES / 2));
}

/// Whether any of the sequences makes a difference with `options`.
fn misses_something(options: SweepOptions) -> bool {
    let mut missed = false;
    on(FileSystem::Ext4, |dir, copy| missed = swept(dir, copy, options).misses_something(SEQUENCES));
    missed
}

#[test]
fn ctime_is_needed() {
    assert!(misses_something(SweepOptions { attributes: Attributes::AllButCtime, ..SweepOptions::default() }));
}

/// With ticks so long that a step and the record before it are in one.
#[test]
fn the_rule_of_the_clock_is_needed() {
    let tick = Tick(1_000_000_000);
    assert!(misses_something(SweepOptions { racy: false, tick, ..SweepOptions::default() }));
}
