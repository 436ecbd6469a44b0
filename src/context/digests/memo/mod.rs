//! What was read in earlier builds, kept in `DIR/silt-trees`: for each inode with this size and these times, the digest of
//! what reading it gave. A tree that nobody changed is then known by stats alone.
//!
//! A memo is believed only by the machine that wrote it, since it was started, and about the file system that it is of (see
//! [`binding`]); and only where `ctime` tells of every change. It lacks what was young when it was read: a later change may
//! have had the same stamp. What it cannot see: a process that has a file mapped for writing, and stores into it after we
//! read it without having been stamped anew, as no build should have around it.
//!
//! A memo that is missing, foreign, broken, locked or not ours to write costs time and is never an error. It is replaced as a
//! whole, under a lock, and what builds beside this one have learned meanwhile stays in it.

mod binding;
mod book;
mod format;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::debug;

pub(super) use book::Book;
pub(super) use format::{Record, Stamp};

use crate::ctime::ctime_tells_by;
use crate::rootfs::Root;
use binding::Binding;

/// The directory of memos below the directory of caches.
const OURS: &str = "silt-trees";

/// Whether a build may change the memo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It adds what it learns.
    ReadWrite,
    /// It believes what others learned.
    ReadOnly,
}

/// Where digests of earlier builds are kept.
#[derive(Debug)]
pub struct Memo {
    dir: PathBuf,
    access: Access,
}

impl Memo {
    /// Below `dir`, a directory for caches, which must exist to be of use. Nothing is read yet.
    pub fn new(dir: &Path, access: Access) -> Memo {
        Memo { dir: dir.join(OURS), access }
    }

    /// What is known of files on the file system of `tree`; nothing if it could not be believed, which takes a test of
    /// two ticks of the clock.
    pub(super) fn book(&self, tree: &Root) -> Option<Arc<Book>> {
        let parent = self.dir.parent()?;
        let unused =
            |why: &dyn std::fmt::Display| debug!("no digests are remembered for {}: {why}", tree.path().display());
        if !parent.is_dir() {
            unused(&format_args!("there is no directory {}", parent.display()));
            return None;
        }
        let binding = Binding::of(tree).inspect_err(|why| unused(why)).ok()?;
        ctime_tells_by(tree, &[tree.path(), parent]).inspect_err(|why| unused(why)).ok()?;
        let book = Book::open(&self.dir, binding);
        debug!("{} digests are remembered for {}", book.len(), tree.path().display());
        Some(Arc::new(book))
    }

    /// Keeps what `book` learned.
    pub(super) fn save(&self, book: &Book) {
        if self.access == Access::ReadWrite
            && let Err(error) = book.save(&self.dir)
        {
            debug!("the digests of this build are not remembered: {error}");
        }
    }
}
