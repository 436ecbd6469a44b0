//! The sweep: one `statx(2)` for each path of the record, on all cores, to nominate what the differ must look at.
//!
//! What is nominated: every path that is new, gone, or differs from the record in device, inode, kind, size, links, mode,
//! owner, mtime or ctime; as a tree, if it is a directory that the record does not have. A directory whose own times did not
//! move has the entries that it had, so only the others are listed. Protected paths are left out.
//!
//! A directory of any size is shared by the threads, in pieces. Fewer attributes can be asked for, to compare with kaniko.
//!
//! It reads no content, so it nominates every change only where `ctime` tells of each: see [`crate::ctime::ctime_tells`],
//! and the rule of [`Guard`]. Nothing may write below the root meanwhile. It decides nothing.

mod folder;
#[cfg(test)]
mod tests;

use std::num::NonZero;

use anyhow::Result;
use silt_watcher::Nominated;

use super::Baseline;
use crate::crew;
use crate::ctime::{Guard, Tick};
use crate::rootfs::Root;
use folder::Sweeper;

/// Which attributes nominate a path when they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// All that one call shows. This misses nothing.
    All,
    /// All but `ctime`, for tests: it misses changes.
    AllButCtime,
    /// mtime, size, mode and owner, by name alone, as kaniko's `redo`: it misses changes.
    Redo,
    /// mtime, by name alone, as kaniko's `time`: it misses changes.
    Time,
}

impl Attributes {
    /// Whether a name stands for the file, and no directory is passed over: kaniko keeps no inodes.
    fn is_of_kaniko(self) -> bool {
        matches!(self, Attributes::Redo | Attributes::Time)
    }
}

/// How a sweep goes about it. Clock and ticks are for tests, which prove with them what a sweep needs.
#[derive(Clone, Copy, Debug)]
pub struct SweepOptions {
    /// How many threads; `None` for one a core, and fewer for small trees.
    pub threads: Option<NonZero<usize>>,
    /// What is compared.
    pub attributes: Attributes,
    /// Whether files with a record as young as the step are nominated.
    pub racy: bool,
    /// The ticks of `ctime` and of the clock.
    pub tick: Tick,
}

impl Default for SweepOptions {
    fn default() -> Self {
        SweepOptions { threads: None, attributes: Attributes::All, racy: true, tick: Tick(1) }
    }
}

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Swept {
    /// Where to look.
    pub nominated: Nominated,
    /// How many paths were stat-ed.
    pub stats: u64,
}

/// Compares all of `root` with `baseline`. `guard` was taken before the step, after which nothing else wrote.
///
/// # Errors
/// A directory that cannot be opened or listed, or a path that cannot be stat-ed.
pub fn sweep(root: &Root, baseline: &Baseline, guard: &Guard, options: &SweepOptions) -> Result<Swept> {
    let worker = || Sweeper::new(root, baseline.tree(), guard.since, options);
    let mut first = worker();
    let mut top = Vec::new();
    first.top(&mut top)?;
    let threads = options.threads.map_or_else(|| crew::threads_for(baseline.tree().len()), NonZero::get);
    let sweepers = crew::share(threads, top, worker, Sweeper::piece)?;
    Ok(sweepers.into_iter().map(Sweeper::finish).fold(first.finish(), Swept::and))
}

impl Swept {
    fn and(mut self, other: Swept) -> Swept {
        self.nominated.paths.extend(other.nominated.paths);
        self.nominated.trees.extend(other.nominated.trees);
        self.stats += other.stats;
        self
    }
}
