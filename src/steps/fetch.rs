//! What ADD gets from elsewhere. The steps know no network: whoever runs them hands in something that does.

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::rc::Rc;

use crate::rootfs::{Root, RootPath, Timestamp};

/// A file that was fetched and, where a checksum was given, is the right one.
#[derive(Debug)]
pub struct Fetched {
    /// Its content, without a name on the disk.
    pub file: File,
    /// The name that it takes in a directory.
    pub name: String,
    /// When its server says it was modified; the epoch where it says nothing.
    pub modified: Timestamp,
}

/// A git repository that ADD wants.
#[derive(Clone, Copy, Debug)]
pub struct CheckOut<'a> {
    /// Its address, which may name a reference and a directory.
    pub address: &'a str,
    /// What its commit must begin with.
    pub checksum: Option<&'a str>,
    /// `--keep-git-dir`, where it is said.
    pub keep_git_dir: Option<bool>,
}

/// A repository that was checked out into a directory of ours.
pub struct Repository {
    /// That directory.
    pub root: Root,
    /// What of it was asked for: a directory.
    pub top: RootPath,
    /// The commit, in hexadecimal.
    pub commit: String,
    /// Removes the directory when the last who has it drops it.
    pub place: Rc<dyn Any>,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository").field("root", &self.root.path()).field("top", &self.top).finish_non_exhaustive()
    }
}

/// Fetches files by address.
pub trait Fetch {
    /// The file at `address` (`http://` or `https://`).
    ///
    /// # Errors
    /// One line that names the address: it cannot be had, or its content is not what `checksum` (`sha256:…`) says.
    fn fetch(&self, address: &str, checksum: Option<&str>) -> anyhow::Result<Fetched>;

    /// A commit of a git repository.
    ///
    /// # Errors
    /// One line that names the address: it cannot be had, or its commit is not what was asked for.
    fn check_out(&self, ask: &CheckOut<'_>) -> anyhow::Result<Repository>;
}
