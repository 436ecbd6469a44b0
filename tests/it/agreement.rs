//! Whatever nominates against everything: over random operations, what is nominated must give the same change set as a walk
//! of the whole root.

use std::path::Path;

use silt::snapshot::Candidates;
use silt_watcher::Nominated;

use crate::operations::{Operation, Random, building, changing, minimised};
use crate::replay::Replay;

const OPERATIONS: usize = 50;

/// Says where to look after a step.
pub trait Nominates {
    /// A step begins.
    fn start(&mut self, replay: &Replay);
    /// It ended.
    fn take(&mut self, replay: &Replay) -> Nominated;
}

/// How a sequence fails.
#[derive(Debug)]
pub enum Failure {
    /// What was nominated does not give what a walk gives.
    Missed(String),
    /// The layer does not make the tree, or the record does not follow the disk.
    Unfaithful(String),
}

/// A root, its record, and what nominates.
pub struct Compared<N> {
    pub replay: Replay,
    nominator: N,
}

impl<N: Nominates> Compared<N> {
    /// A root below `dir`, for which `nominator` makes what nominates.
    pub fn new(dir: &Path, copy: &Path, nominator: impl FnOnce(&Replay) -> N) -> Self {
        let replay = Replay::new(dir, copy);
        Compared { nominator: nominator(&replay), replay }
    }

    /// Every sequence of that many, without a difference.
    pub fn agree(&mut self, sequences: u64) {
        let mut changes = 0;
        for seed in 0..sequences {
            let (base, steps) = sequence(seed);
            match self.run(&base, &steps) {
                Ok(count) => changes += count,
                Err(_) => self.fail(&base, &steps, seed),
            }
        }
        assert!(changes > sequences as usize * 40, "only {changes} changes were made");
    }

    /// Whether one of that many sequences makes a difference.
    pub fn misses_something(&mut self, sequences: u64) -> bool {
        (0..sequences).any(|seed| {
            let (base, steps) = sequence(seed);
            matches!(self.run(&base, &steps), Err(Failure::Missed(_)))
        })
    }

    /// A base, then two steps; the number of changes, or how they differ.
    fn run(&mut self, base: &[Operation], steps: &[Operation]) -> Result<usize, Failure> {
        self.replay.begin(base);
        self.steps(steps)
    }

    /// Two steps on what was begun.
    pub fn steps(&mut self, steps: &[Operation]) -> Result<usize, Failure> {
        let mut changes = 0;
        for step in steps.chunks(steps.len().div_ceil(2).max(1)) {
            self.nominator.start(&self.replay);
            self.replay.world.run(step);
            self.replay.world.note("-- step");
            let nominated = self.nominator.take(&self.replay);
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

/// What builds a base, and what changes it.
pub fn sequence(seed: u64) -> (Vec<Operation>, Vec<Operation>) {
    let mut random = Random::new(seed);
    (building(&mut random, 30), changing(&mut random, OPERATIONS))
}
