//! Digests of what stands in trees, for cache keys: one row for each path, the same wherever and whenever it is taken.
//!
//! A row is of all that a layer would carry of the path besides its name and its time: two trees with equal rows make the
//! same files, and whatever makes another file makes another row. Contents are read; a file that changes meanwhile is an
//! error. It knows neither instructions nor ignore files: what takes part is the caller's to say.

mod row;
#[cfg(test)]
mod tests;
mod walk;

use std::io;

use thiserror::Error;

use crate::oci::Digest;
use crate::rootfs::{Root, RootPath, Selection};

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
}

/// Digests of earlier builds. There are none yet.
#[derive(Debug)]
pub enum Memo {}

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
        Digests { memo }
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
        match &self.memo {
            None => {}
            Some(memo) => match *memo {},
        }
        let found = walk::walk(tree, path, includes)?;
        Ok(row::rows(found, path, owners))
    }
}
