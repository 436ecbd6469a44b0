//! The root: the directory that becomes the image's file system, and the only code that writes to it.
//!
//! Everything that comes from outside (base layers, archives, contexts) is hostile here: nothing resolves out of the root.

mod entry;
mod path;
mod tree;

pub use entry::{ContentDigest, Entry, Kind, Node, Timestamp, Xattrs};
pub use path::RootPath;
pub use tree::Tree;
