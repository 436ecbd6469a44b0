//! The file of a memo: what it is, what it is bound to, records of 73 bytes in the order of inode numbers, and a SHA-256 of
//! all that. Pure: bytes in, records out, and nothing for bytes that are not just so.

use sha2::{Digest as _, Sha256};

use crate::context::digests::row::Body;
use crate::rootfs::{Kind, Node, Timestamp};

/// What it is, and the version of bodies and records.
const MAGIC: &[u8; 16] = b"silt-tree-memo-1";
const BINDING: usize = 32;
const SUM: usize = 32;
const RECORD: usize = 73;

/// The most records that are kept: 73 MiB of a file.
pub(super) const MOST: usize = 1 << 20;
/// The largest file that is read.
pub(super) const LARGEST: u64 = (MAGIC.len() + BINDING + MOST * RECORD + SUM) as u64;

/// What one stat says of a file that moves whenever reading it may give something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::context::digests) struct Stamp {
    ino: u64,
    /// Of a regular file, else 0.
    size: u64,
    mtime: Timestamp,
    ctime: Timestamp,
}

/// What reading a file gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::context::digests) struct Record {
    pub(in crate::context::digests) stamp: Stamp,
    pub(in crate::context::digests) body: Body,
}

/// Records in order, as the file holds them.
#[derive(Debug, Default)]
pub(super) struct Records {
    bytes: Vec<u8>,
    /// Where the first record begins.
    start: usize,
    inodes: Vec<u64>,
}

impl Stamp {
    pub(in crate::context::digests) fn of(node: &Node) -> Stamp {
        let size = if let Kind::File { size, .. } = node.entry.kind { size } else { 0 };
        Stamp { ino: node.inode.ino, size, mtime: node.entry.mtime, ctime: node.ctime }
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }
}

impl Records {
    /// The records of a file, if it is whole and bound to `binding`.
    pub(super) fn parse(bytes: Vec<u8>, binding: &[u8; BINDING]) -> Option<Records> {
        let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
        let records = content.strip_prefix(MAGIC)?.strip_prefix(binding)?;
        let inodes: Vec<u64> = records.chunks_exact(RECORD).map(ino).collect();
        let is_whole = records.len() % RECORD == 0 && inodes.is_sorted_by(|a, b| a < b) && sum == sum_of(content);
        is_whole.then_some(Records { bytes, start: MAGIC.len() + BINDING, inodes })
    }

    pub(super) fn len(&self) -> usize {
        self.inodes.len()
    }

    /// The place of the record of an inode.
    pub(super) fn find(&self, ino: u64) -> Option<usize> {
        self.inodes.binary_search(&ino).ok()
    }

    /// The record at a place, and how many memos ago it was used.
    pub(super) fn get(&self, at: usize) -> Option<(Record, u8)> {
        let from = self.start + at * RECORD;
        if at >= self.len() { None } else { decode(self.bytes.get(from..from + RECORD)?) }
    }

    pub(super) fn inode(&self, at: usize) -> u64 {
        self.inodes[at]
    }
}

/// The file that holds `records`, which are in order.
pub(super) fn write(binding: &[u8; BINDING], records: &[(Record, u8)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + BINDING + records.len() * RECORD + SUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(binding);
    for (record, age) in records {
        encode(record, *age, &mut bytes);
    }
    let sum = sum_of(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

fn sum_of(bytes: &[u8]) -> [u8; SUM] {
    Sha256::digest(bytes).into()
}

fn encode(Record { stamp, body }: &Record, age: u8, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&stamp.ino.to_le_bytes());
    bytes.extend_from_slice(&stamp.size.to_le_bytes());
    for time in [stamp.mtime, stamp.ctime] {
        bytes.extend_from_slice(&time.sec.to_le_bytes());
        bytes.extend_from_slice(&time.nsec.to_le_bytes());
    }
    bytes.extend_from_slice(&body.0);
    bytes.push(age);
}

fn decode(bytes: &[u8]) -> Option<(Record, u8)> {
    let (ino, rest) = bytes.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let (mtime, rest) = time(rest)?;
    let (ctime, rest) = time(rest)?;
    let (body, rest) = rest.split_first_chunk::<32>()?;
    let stamp = Stamp { ino: u64::from_le_bytes(*ino), size: u64::from_le_bytes(*size), mtime, ctime };
    Some((Record { stamp, body: Body(*body) }, *rest.first()?))
}

fn time(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (sec, rest) = bytes.split_first_chunk()?;
    let (nsec, rest) = rest.split_first_chunk()?;
    Some((Timestamp { sec: i64::from_le_bytes(*sec), nsec: u32::from_le_bytes(*nsec) }, rest))
}

fn ino(record: &[u8]) -> u64 {
    record.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
