//! A stage with directory watches is settled before anything of it is used: without that, changes are missing.

use std::fs;

use crate::agreement::sequence;
use crate::mounted::{FileSystem, on};
use crate::replay::Replay;
use crate::stage::{Rung, Setting, Settling};

/// Whether some sequence leaves layers that do not make the tree, and another part of its report.
fn unfaithful(settling: Settling) -> Option<String> {
    let mut found = None;
    on(FileSystem::Ext4, |dir, copy| {
        let mut replay = Replay::new(dir, copy);
        let scratch = dir.join("scratch");
        fs::create_dir(&scratch).expect("mkdir");
        let setting = Setting { settling, ..Setting::new(Rung::Dirwatch, &scratch) };
        found = (0..100).find_map(|seed| {
            let (base, steps) = sequence(seed);
            replay.begin(&base);
            setting.run(&mut replay, &steps).err()
        });
    });
    found
}

#[test]
fn the_stages_sweep_is_needed() {
    let missing = unfaithful(Settling::LeftOut).expect("no sequence needs it");
    assert!(missing.starts_with("the tree and the layers differ at"), "{missing}");
    assert_eq!(unfaithful(Settling::Done), None);
}
