//! Reading a tar stream member by member: ustar, PAX and GNU headers, GNU sparse files of every version.
//!
//! Where readers of tar disagree, this one reads what Docker and containerd read (Go's `archive/tar`), or refuses: links,
//! directories and devices have no content whatever their size field says, and a malformed record is an error. Names are
//! not cleaned here. Memory is bounded by [`LONGEST_HEADERS`].

mod member;
mod pax;
mod reader;

pub use member::{Member, What};
pub use reader::{Chunk, Reader};

/// The most bytes that the headers of one member may take together, extension records and sparse maps included.
pub const LONGEST_HEADERS: usize = 4 << 20;

/// Why a stream is not an archive that can be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stream failed.
    #[error("reading the archive: {0}")]
    Read(#[from] std::io::Error),
    /// The stream ended within a member.
    #[error("the archive ends in the middle of a member")]
    Truncated,
    /// A header that cannot be parsed.
    #[error("malformed tar header: {0}")]
    Header(#[from] tar_core::parse::ParseError),
    /// A header that parses but cannot be meant.
    #[error("{name:?}: {why}")]
    Member {
        /// The member's name, lossy.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}
