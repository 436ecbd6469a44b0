//! Unpacking layers, lowest first, and recording what stands in the root afterwards.
//!
//! Guarantees: no entry leaves the root, whatever its name or the links around it say; protected paths are neither written
//! nor removed; what a layer's whiteouts hide is what lower layers brought, in whatever order the layer has its entries; the
//! record has every path with the identity that the disk gives it and the digest of the bytes that were written.
//!
//! An entry below a symlink (`lib/x` where `/lib` leads to `usr/lib`) is unpacked where the link leads inside the root, and
//! recorded there. Small files are written by several threads (`writers`) while the entries after them are read. All decisions
//! are made on the record, without a system call; the disk is then reached through exact
//! paths only, so a disagreement of the two is an error and never an escape.
//!
//! It does not decompress, and it does not check digests of layers: the caller's reader does. Formats: OCI image-spec
//! layer.md; whiteouts also those of AUFS.

mod apply;
mod finish;
mod link;
mod name;
mod place;
#[cfg(test)]
mod tests;
mod whiteout;
mod writers;

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;
use std::thread::{self, Builder};

use silt_watcher::Inode;

use super::archive::{self, Reader};
use super::{Cursor, Entry, Error, Kind, Root, RootPath, Timestamp, Tree, Xattrs};
use crate::crew;
use place::Placing;
use writers::{Batch, Writers};

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The stream is no archive, or could not be read.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// An entry asks for something that no image may have.
    #[error("layer entry {name:?}: {refusal}")]
    Refused {
        /// The entry's name, lossy.
        name: String,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// An entry could not be written.
    #[error("layer entry {name:?}: {source}")]
    Write {
        /// The entry's name, lossy.
        name: String,
        /// The call that failed.
        source: Error,
    },
    /// The root could not be looked at.
    #[error(transparent)]
    Root(#[from] io::Error),
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its name or its hard link's target has a `..`.
    #[error("\"..\" in the path")]
    Climbs,
    /// The root must be a directory.
    #[error("the root can only be a directory")]
    RootKind,
    /// One of its parents is a file or a device.
    #[error("a parent of it is not a directory")]
    Parent,
    /// One of its parents is a symlink that leads to itself.
    #[error("too many symlinks on the way")]
    Loop,
    /// A whiteout that names nothing, `.` or `..`, or an entry below one.
    #[error("malformed whiteout")]
    Whiteout,
    /// Its hard link's target is not in the image.
    #[error("the target of the hard link is not in this layer or below")]
    LinkTarget,
    /// Its hard link's target is a directory.
    #[error("the target of the hard link is a directory")]
    LinkToDirectory,
    /// Its hard link's target belongs to the machine or the builder.
    #[error("the target of the hard link is protected")]
    LinkToProtected,
}

/// What was left out without failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skipped {
    /// An entry or a whiteout for a protected path, or one that would have taken a protected path with it.
    Protected(RootPath),
    /// What is no directory, for a protected path itself.
    Replacement(RootPath),
    /// A device node that we may not make (`mknod(2)` needs `CAP_MKNOD`).
    Device(RootPath),
    /// An extended attribute that the file system or our privileges do not allow.
    Xattr {
        /// The file that lacks it.
        path: RootPath,
        /// Its name.
        name: Box<[u8]>,
    },
}

/// Unpacks the layers of one image into one root.
#[derive(Debug)]
pub struct Unpacker<'r> {
    root: &'r Root,
    cursor: Cursor<'r>,
    tree: Tree,
    /// What the current layer has brought so far.
    layer: HashSet<RootPath>,
    /// Inodes that gained or lost a name: the record of their other names is out of date until the end.
    relinked: HashSet<Inode>,
    /// Where the parent of the last entry is, as it was written.
    last_parent: Option<(Vec<u8>, RootPath)>,
    skipped: Vec<Skipped>,
    /// Who writes small files of the current layer; nobody where one thread is all there is.
    writers: Option<Arc<Writers>>,
    /// Files that are recorded and still to be handed to them.
    batch: Batch,
    /// How often something was removed.
    era: u64,
}

impl<'r> Unpacker<'r> {
    /// Unpacks into an empty root. The root directory becomes 0755 of root, unless a layer says otherwise.
    pub fn new(root: &'r Root) -> Result<Self, UnpackError> {
        let mut unpacker = Self::over(root, Tree::default());
        unpacker.set_directory(&RootPath::root(), &implied_directory()).map_err(UnpackError::Root)?;
        Ok(unpacker)
    }

    /// Unpacks over what stands in the root, of which `existing` is a complete record but for protected paths. Foreign nodes
    /// stay in the record, foreign, unless a layer replaces them; a foreign link or file gives way to a layer's directory.
    pub fn over(root: &'r Root, existing: Tree) -> Self {
        Unpacker {
            root,
            cursor: Cursor::new(root),
            tree: existing,
            layer: HashSet::new(),
            relinked: HashSet::new(),
            last_parent: None,
            skipped: Vec::new(),
            writers: None,
            batch: Batch::new(RootPath::root(), 0),
            era: 0,
        }
    }

    /// Unpacks one layer, an uncompressed tar stream, over those before. `stream` is read to its end. After an error the
    /// root is in between.
    pub fn layer(&mut self, stream: impl Read) -> Result<(), UnpackError> {
        self.layer.clear();
        let (root, threads) = (self.root, crew::threads().min(writers::MOST));
        if threads == 1 {
            return self.members(stream);
        }
        let writers = Arc::new(Writers::default());
        thread::scope(|scope| {
            let work = || writers.work(root);
            // A thread that cannot be had is done without.
            let started = (0..threads).filter(|_| Builder::new().spawn_scoped(scope, work).is_ok()).count();
            self.writers = (started > 0).then(|| Arc::clone(&writers));
            let closing = writers.closing();
            let outcome = self.members(stream);
            self.writers = None;
            drop(closing);
            match writers.take_failure() {
                Some((path, error)) => Err(Placing::from(error).named(path.as_bytes())),
                None => outcome,
            }
        })
    }

    /// Applies all entries up to one that is refused; what is recorded by then is on the disk.
    fn members(&mut self, stream: impl Read) -> Result<(), UnpackError> {
        let read = self.read(stream);
        let settled = self.settle();
        read?;
        Ok(settled?)
    }

    fn read(&mut self, stream: impl Read) -> Result<(), UnpackError> {
        let mut reader = Reader::new(stream);
        while let Some(member) = reader.next_member()? {
            self.member(&member, &mut reader)?;
        }
        Ok(())
    }

    /// What was left out so far.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

/// A directory that no layer describes but that one of its entries needs.
fn implied_directory() -> Entry {
    let mtime = Timestamp::default();
    Entry { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0, mtime, xattrs: Xattrs::new() }
}
