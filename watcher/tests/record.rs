//! Records real changes on real file systems: each kind of change is nominated, and whatever a walk finds is covered.
//!
//! It needs root, loop devices, the tools of ext4, xfs and btrfs, and python3 for two system calls that have no safe
//! wrapper. Nothing is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "it/budget.rs"]
mod budget;
#[path = "it/changes.rs"]
mod changes;
#[path = "it/dirwatch.rs"]
mod dirwatch;
#[path = "it/disk.rs"]
mod disk;
#[path = "it/limits.rs"]
mod limits;
#[path = "it/operations.rs"]
mod operations;
#[path = "it/oracle.rs"]
mod oracle;
#[path = "it/random.rs"]
mod random;
#[path = "it/refusals.rs"]
mod refusals;
