//! Writing compressed streams. What is written is a function of the input, the packing and the version of the compressor: not of
//! how many threads there are, nor of how the input is cut into writes.

use std::io::{Result, Write};

use super::gzip::Gzip;

/// How a stream is to be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952.
    Gzip(Level),
    /// RFC 8878, with a checksum.
    Zstd(ZstdLevel),
}

/// What every registry and every runtime reads.
impl Default for Packing {
    fn default() -> Self {
        Packing::Gzip(Level::default())
    }
}

/// A gzip level: 0 (stored) to 9 (smallest).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(u32);

impl Level {
    /// `None` if there is no such level.
    pub fn new(level: u32) -> Option<Level> {
        (level <= 9).then_some(Level(level))
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// Nearly as small as level 6 at almost twice the speed.
impl Default for Level {
    fn default() -> Self {
        Level(3)
    }
}

/// A zstd level: 1 (fastest) to 19 (smallest). Higher ones need more memory than a pod has, here and where it is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZstdLevel(i32);

impl ZstdLevel {
    /// `None` if there is no such level.
    pub fn new(level: u32) -> Option<ZstdLevel> {
        let level = i32::try_from(level).ok()?;
        (1..=19).contains(&level).then_some(ZstdLevel(level))
    }
}

/// The library's own.
impl Default for ZstdLevel {
    fn default() -> Self {
        ZstdLevel(3)
    }
}

/// Compresses what is written to it, on `threads` threads besides the writing one. Dropped before [`Encoder::finish`], it leaves a
/// stream that is cut.
pub struct Encoder<W: Write>(Inner<W>);

enum Inner<W: Write> {
    Gzip(Gzip<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// One that writes to `sink`. `threads` counts as at least 1.
    ///
    /// # Errors
    /// The compressor cannot be set up.
    pub fn new(sink: W, packing: Packing, threads: usize) -> Result<Self> {
        Ok(Encoder(match packing {
            Packing::Gzip(level) => Inner::Gzip(Gzip::new(sink, level, threads.max(1))),
            Packing::Zstd(level) => {
                let mut encoder = zstd::stream::write::Encoder::new(sink, level.0)?;
                encoder.include_checksum(true)?;
                // Never 0: without workers the stream is cut into blocks in another way.
                encoder.multithread(u32::try_from(threads.max(1)).unwrap_or(u32::MAX))?;
                Inner::Zstd(encoder)
            }
        }))
    }

    /// Ends the stream and returns the sink.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(self) -> Result<W> {
        match self.0 {
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match &mut self.0 {
            Inner::Gzip(encoder) => encoder.write(bytes),
            Inner::Zstd(encoder) => encoder.write(bytes),
        }
    }

    /// Does nothing: where a stream is flushed would show in its bytes.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// How many threads are worth having: the processors that this process may use, `cpu.max` of its control group included.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Encoding, decode, sniff};
    use std::io::Read;

    /// Text that compresses, then noise that does not.
    fn sample(length: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut noise = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let text =
            (0..).flat_map(|number: u32| format!("{number} {:x}\n", number.wrapping_mul(2_654_435_761)).into_bytes());
        let mut sample: Vec<u8> = text.take(length / 2).collect();
        sample.extend((sample.len()..length).map(|_| (noise() >> 32) as u8));
        sample
    }

    fn encode(data: &[u8], packing: Packing, threads: usize, piece: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), packing, threads).expect("an encoder");
        for piece in data.chunks(piece) {
            encoder.write_all(piece).expect("write");
            encoder.flush().expect("flush");
        }
        encoder.finish().expect("finish")
    }

    fn packings() -> [Packing; 4] {
        let level = |level| Level::new(level).expect("a level");
        [level(0), level(3), level(9)]
            .map(Packing::Gzip)
            .into_iter()
            .chain([Packing::Zstd(ZstdLevel::default())])
            .collect::<Vec<_>>()
            .try_into()
            .expect("four")
    }

    #[test]
    fn the_bytes_do_not_depend_on_threads_or_writes() {
        for length in [0, 1, 100, 1 << 18, (1 << 18) + 1, 3 << 18, 3_000_000] {
            let data = sample(length);
            for packing in packings() {
                let encoded = encode(&data, packing, 1, 1 << 20);
                for (threads, piece) in [(0, 1 << 20), (1, 1000), (2, 77_777), (8, 1 << 18)] {
                    assert!(
                        encode(&data, packing, threads, piece) == encoded,
                        "{packing:?} {length} {threads} {piece}"
                    );
                }
                let mut back = Vec::new();
                decode(&encoded[..]).expect("decoder").read_to_end(&mut back).expect("decode");
                assert!(back == data, "{packing:?} {length}");
            }
        }
    }

    /// A compressor that is used again gives other bytes for machine code than a new one, now and then.
    #[test]
    fn the_bytes_of_a_program_do_not_depend_on_threads() {
        let mut program = Vec::new();
        let file = std::fs::File::open("/proc/self/exe").expect("this program");
        file.take(24 << 20).read_to_end(&mut program).expect("read");
        let packing = Packing::default();
        let encoded = encode(&program, packing, 1, 1 << 18);
        for threads in [2, 3, 8] {
            assert!(encode(&program, packing, threads, 1 << 18) == encoded, "{threads} threads");
        }
    }

    #[test]
    fn a_small_stream_is_one_plain_member() {
        let zlib = |data: &[u8]| {
            let mut encoder =
                flate2::GzBuilder::new().operating_system(255).write(Vec::new(), flate2::Compression::new(3));
            encoder.write_all(data).expect("write");
            encoder.finish().expect("finish")
        };
        for length in [0, 1, 100, 100_000] {
            let data = sample(length);
            assert!(encode(&data, Packing::default(), 2, 4096) == zlib(&data), "{length}");
        }
    }

    /// Stored, it is longer by a little; what looks like it but comes again within reach is short.
    #[test]
    fn noise_is_stored_and_what_repeats_is_not() {
        let noise = sample(4 << 20).split_off(2 << 20);
        let encoded = encode(&noise, Packing::default(), 2, 1 << 18);
        assert!(encoded.len() > noise.len() && encoded.len() < noise.len() + noise.len() / 1000, "{}", encoded.len());
        let mut back = Vec::new();
        decode(&encoded[..]).expect("decoder").read_to_end(&mut back).expect("decode");
        assert!(back == noise);
        let repeated: Vec<u8> = noise[..20_000].iter().copied().cycle().take(1 << 20).collect();
        assert!(encode(&repeated, Packing::default(), 2, 1 << 18).len() < 1 << 17);
    }

    #[test]
    fn levels() {
        assert_eq!((Level::new(10), ZstdLevel::new(0), ZstdLevel::new(20)), (None, None, None));
        let data = sample(1 << 20);
        let sizes =
            [1, 9].map(|level| encode(&data, Packing::Gzip(Level::new(level).expect("a level")), 2, 1 << 16).len());
        assert!(sizes[0] > sizes[1], "{sizes:?}");
        let sizes = [1, 19]
            .map(|level| encode(&data, Packing::Zstd(ZstdLevel::new(level).expect("a level")), 2, 1 << 16).len());
        assert!(sizes[0] > sizes[1], "{sizes:?}");
        assert_eq!(sniff(&encode(&data, Packing::Zstd(ZstdLevel::default()), 1, 1 << 16)), Encoding::Zstd);
    }

    #[test]
    fn a_sink_that_fails_is_an_error() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> Result<()> {
                Ok(())
            }
        }
        let data = sample(4 << 20);
        for packing in packings() {
            let mut encoder = Encoder::new(Full(1 << 20), packing, 2).expect("an encoder");
            let written = encoder.write_all(&data).and_then(|()| encoder.finish().map(drop));
            assert_eq!(written.expect_err("full").kind(), std::io::ErrorKind::StorageFull, "{packing:?}");
        }
    }
}
