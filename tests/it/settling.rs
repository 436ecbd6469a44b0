//! A stage with directory watches is settled before anything of it is used: without that, changes are missing.

use std::fs;

use crate::agreement::sequence;
use crate::mounted::{FileSystem, on};
use crate::replay::Replay;
use crate::stage::{Rung, Setting, Settling};

/// The first report of a sequence that leaves something wrong and is `wanted`.
fn unfaithful(settling: Settling, wanted: fn(&String) -> bool) -> Option<String> {
    let mut found = None;
    on(FileSystem::Ext4, |dir, copy| {
        let mut replay = Replay::new(dir, copy);
        let scratch = dir.join("scratch");
        fs::create_dir(&scratch).expect("mkdir");
        let setting = Setting { settling, ..Setting::new(Rung::Dirwatch, &scratch) };
        found = (0..100).find_map(|seed| {
            let (base, steps) = sequence(seed);
            replay.begin(&base);
            setting.run(&mut replay, &steps).err().filter(wanted)
        });
    });
    found
}

#[test]
fn the_stages_sweep_is_needed() {
    // Some leave only the record wrong, in a number of links that no layer shows.
    let lacking = unfaithful(Settling::LeftOut, |report| report.starts_with("the tree and the layers differ at"));
    assert!(lacking.is_some(), "no sequence needs it");
    assert_eq!(unfaithful(Settling::Done, |_| true), None);
}
