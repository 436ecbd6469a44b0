//! From what was found to rows: pure. Every field that goes into a digest has its length before it, and each digest begins
//! with what it is of, so that no bytes can pass from one field, or one sort of digest, into another.
//!
//! Changing anything here makes every cache key anew; `tests` has the vectors.
//!
//! That names share a file is part of the rows because it is part of a layer: a later step that writes through one name
//! writes to all. It is told by the first name, from where the rows begin, so that a tree has the same rows wherever it
//! stands. Names that are not among the rows do not count, since no copy can keep them: a file that a package manager
//! links into a checkout is like one that it copies.

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};
use silt_watcher::Inode;

use super::{Owners, Row};
use crate::oci::Digest;
use crate::rootfs::{ContentDigest, Entry, Kind, RootPath, Xattrs};

/// The digest of all of a path that one statx(2) does not tell: content or target, and extended attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body(pub(super) [u8; 32]);

/// Something that stands in a tree.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: RootPath,
    pub(super) sort: Sort,
    /// Permission bits.
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) body: Body,
    /// The file, if it is regular and has several names.
    pub(super) shared: Option<Inode>,
    pub(super) part: Part,
    /// Of the row, if it has no other name before it. Taken by the thread that found it.
    pub(super) digest: Option<Digest>,
}

/// What kind of file it is; a device with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    File,
    Directory,
    Symlink,
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// Whether it takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Taken,
    /// If anything below it does.
    Way,
}

/// The rows of what was found at and below `top`, in any order.
pub(super) fn rows(mut found: Vec<Found>, top: &RootPath, owners: Owners) -> Vec<Row> {
    keep_needed_ways(&mut found);
    // A stable sort takes the runs that directories make.
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let mut firsts: HashMap<Inode, RootPath> = HashMap::new();
    let row = |found: Found| {
        let own = found.path.strip_prefix(top).unwrap_or_else(RootPath::root);
        let first = found.shared.and_then(|inode| match firsts.get(&inode) {
            Some(first) => Some(first.clone()),
            None => firsts.insert(inode, own),
        });
        let digest = match (&found.digest, first) {
            (Some(digest), None) => digest.clone(),
            (_, first) => digest(&found, owners, first.as_ref()),
        };
        Row { digest, path: found.path }
    };
    found.into_iter().map(row).collect()
}

/// Drops directories that nothing needs.
fn keep_needed_ways(found: &mut Vec<Found>) {
    if found.iter().all(|found| found.part == Part::Taken) {
        return;
    }
    let mut needed: HashSet<RootPath> = HashSet::new();
    for found in found.iter().filter(|found| found.part == Part::Taken) {
        for above in found.path.ancestors() {
            if !needed.insert(above) {
                break;
            }
        }
    }
    found.retain(|found| found.part == Part::Taken || needed.contains(&found.path));
}

/// The digest of a row; `first` is an earlier name of the same file.
pub(super) fn digest(found: &Found, owners: Owners, first: Option<&RootPath>) -> Digest {
    let mut frames = Frames::new("silt tree row 1");
    let (kind, device) = found.sort.fields();
    frames.field(kind.as_bytes());
    frames.numbers(&device);
    frames.numbers(&[if found.sort == Sort::Symlink { 0 } else { found.mode }]);
    match owners {
        Owners::Count => frames.numbers(&[found.owner.0, found.owner.1]),
        Owners::Replaced => frames.numbers(&[]),
    }
    match first {
        Some(first) => [&b"link"[..], first.as_bytes()].map(|field| frames.field(field)),
        None => [&b"body"[..], &found.body.0[..]].map(|field| frames.field(field)),
    };
    Digest::sha256(&frames.finish())
}

impl Body {
    /// Of a regular file.
    pub(super) fn file(content: &ContentDigest, xattrs: &Xattrs) -> Body {
        Body::new("silt tree file 1", content, xattrs)
    }

    fn other(target: &[u8], xattrs: &Xattrs) -> Body {
        Body::new("silt tree other 1", target, xattrs)
    }

    /// Of an entry that is no regular file.
    pub(super) fn of(entry: &Entry) -> Body {
        match &entry.kind {
            Kind::Symlink(target) => Body::other(target, &entry.xattrs),
            _ => Body::other(b"", &entry.xattrs),
        }
    }

    fn new(what: &str, text: &[u8], xattrs: &Xattrs) -> Body {
        let mut frames = Frames::new(what);
        frames.field(text);
        for (name, value) in xattrs {
            frames.field(name);
            frames.field(value);
        }
        Body(frames.finish())
    }
}

impl Sort {
    /// Of what a layer can carry.
    pub(super) fn of(kind: &Kind) -> Option<Sort> {
        match *kind {
            Kind::File { .. } => Some(Sort::File),
            Kind::Directory => Some(Sort::Directory),
            Kind::Symlink(_) => Some(Sort::Symlink),
            Kind::CharDevice { major, minor } => Some(Sort::CharDevice(major, minor)),
            Kind::BlockDevice { major, minor } => Some(Sort::BlockDevice(major, minor)),
            Kind::Fifo => Some(Sort::Fifo),
            Kind::Socket => None,
        }
    }

    fn fields(self) -> (&'static str, [u32; 2]) {
        match self {
            Sort::File => ("file", [0, 0]),
            Sort::Directory => ("directory", [0, 0]),
            Sort::Symlink => ("symlink", [0, 0]),
            Sort::CharDevice(major, minor) => ("char", [major, minor]),
            Sort::BlockDevice(major, minor) => ("block", [major, minor]),
            Sort::Fifo => ("fifo", [0, 0]),
        }
    }
}

/// A SHA-256 over fields.
struct Frames(Sha256);

impl Frames {
    fn new(what: &str) -> Frames {
        let mut frames = Frames(Sha256::new());
        frames.field(what.as_bytes());
        frames
    }

    fn field(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// One field.
    fn numbers(&mut self, numbers: &[u32]) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.field(&bytes);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
