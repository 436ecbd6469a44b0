//! What a sweep costs: makes a tree below an empty directory, records it and sweeps it with one thread and with more.
//!
//! `cargo run --release --package silt-bench --example sweep -- DIR [FILES [flat]]` prints, for each number of threads, the least
//! and the median wall time of ten sweeps, and the processor time for each path of the cheapest. With `flat` all files are in
//! one directory.
#![allow(clippy::expect_used, clippy::disallowed_macros)]

use std::num::NonZero;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use silt::rootfs::Root;
use silt::snapshot::{Baseline, Guard, SweepOptions, Tick, sweep};
use silt_bench::{make_files, make_one_folder, record};

const SWEEPS: usize = 10;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let dir = PathBuf::from(args.next().expect("usage: sweep DIR [FILES [flat]]"));
    let files = args.next().map_or(200_000, |count| count.to_string_lossy().parse().expect("a number of files"));
    if dir.read_dir().expect("the directory").next().is_none() {
        match args.next() {
            Some(shape) if shape == "flat" => make_one_folder(&dir, files),
            _ => make_files(&dir, files),
        }
    }
    let root = Root::open(&dir).expect("root");
    let baseline = Baseline::new(record(&root));
    let guard = Guard::past(baseline.newest_ctime(), Tick(1));
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    println!("{} paths, {cores} cores", baseline.tree().len());
    for threads in (1..=cores).filter_map(NonZero::new) {
        let options = SweepOptions { threads: Some(threads), ..SweepOptions::default() };
        let mut costs: Vec<(Duration, Duration)> =
            (0..SWEEPS).map(|_| cost(&root, &baseline, &guard, &options)).collect();
        costs.sort();
        let processor = costs.iter().map(|(_, processor)| *processor).min().unwrap_or_default();
        let each = processor.as_secs_f64() * 1e6 / baseline.tree().len() as f64;
        let (least, median) = (costs[0].0, costs[SWEEPS / 2].0);
        println!("{threads} threads: {least:.1?} least, {median:.1?} median, {each:.2} µs of processor time a path");
    }
}

/// Wall and processor time of one sweep.
fn cost(root: &Root, baseline: &Baseline, guard: &Guard, options: &SweepOptions) -> (Duration, Duration) {
    let (wall, processor) = (Instant::now(), processor_time());
    let swept = sweep(root, baseline, guard, options).expect("sweep");
    let cost = (wall.elapsed(), processor_time().saturating_sub(processor));
    assert!(swept.nominated.paths.is_empty() && swept.nominated.trees.is_empty(), "{:?}", swept.nominated);
    assert_eq!(swept.stats, baseline.tree().len() as u64);
    cost
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the clock").into()
}
