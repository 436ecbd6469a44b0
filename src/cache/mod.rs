//! What builds remember for the ones after them.

mod bases;

pub use bases::{Age, BaseCache, Kept, Shelf};
