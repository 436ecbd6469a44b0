//! Layers: a change set becomes a compressed tar, in one pass and bounded memory, and is checked to be well formed.
//!
//! The bytes are a function of the change set, the contents and the options: entries in the byte order of their names, no
//! wall clock, no names of users. Formats: POSIX.1-2001 pax, OCI image-spec `layer.md`.

mod check;
mod header;
mod measured;
mod plan;
#[cfg(test)]
mod tests;
mod write;
mod writer;

pub use check::{Role, Summary, check};
pub use write::{Options, write};
pub use writer::{Layer, LayerWriter};
