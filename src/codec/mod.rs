//! Compression of layers and archives: telling which one a stream has, reading it, writing gzip and zstd.
//!
//! It knows neither tar nor layers. Decoders take what standards allow to be concatenated: gzip members (RFC 1952), zstd
//! frames (RFC 8878), bzip2 and xz streams.

mod ahead;
mod bounded;
mod encode;
mod gzip;

use std::io::{BufRead, Read, Result};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

pub use ahead::{Ahead, ahead};
pub use bounded::Bounded;
pub use encode::{Encoder, Level, Packing, ZstdLevel, threads};

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Of archives only: no layer is.
    Bzip2,
    /// The same.
    Xz,
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The last three bytes of a skippable frame's magic; the first is 0x50 to 0x5f.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// In KiB: what `xz -9` asks of a reader is half of it.
const XZ_MEMORY: u32 = 128 << 10;
const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";

/// How many bytes [`sniff`] wants; fewer only at the end of a stream.
pub const SNIFF_LEN: usize = 6;

/// The encoding of a stream that begins with `start`.
pub fn sniff(start: &[u8]) -> Encoding {
    match start {
        _ if start.starts_with(&GZIP_MAGIC) => Encoding::Gzip,
        _ if start.starts_with(&ZSTD_MAGIC) => Encoding::Zstd,
        [0x50..=0x5f, rest @ ..] if rest.starts_with(&ZSTD_SKIPPABLE) => Encoding::Zstd,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Encoding::Bzip2,
        _ if start.starts_with(XZ_MAGIC) => Encoding::Xz,
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
        Encoding::Bzip2 => Box::new(MultiBzDecoder::new(whole)),
        Encoding::Xz => Box::new(XzReader::new_mem_limit(whole, true, XZ_MEMORY)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gz(data: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), Packing::default(), 1).expect("an encoder");
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
        let bzip2 = |data: &[u8]| {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(1));
            encoder.write_all(data).expect("write");
            encoder.finish().expect("finish")
        };
        check(&[bzip2(b"one"), bzip2(b"two")].concat(), Encoding::Bzip2, b"onetwo");
        check(XZ_X, Encoding::Xz, b"x");
        check(&[XZ_X, XZ_X].concat(), Encoding::Xz, b"xx");
    }

    /// `printf x | xz`, with a CRC64.
    const XZ_X: &[u8] = b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x00\x78\x00\x00\x00\x00\x45\xae\xef\x83\xf8\xee\x16\x0a\x00\x01\x19\x01\xa5\x2c\x81\xcc\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";

    #[test]
    fn an_xz_stream_that_wants_too_much_memory_is_an_error() {
        // The same with a dictionary of 4 GiB in the block's header, whose checksum is right.
        let mut hostile = XZ_X.to_vec();
        hostile[16] = 40;
        let checksum = crc32(&hostile[12..20]);
        hostile[20..24].copy_from_slice(&checksum.to_le_bytes());
        let mut out = Vec::new();
        let error = decode(&hostile[..]).expect("decoder").read_to_end(&mut out).expect_err("refused").to_string();
        assert!(error.contains("memory"), "{error}");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
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
    }
}
