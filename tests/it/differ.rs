//! The differ over random trees and random operations, without events: base + layer = tree, the record follows the disk,
//! and any candidates that cover the real changes give what everything gives.

use std::collections::BTreeMap;

use silt::rootfs::{Kind, Node, RootPath, scan};
use silt::snapshot::{Candidates, ChangeSet};
use silt_watcher::Nominated;

use crate::mounted::{FileSystem, on};
use crate::operations::{Operation, Random, building, changing, minimised};
use crate::replay::{Replay, Verdict};

const SEQUENCES: u64 = 60;

#[test]
fn base_and_layer_make_the_tree() {
    replay_all(|replay, base, _| replay.begin(base));
}

#[test]
fn what_stood_there_before_is_only_in_a_layer_when_it_is_written() {
    replay_all(|replay, base, seed| replay.begin_partly_foreign(base, &mut Random::new(seed)));
}

/// How a sequence begins, given its base and its seed.
type Begin = fn(&mut Replay, &[Operation], u64);

fn replay_all(begin: Begin) {
    on(FileSystem::Tmpfs, |dir, copy| {
        let mut replay = Replay::new(dir, copy);
        let mut changes = 0;
        for seed in 0..SEQUENCES {
            let mut random = Random::new(seed);
            let (base, steps) = (building(&mut random, 30), changing(&mut random, 50));
            let mut run = |steps: &[Operation]| {
                begin(&mut replay, &base, seed);
                run(&mut replay, steps, seed)
            };
            match run(&steps) {
                Ok(count) => changes += count,
                Err(_) => {
                    let steps = minimised(&steps, &mut |steps| run(steps).is_err());
                    let error = run(&steps).expect_err("it failed before");
                    panic!("seed {seed}: {error}\nafter\n{}", replay.world.log());
                }
            }
        }
        assert!(changes > SEQUENCES as usize * 40, "only {changes} changes were made");
    });
}

/// Two steps, each looked at in both ways; the number of changes.
fn run(replay: &mut Replay, steps: &[Operation], seed: u64) -> Result<usize, String> {
    let mut changes = 0;
    for step in steps.chunks(steps.len().div_ceil(2).max(1)) {
        replay.world.run(step);
        replay.world.note("-- step");
        let all = replay.diff(&Candidates::Everything);
        let some = replay.diff(&Candidates::Only(cover(replay, seed)));
        agree(&some.changes, &all.changes)?;
        changes += all.changes.len();
        replay.follow(some)?;
    }
    Ok(changes)
}

fn agree(some: &ChangeSet, all: &ChangeSet) -> Verdict {
    if some == all { Ok(()) } else { Err(format!("candidates give\n{some:?}\neverything gives\n{all:?}")) }
}

/// Every path where the disk is not what the record says, some as trees, and some more.
fn cover(replay: &Replay, seed: u64) -> Nominated {
    let mut random = Random::new(seed);
    let disk: BTreeMap<RootPath, Node> = scan(&replay.root).expect("scan").into_iter().collect();
    let recorded = replay.baseline.tree();
    let paths = disk.keys().chain(recorded.iter().map(|(path, _)| path));
    let mut nominated = Nominated::default();
    for path in paths {
        let (new, old) = (disk.get(path), recorded.get(path));
        let touched = match (new, old) {
            (Some(new), Some(old)) => {
                new.ctime != old.ctime || new.inode != old.inode || content(replay, path) != content_of(old)
            }
            _ => true,
        };
        match random.below(10) {
            0 => nominated.trees.insert(path.clone().into()),
            _ if touched => nominated.paths.insert(path.clone().into()),
            _ => false,
        };
    }
    nominated
}

fn content(replay: &Replay, path: &RootPath) -> Option<[u8; 32]> {
    replay.root.digest(path).ok()
}

fn content_of(node: &Node) -> Option<[u8; 32]> {
    match node.entry.kind {
        Kind::File { digest, .. } => digest,
        _ => None,
    }
}
