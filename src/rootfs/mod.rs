//! The root: the directory that becomes the image's file system, and the only code that writes to it.
//!
//! Everything that comes from outside (base layers, archives, contexts) is hostile here: nothing resolves out of the root.

pub mod archive;
mod copy;
mod cursor;
mod entry;
mod error;
mod extract;
#[cfg(test)]
mod fixture;
mod glance;
mod make;
mod observe;
mod open;
mod path;
mod remove;
mod resolve;
mod root;
mod scan;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;
pub mod users;
mod write;
mod xattr;

pub use copy::{Copier, Filter, Noticed, Onto, Owner, Remode, Selection, Stamp};
pub use cursor::Cursor;
pub use entry::{ContentDigest, Entry, Kind, Node, Timestamp, Xattrs};
pub use error::{Error, Result};
pub use extract::ExtractError;
pub use glance::{Folder, Glance, xattrs};
pub use make::Made;
pub use path::RootPath;
pub use remove::clear;
pub use root::Root;
pub use scan::{scan, walk};
pub use tree::{Children, Tree};
pub use unpack::{Refusal, Skipped, UnpackError, Unpacker};
