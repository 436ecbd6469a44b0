//! Compression of layers: telling which one a stream has, reading it, writing gzip.
//!
//! It knows neither tar nor layers. Decoders take what standards allow to be concatenated: gzip members (RFC 1952) and
//! zstd frames (RFC 8878). What they write is a function of the input, the level and the version of the compressor.

use std::io::{BufRead, Read, Result, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The last three bytes of a skippable frame's magic; the first is 0x50 to 0x5f.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// How many bytes [`sniff`] wants; fewer only at the end of a stream.
pub const SNIFF_LEN: usize = 4;

/// The encoding of a stream that begins with `start`.
pub fn sniff(start: &[u8]) -> Encoding {
    match start {
        _ if start.starts_with(&GZIP_MAGIC) => Encoding::Gzip,
        _ if start.starts_with(&ZSTD_MAGIC) => Encoding::Zstd,
        [0x50..=0x5f, rest @ ..] if rest.starts_with(&ZSTD_SKIPPABLE) => Encoding::Zstd,
        _ => Encoding::Plain,
    }
}

/// Reads `stream` decoded, whatever [`sniff`] says it is.
pub fn decode<'a>(mut stream: impl BufRead + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    let mut start = [0; SNIFF_LEN];
    let filled = read_up_to(&mut stream, &mut start)?;
    let whole = std::io::Cursor::new(start).take(filled as u64).chain(stream);
    Ok(match sniff(&start[..filled]) {
        Encoding::Plain => Box::new(whole),
        Encoding::Gzip => Box::new(MultiGzDecoder::new(whole)),
        Encoding::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(whole)?),
    })
}

fn read_up_to(stream: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// A gzip level: 0 (stored) to 9 (smallest).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(u32);

impl Level {
    /// `None` if there is no such level.
    pub fn new(level: u32) -> Option<Level> {
        (level <= 9).then_some(Level(level))
    }
}

/// Nearly as small as level 6 at almost twice the speed.
impl Default for Level {
    fn default() -> Self {
        Level(3)
    }
}

/// Writes one gzip member to `sink`, with neither time nor name nor operating system in its header.
pub fn gzip<W: Write>(sink: W, level: Level) -> GzEncoder<W> {
    const UNKNOWN_SYSTEM: u8 = 255;
    GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM).write(sink, Compression::new(level.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gz(data: &[u8]) -> Vec<u8> {
        let mut encoder = gzip(Vec::new(), Level::default());
        encoder.write_all(data).expect("write");
        encoder.finish().expect("finish")
    }

    fn check(stream: &[u8], encoding: Encoding, expected: &[u8]) {
        assert_eq!(sniff(stream), encoding);
        let mut out = Vec::new();
        decode(stream).expect("decoder").read_to_end(&mut out).expect("decode");
        assert_eq!(out, expected);
    }

    #[test]
    fn each_encoding_is_told_and_read() {
        let zstd = |data: &[u8]| zstd::bulk::compress(data, 3).expect("compress");
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9], &zstd(b"x")[..]].concat();
        check(b"", Encoding::Plain, b"");
        check(b"\x1f", Encoding::Plain, b"\x1f");
        check(b"plain text", Encoding::Plain, b"plain text");
        check(&gz(b"one"), Encoding::Gzip, b"one");
        check(&[gz(b"one"), gz(b""), gz(b"two")].concat(), Encoding::Gzip, b"onetwo");
        check(&[zstd(b"one"), zstd(b"two")].concat(), Encoding::Zstd, b"onetwo");
        check(&skippable, Encoding::Zstd, b"x");
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let whole = gz(&[7; 100_000]);
        let mut out = Vec::new();
        let cut = &whole[..whole.len() - 5];
        assert!(decode(cut).expect("decoder").read_to_end(&mut out).is_err());
    }

    #[test]
    fn the_gzip_header_says_nothing_of_time_or_machine() {
        assert_eq!(gz(b"")[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        assert_eq!(Level::new(10), None);
    }
}
