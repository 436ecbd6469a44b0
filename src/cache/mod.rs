//! What builds remember for the ones after them: base images (`bases`), and what steps left behind.
//!
//! What a step reads becomes a key, and under the key stands what the step left behind. A key is a function of inputs alone
//! ([`key`]), so the keys of a whole build are known before anything is unpacked. An entry is an
//! image of one layer with the tag of its key in a repository, or an OCI layout named by it below a directory. Whatever is wrong
//! with an entry, it is as if it were not there: a cache never fails a build and never gives what it cannot vouch for. It knows
//! neither flags nor what an instruction does.

mod bases;
mod compare;
mod entry;
mod key;
mod layouts;
mod lookup;
mod mounts;
mod partial;
mod publish;
mod repo;
mod seal;

pub use bases::{Age, BaseCache, Kept, Shelf};
pub use compare::{Difference, compare};
pub use entry::{Content, Entry, Place, Record};
pub use key::{Key, Kind, Part, Stretcher, key};
pub use lookup::{Found, Hit, Miss};
pub use mounts::{Limits, Means, MountCache, SavedIn, Saving};
pub use publish::{Parcel, Published, Publisher};
pub use repo::{Cache, Repo};
