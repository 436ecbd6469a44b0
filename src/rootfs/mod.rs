//! The root: the directory that becomes the image's file system, and the only code that writes to it.
//!
//! Everything that comes from outside (base layers, archives, contexts) is hostile here: nothing resolves out of the root.

mod cursor;
mod entry;
mod error;
mod observe;
mod open;
mod path;
mod resolve;
mod root;
mod tree;
mod xattr;

pub use cursor::Cursor;
pub use entry::{ContentDigest, Entry, Kind, Node, Timestamp, Xattrs};
pub use error::{Error, Result};
pub use path::RootPath;
pub use root::Root;
pub use tree::Tree;
