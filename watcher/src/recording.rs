//! What a recording says: which paths to look at, and whether that is all of them.
//!
//! It never says what changed. Paths carry no event kinds, since kinds tempt callers to trust them; the caller compares
//! each path with its own record of the tree.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::Inode;

/// Paths relative to the watched root: bytes, clean, no leading slash; the empty path is the root itself.
/// The bytes are shared with whoever keeps them.
pub type PathSet = BTreeSet<Arc<[u8]>>;

/// Where the caller's record of the tree, as it stood when the recording started, has a directory.
///
/// A directory that the record does not know was made since, or lies outside the root. Events in it need no path: a new
/// directory is covered by the event that made it, in a directory that the record does know.
pub trait Directories {
    /// The path of the directory `inode`, relative to the root, or `None` if the record has none.
    fn path_of(&self, inode: Inode) -> Option<Vec<u8>>;
}

/// The candidates of one recording: an over-approximation of what changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nominated {
    /// Look at each of these names alone.
    pub paths: PathSet,
    /// Look at each of these and at everything below: directories that were made, moved or removed.
    pub trees: PathSet,
    /// Look at every name that the record has for these inodes. A link may have been made to a file, written through and
    /// removed again: then only the inode is known.
    pub inodes: HashSet<Inode>,
}

/// What was recorded between two calls. It must be looked at: a loss turns into a walk of everything.
#[must_use]
#[derive(Debug)]
pub enum Recording {
    /// Every change is among these or below one of their trees.
    Complete(Nominated),
    /// These changed, and perhaps more: publish nothing before the rest of the tree was looked at.
    Partial(Nominated),
    /// Nothing can be said; look at everything.
    Incomplete {
        /// The reason, for the log.
        why: Lost,
    },
}

/// Why a recording is not complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The kernel's queue overflowed (`FAN_Q_OVERFLOW`).
    #[error("the kernel's event queue overflowed")]
    Overflow,
    /// An event that the decoder does not understand.
    #[error("an event could not be decoded: {0}")]
    Malformed(&'static str),
    /// A file handle could not be turned into an inode number.
    #[error("a file handle of type {handle_type:#x} could not be resolved")]
    Handle {
        /// `handle_type` of `struct file_handle`.
        handle_type: i32,
    },
    /// The recorder's own marker did not come back, so the queue is not what it should be.
    #[error("the recorder's own marker was not heard within {millis} ms")]
    Marker {
        /// How long was waited.
        millis: u64,
    },
    /// More was heard of than may be kept ([`Options::memory`](crate::Options::memory)).
    #[error("more than {limit} bytes of distinct names and inodes were heard of")]
    Memory {
        /// The bound, in bytes.
        limit: usize,
    },
    /// Nothing was recorded: `start` was not called, or not again after a loss.
    #[error("the recording was not started")]
    NotStarted,
    /// The mounts below the root are not those of the start.
    #[error("the mounts below the root changed while the step ran")]
    Mounts,
    /// Reading the queue, or a call that the barrier needs, failed.
    #[error("{call}: {source}")]
    Io {
        /// The system call.
        call: &'static str,
        /// Its error.
        source: std::io::Error,
    },
}
