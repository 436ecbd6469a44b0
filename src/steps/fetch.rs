//! What ADD gets from elsewhere. The steps know no network: whoever runs them hands in something that does.

use std::fs::File;

use crate::rootfs::Timestamp;

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

/// Fetches files by address.
pub trait Fetch {
    /// The file at `address` (`http://` or `https://`).
    ///
    /// # Errors
    /// One line that names the address: it cannot be had, or its content is not what `checksum` (`sha256:…`) says.
    fn fetch(&self, address: &str, checksum: Option<&str>) -> anyhow::Result<Fetched>;
}
