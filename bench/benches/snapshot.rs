//! The parts of a snapshot: comparing one path and comparing all, over trees of two sizes; writing a layer.
#![allow(missing_docs, clippy::expect_used)]

use std::collections::BTreeSet;
use std::io;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use silt::layer;
use silt::rootfs::{Root, Tree};
use silt::snapshot::{Baseline, Candidates, Guard, SweepOptions, Tick, diff, sweep};
use silt_bench::{make_files, record};
use silt_watcher::Nominated;

/// One nominated file must cost the same in both; everything must cost ten times as much,
/// and a sweep of everything a fraction of that.
const SIZES: [usize; 2] = [2_000, 20_000];

fn compare(c: &mut Criterion) {
    let mut group = c.benchmark_group("diff");
    group.sample_size(10);
    for size in SIZES {
        let dir = tempfile::tempdir().expect("directory");
        make_files(dir.path(), size);
        let root = Root::open(dir.path()).expect("root");
        let baseline = Baseline::new(record(&root));
        let paths = BTreeSet::from([b"d000/e00000/f1".to_vec()]);
        let one = Candidates::Only(Nominated { paths, ..Nominated::default() });
        group.bench_with_input(BenchmarkId::new("one path", size), &one, |b, candidates| {
            b.iter(|| diff(&root, &baseline, candidates).expect("diff"));
        });
        group.bench_function(BenchmarkId::new("everything", size), |b| {
            b.iter(|| diff(&root, &baseline, &Candidates::Everything).expect("diff"));
        });
        let guard = Guard::past(baseline.newest_ctime(), Tick(1));
        group.bench_function(BenchmarkId::new("sweep", size), |b| {
            b.iter(|| sweep(&root, &baseline, &guard, &SweepOptions::default()).expect("sweep"));
        });
    }
    group.finish();
}

fn write(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("directory");
    make_files(dir.path(), SIZES[0]);
    let root = Root::open(dir.path()).expect("root");
    let changes = diff(&root, &Baseline::new(Tree::default()), &Candidates::Everything).expect("diff").changes;
    let tar = layer::write(&root, &changes, &layer::Options::default(), io::sink()).expect("layer");
    let mut group = c.benchmark_group("layer");
    group.sample_size(10).throughput(Throughput::Bytes(tar.uncompressed_size));
    group.bench_function("write and compress", |b| {
        b.iter(|| layer::write(&root, &changes, &layer::Options::default(), io::sink()).expect("layer"));
    });
    group.finish();
}

criterion_group!(benches, compare, write);
criterion_main!(benches);
