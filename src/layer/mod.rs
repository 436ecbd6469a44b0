//! Layers: a change set becomes a tar, and that a blob, in one pass and bounded memory; and layers are checked to be well formed.
//!
//! Both ends can be apart: a tar that is written goes through a queue ([`spool()`]) to where it is compressed, and what is known of
//! it then serves while its blob is still [`Pending`].
//!
//! The bytes are a function of the change set, the contents and the options: entries in the byte order of their names, no
//! wall clock, no names of users. Formats: POSIX.1-2001 pax, OCI image-spec `layer.md`.

mod check;
mod header;
mod measured;
mod pack;
mod pending;
mod plan;
mod spool;
#[cfg(test)]
mod tests;
mod write;
mod writer;

pub use check::{Role, Summary, check};
pub use pack::Packer;
pub use pending::{Duty, Pending, Promise, Unfinished, promise};
pub use spool::{Memory, Pace, SpoolReader, SpoolWriter, spool};
pub use write::{Options, empty, write, write_tar};
pub use writer::{Layer, Tar};
