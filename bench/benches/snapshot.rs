//! The parts of a build: comparing one path and comparing all, over trees of two sizes; writing a layer; compressing; unpacking.
#![allow(missing_docs, clippy::expect_used)]

use std::collections::BTreeSet;
use std::io::{self, Write};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use silt::codec::{self, Encoder, Packing, ZstdLevel};
use silt::layer;
use silt::rootfs::{Root, Tree, Unpacker};
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
        let paths = BTreeSet::from([b"d000/e00000/f1".as_slice().into()]);
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

/// Compressors alone, with all threads and with one.
fn compress(c: &mut Criterion) {
    let text: Vec<u8> =
        (0..1 << 20).flat_map(|number: u32| format!("{:x} ", number.wrapping_mul(40_503)).into_bytes()).collect();
    let mut group = c.benchmark_group("compress");
    group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
    for (name, packing) in [("gzip", Packing::default()), ("zstd", Packing::Zstd(ZstdLevel::default()))] {
        for threads in BTreeSet::from([1, codec::threads()]) {
            group.bench_with_input(BenchmarkId::new(name, threads), &threads, |b, threads| {
                b.iter(|| {
                    let mut encoder = Encoder::new(io::sink(), packing, *threads).expect("an encoder");
                    encoder.write_all(&text).expect("written");
                    encoder.finish().expect("finished")
                });
            });
        }
    }
    group.finish();
}

/// A layer of many small files, compressed and stored.
fn unpack(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("directory");
    make_files(dir.path(), SIZES[0]);
    let root = Root::open(dir.path()).expect("root");
    let changes = diff(&root, &Baseline::new(Tree::default()), &Candidates::Everything).expect("diff").changes;
    let mut group = c.benchmark_group("unpack");
    group.sample_size(10).throughput(Throughput::Elements(SIZES[0] as u64));
    for (name, level) in [("gzip", 3), ("stored", 0)] {
        let packing = Packing::Gzip(codec::Level::new(level).expect("a level"));
        let mut blob = Vec::new();
        layer::write(&root, &changes, &layer::Options { packing, ..layer::Options::default() }, &mut blob)
            .expect("layer");
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || tempfile::tempdir().expect("directory"),
                |to| {
                    let root = Root::open(to.path()).expect("root");
                    let mut unpacker = Unpacker::new(&root).expect("an empty directory");
                    unpacker.layer(&mut codec::decode(blob.as_slice()).expect("a layer")).expect("unpacked");
                    unpacker.finish().expect("a record")
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, compare, write, compress, unpack);
criterion_main!(benches);
