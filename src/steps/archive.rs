//! ADD: tells tar archives from other files, by content and not by name.
//!
//! Archives are unpacked plain or compressed with gzip, bzip2, xz or zstd. A compressed file that holds no tar is an
//! ordinary file. Follows the Dockerfile reference ("ADD").

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use anyhow::Result;

use crate::codec::{self, Encoding};
use crate::rootfs::{Copier, Owner, RootPath};

const BLOCK: usize = 512;
/// Where a header has its checksum: eight bytes, octal.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// A tar archive, opened.
pub(super) struct Archive(File);

/// Tells what `file` is; `None` if it is to be copied as it is.
pub(super) fn open(mut file: File) -> Result<Option<Archive>> {
    file.rewind()?;
    let block = codec::decode(BufReader::new(&file)).and_then(|stream| start(stream, BLOCK));
    // What looks compressed and cannot be decoded is no archive, as a file of zeros is none.
    let is_archive = block.is_ok_and(|block| is_header(&block));
    file.rewind()?;
    Ok(is_archive.then_some(Archive(file)))
}

impl Archive {
    /// How it is compressed.
    pub(super) fn encoding(&self) -> Result<Encoding> {
        let mut file = &self.0;
        let found = codec::sniff(&start(&mut file, codec::SNIFF_LEN)?);
        file.rewind()?;
        Ok(found)
    }

    /// Extracts it into the exact `target`.
    pub(super) fn unpack(self, copier: &mut Copier<'_>, target: &RootPath, owner: Owner) -> Result<()> {
        let tar = codec::decode(BufReader::with_capacity(256 * 1024, self.0))?;
        Ok(copier.extract(tar, target, owner)?)
    }
}

fn start(stream: impl Read, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    stream.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a block is the header of a member: its checksum is the sum of its bytes, the checksum itself taken as blanks.
/// Old archives summed signed bytes.
fn is_header(block: &[u8]) -> bool {
    if block.len() != BLOCK {
        return false;
    }
    let field = block[CHECKSUM].split(|b| matches!(b, 0 | b' ')).find(|digits| !digits.is_empty());
    let Some(stored) = field.and_then(|digits| i64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()) else {
        return false;
    };
    let byte = |(at, byte): (usize, &u8)| if CHECKSUM.contains(&at) { b' ' } else { *byte };
    let unsigned: i64 = block.iter().enumerate().map(byte).map(i64::from).sum();
    let signed: i64 = block.iter().enumerate().map(byte).map(|b| i64::from(b.cast_signed())).sum();
    stored == unsigned || stored == signed
}
