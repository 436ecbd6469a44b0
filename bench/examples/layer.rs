//! Writes a directory as a layer and says what that cost: `layer DIR [gzip|zstd] [LEVEL]`; with `-` after it the layer is written to
//! the standard output. Compare with `tar c DIR | pigz -p N | wc -c` and `tar c DIR | zstd -T0 | wc -c`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use silt::codec::{Level, Packing, ZstdLevel};
use silt::layer::{self, Options};
use silt::rootfs::Root;
use silt::snapshot::{Baseline, Candidates, diff};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let dir = arguments.first().expect("a directory");
    let level = arguments.get(2).map(|text| text.parse().expect("a level"));
    let packing = match arguments.get(1).map(String::as_str) {
        Some("zstd") => {
            Packing::Zstd(level.map_or(ZstdLevel::default(), |level| ZstdLevel::new(level).expect("a level")))
        }
        _ => Packing::Gzip(level.map_or(Level::default(), |level| Level::new(level).expect("a level"))),
    };
    let root = Root::open(Path::new(dir)).expect("the directory");
    let changes = diff(&root, &Baseline::default(), &Candidates::Everything).expect("a walk").changes;
    let began = Instant::now();
    let options = Options { packing, ..Options::default() };
    if arguments.get(3).is_some_and(|to| to == "-") {
        let out = BufWriter::with_capacity(1 << 17, std::io::stdout().lock());
        drop(layer::write(&root, &changes, &options, out).expect("a layer"));
        return;
    }
    let layer = layer::write(&root, &changes, &options, std::io::sink()).expect("a layer");
    let seconds = began.elapsed().as_secs_f64();
    let (tar, blob) = (layer.uncompressed_size, layer.descriptor.size);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{packing:?}: {tar} bytes of tar, {blob} of the layer {}, {seconds:.3} s", layer.descriptor.digest)
        .expect("stdout");
}
