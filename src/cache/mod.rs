//! What builds remember for the ones after them.

mod bases;
mod mounts;
mod partial;

pub use bases::{Age, BaseCache, Kept, Shelf};
pub use mounts::{Limits, Means, MountCache, SavedIn, Saving};
