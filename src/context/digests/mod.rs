//! Digests of what stands in trees, for cache keys: one row for each path, the same wherever and whenever it is taken.
//!
//! A row is of all that a layer would carry of the path besides its name and its time: two trees with equal rows make the
//! same files, and whatever makes another file makes another row. Contents are read; a file that changes meanwhile is an
//! error. It knows neither instructions nor ignore files: what takes part is the caller's to say.

mod eye;
mod memo;
mod row;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::io;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use crate::crew;
use crate::oci::Digest;
use crate::rootfs::{Root, RootPath, Selection};
use memo::Book;
pub use memo::{Access, Memo};
use walk::Way;

/// Says which paths of a tree take part; the second argument is true for directories.
pub type Includes<'a> = &'a (dyn Fn(&RootPath, bool) -> Selection + Sync + 'a);

/// Whether it matters whom the files of a tree belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Copies keep them: what comes from stages and images without `--chown`.
    Count,
    /// Copies belong to somebody else: what comes from a build context.
    Replaced,
}

/// What is known of trees; one for a build, shared by its threads.
#[derive(Debug)]
pub struct Digests {
    memo: Option<Memo>,
    /// By device; `None` where nothing can be remembered.
    books: Mutex<BTreeMap<u64, Option<Arc<Book>>>>,
    work: Mutex<Work>,
}

/// What was done to get rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Names that were stat-ed.
    pub stats: u64,
    /// Directories that were opened and listed.
    pub listed: u64,
    /// Links, directories and special files of which more was asked than a stat tells.
    pub observed: u64,
    /// Files that were opened and read.
    pub read_files: u64,
    /// Bytes read of them.
    pub read_bytes: u64,
}

/// One path of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it is, from the top of the tree.
    pub path: RootPath,
    /// Of its kind, permission bits, owner if that counts, content or target or device number, and the extended attributes
    /// that layers keep. The second and further names of a file that has several in these rows say so: they have the first
    /// name in place of the content.
    pub digest: Digest,
}

/// Why there are no rows.
#[derive(Debug, Error)]
pub enum Error {
    /// Nothing stands where the rows should begin.
    #[error("{0} is not there")]
    Missing(RootPath),
    /// Somebody writes to the tree.
    #[error("{0} changed while it was read: let nothing write to it during the build")]
    Changed(RootPath),
    /// A call failed; the message has the path.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Digests {
    /// Knows what `memo` does.
    pub fn new(memo: Option<Memo>) -> Digests {
        Digests { memo, books: Mutex::default(), work: Mutex::default() }
    }

    /// What stands at the exact `path` of `tree` and below it, as far as `includes` lets it through, in the order of the
    /// bytes of paths. `includes` is not asked about `path` itself. A directory that is only descended into has a row if
    /// anything below it has; sockets have none. Links are not followed. Which names share one file is told among the
    /// rows of one call, as one copy keeps it.
    pub fn rows(
        &self,
        tree: &Root,
        path: &RootPath,
        owners: Owners,
        includes: Includes<'_>,
    ) -> Result<Vec<Row>, Error> {
        self.rows_by(crew::threads(), tree, path, owners, includes)
    }

    fn rows_by(
        &self,
        threads: usize,
        tree: &Root,
        path: &RootPath,
        owners: Owners,
        includes: Includes<'_>,
    ) -> Result<Vec<Row>, Error> {
        let book = self.book(tree);
        let way = Way { tree, owners, includes, known: book.as_deref(), threads };
        let walked = walk::walk(&way, path)?;
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) += walked.work;
        if let Some(book) = &book {
            book.learn(walked.learned);
        }
        Ok(row::rows(walked.found, path, owners))
    }

    /// All that was done so far.
    pub fn work(&self) -> Work {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what was learned to the memo, for the next build. It cannot fail: at worst the next build reads again.
    pub fn save(&self) {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memo) = &self.memo {
            books.values().flatten().for_each(|book| memo.save(book));
        }
    }

    /// What is known of the file system of `tree`.
    fn book(&self, tree: &Root) -> Option<Arc<Book>> {
        let memo = self.memo.as_ref()?;
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.entry(tree.dev()).or_insert_with(|| memo.book(tree)).clone()
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        self.stats += other.stats;
        self.listed += other.listed;
        self.observed += other.observed;
        self.read_files += other.read_files;
        self.read_bytes += other.read_bytes;
    }
}
