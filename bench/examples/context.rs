//! What the keys of a context cost: makes a tree below an empty directory and takes its rows, first afresh, then with what
//! the last time remembered.
//!
//! `cargo run --release --package silt-bench --example context -- DIR [FILES]` prints wall and processor time and what was
//! done of each. DIR must be on ext4, xfs or btrfs for anything to be remembered.
#![allow(clippy::expect_used, clippy::disallowed_macros)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use silt::context::digests::{Access, Digests, Memo, Owners, Row};
use silt::rootfs::{Root, RootPath, Selection};
use silt_bench::make_files;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let dir = PathBuf::from(args.next().expect("usage: context DIR [FILES]"));
    let files = args.next().map_or(200_000, |count| count.to_string_lossy().parse().expect("a number of files"));
    let (tree, cache) = (dir.join("tree"), dir.join("cache"));
    if !tree.exists() {
        std::fs::create_dir_all(&cache).expect("mkdir");
        make_files(&tree, files);
        std::thread::sleep(Duration::from_millis(20));
    }
    let first = rows("afresh", &tree, None);
    for name in ["remembering", "remembered", "remembered", "remembered"] {
        let memo = Memo::new(&cache, Access::ReadWrite);
        assert!(rows(name, &tree, Some(memo)) == first, "the rows differ");
    }
}

fn rows(name: &str, tree: &Path, memo: Option<Memo>) -> Vec<Row> {
    let (wall, processor) = (Instant::now(), processor_time());
    let digests = Digests::new(memo);
    let root = Root::open(tree).expect("root");
    let all = |_: &RootPath, _| Selection::Take;
    let rows = digests.rows(&root, &RootPath::root(), Owners::Replaced, &all).expect("rows");
    let (taken, spent) = (wall.elapsed(), processor_time().saturating_sub(processor));
    digests.save();
    let each = spent.as_secs_f64() * 1e6 / rows.len() as f64;
    let saved = wall.elapsed() - taken;
    println!(
        "{name}: {taken:.1?} wall, {each:.2} µs of processor time a path, {saved:.1?} to save; {:?}",
        digests.work()
    );
    rows
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the clock").into()
}
