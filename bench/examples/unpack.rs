//! `cargo run --release -p silt-bench --example unpack -- TAR DIR`: unpacks a layer, in any encoding, into an empty directory, and says
//! how long that took, what it cost, and how much memory at the peak.

use std::io::{self, BufReader, Read, Write as _};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use silt::codec;
use silt::oci::{Algorithm, Hasher};
use silt::rootfs::{Root, Unpacker};

struct Hashed<R>(R, Hasher);

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.update(&buffer[..count]);
        Ok(count)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(tar), Some(dir)) = (args.next(), args.next()) else { return Err("unpack TAR DIR".into()) };
    let root = Root::open(dir.as_ref())?;
    let started = Instant::now();
    let blob = BufReader::with_capacity(1 << 17, std::fs::File::open(tar)?);
    let mut tar = Hashed(codec::decode(blob)?, Hasher::new(Algorithm::Sha256));
    let mut unpacker = Unpacker::new(&root)?;
    codec::ahead(&mut tar, |tar| unpacker.layer(tar))??;
    let tree = unpacker.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_SELF)?;
    let (user, system) = (used.user_time().num_milliseconds(), used.system_time().num_milliseconds());
    let (paths, peak) = (tree.len(), used.max_rss());
    let figures =
        format!("{paths} paths in {seconds:.2} s; {user} ms of user and {system} ms of system time; {peak} kB");
    writeln!(io::stdout(), "{figures}")?;
    Ok(())
}
