//! Records which paths below a directory changed while something ran, from kernel file events.
//!
//! The contract: every path below the watched root whose content, metadata, name or existence changed between
//! [`Recorder::start`] and [`Recorder::take`] is in [`Recording::Complete`], or lies below one of its trees, or is a name
//! of one of its inodes. Too many paths is allowed, too few never. What cannot be promised is `Partial` or `Incomplete`.
//!
//! [`Recorder`] marks a superblock and is exact; [`DirWatch`] needs no privilege and is `Partial`.

#![deny(unsafe_code)]

mod beneath;
mod budget;
mod dirwatch;
mod fanotify;
mod handle;
mod hearing;
mod inode;
mod inotify;
mod listener;
mod mounts;
mod options;
mod reader;
mod recorder;
mod recording;
mod refused;
mod resolve;
#[cfg(test)]
mod samples;
mod selftest;
mod sightings;
#[allow(unsafe_code)]
mod sys;

pub use budget::Scarce;
pub use dirwatch::DirWatch;
pub use inode::Inode;
pub use mounts::mount_points;
pub use options::{EventClass, EventClasses, Options};
pub use recorder::Recorder;
pub use recording::{Directories, Lost, Nominated, PathSet, Recording};
pub use refused::Refused;
