//! Images on disk: a content-addressed directory of blobs, OCI layouts, docker archives.
//!
//! Whatever comes from outside is checked against its digest and size while it is copied in, before anyone can use it. Nothing here
//! holds a whole layer in memory, and nothing knows registries or flags.

mod archive;
mod archive_read;
mod blobs;
mod contents;
mod layout;
mod layout_dir;

pub use archive::write as write_archive;
pub use archive_read::{read as read_archive, read_known as read_known_archive};
pub(crate) use blobs::check_bytes;
pub use blobs::{BlobDir, BlobWriter};
pub use contents::check_contents;
pub use layout::{
    LayoutSource, read as read_layout, read_as_is as read_layout_as_is, write as write_layout,
    write_known as write_known_layout,
};
pub use layout_dir::LayoutDir;

use std::io;
use std::path::{Path, PathBuf};

use crate::oci::Digest;

/// Why something could not be read from disk or written to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{call} {}: {source}", path.display())]
    Io {
        /// What was tried.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
    /// The bytes of a blob are not those that its digest names.
    #[error("blob {expected} is corrupt: its bytes have the digest {actual}")]
    Digest {
        /// What was promised.
        expected: Digest,
        /// What the bytes have.
        actual: Digest,
    },
    /// A layer holds something else than its diff ID names.
    #[error("layer {blob} holds {actual} and not {expected}")]
    Contents {
        /// The layer.
        blob: Digest,
        /// What was promised.
        expected: Digest,
        /// What it holds.
        actual: Digest,
    },
    /// A blob is longer or shorter than its descriptor says.
    #[error("blob {blob} is corrupt: {} of {expected} bytes", if actual > expected { "more than the promised number".to_owned() } else { format!("only {actual}") })]
    Size {
        /// The blob.
        blob: String,
        /// What was promised, in bytes.
        expected: u64,
        /// What there was; reading stops at the first byte too many.
        actual: u64,
    },
    /// A layout or an image that cannot be used.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    fn io(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { call, path, source }
    }
}
