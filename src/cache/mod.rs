//! What builds remember for the ones after them.

mod bases;
mod partial;

pub use bases::{Age, BaseCache, Kept, Shelf};
