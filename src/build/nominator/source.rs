//! Who nominates, and how that is chosen: the best that the kernel, the file system and the flags allow.
//!
//! A choice that is not what was hoped for is said once in the log, with its reason. What comes after a loss is said by
//! whoever looks at the answer, since only then is known what it cost.

use std::path::Path;

use anyhow::{Result, bail};
use silt_watcher::{DirWatch, Recorder, Refused};
use tracing::{info, warn};

use super::Wanted;
use crate::build::{RecorderChoice, SnapshotMode, Snapshots, Verify};
use crate::rootfs::Root;
use crate::snapshot::{Attributes, Baseline, ctime_tells};

/// From how many paths on watches are placed rather than everything swept after each step: a watch on each directory of a tree
/// costs about as much as sweeping that tree once or twice, and each sweep of this many paths some 50 ms.
pub(super) const MANY: usize = 20_000;

/// What nominates.
pub(super) enum Source {
    /// The superblock mark of fanotify.
    Fanotify(Box<Recorder>),
    /// A watch on every directory. What it does not hear of is found when the stage is settled.
    Dirwatch {
        watches: Box<DirWatch>,
        /// Why there is no mark on the superblock; `None` where the user asked for watches.
        why: Option<String>,
    },
    /// A comparison of every path's attributes with the record.
    Sweep {
        /// Fewer than all only where the user asked for that.
        attributes: Attributes,
        /// Why no recorder runs; `None` where the user asked for the sweep.
        why: Option<String>,
    },
    /// Nobody: every path is a candidate.
    Full {
        /// Why nothing better is used; `None` where the user asked for the walk.
        why: Option<String>,
    },
}

impl Source {
    /// What the flags ask for, or the best there is.
    ///
    /// # Errors
    /// A recorder that was asked for by name and is refused.
    pub(super) fn open(wanted: &Wanted, root: &Root, scratch: &Path, baseline: &Baseline) -> Result<Source> {
        let asked = |attributes| Source::Sweep { attributes, why: None };
        Ok(match (wanted.mode, wanted.choice) {
            (SnapshotMode::Redo, _) => asked(Attributes::Redo),
            (SnapshotMode::Time, _) => asked(Attributes::Time),
            (SnapshotMode::Full, _) | (_, RecorderChoice::Full) => Source::Full { why: None },
            (_, RecorderChoice::Sweep) => Source::without_events(root, scratch, None).announced(),
            (_, RecorderChoice::Dirwatch) => match watch_all(wanted, root, scratch, baseline) {
                Ok(watches) => Source::Dirwatch { watches, why: None },
                Err(refused) => bail!("directories cannot be watched here: {refused}"),
            },
            (_, RecorderChoice::Auto | RecorderChoice::Fanotify) => {
                Source::with_events(wanted, root, scratch, baseline)?
            }
        })
    }

    fn with_events(wanted: &Wanted, root: &Root, scratch: &Path, baseline: &Baseline) -> Result<Source> {
        match Recorder::open(root.path(), scratch, &wanted.options) {
            Ok(recorder) => {
                info!("Recording file events of {} with fanotify", root.path().display());
                Ok(Source::Fanotify(Box::new(recorder)))
            }
            Err(refused) if wanted.choice == RecorderChoice::Fanotify => {
                bail!("fanotify cannot be used here: {refused}")
            }
            Err(refused) => Ok(Source::without_mark(wanted, root, scratch, baseline, refused.to_string()).announced()),
        }
    }

    /// Watches where they pay: there are many paths, and a sweep would come more than once.
    pub(super) fn without_mark(
        wanted: &Wanted,
        root: &Root,
        scratch: &Path,
        baseline: &Baseline,
        why: String,
    ) -> Source {
        let sweeps = if wanted.snapshots == Snapshots::EachStage { 1 } else { wanted.runs };
        if sweeps < 2 || wanted.verify != Verify::Off || baseline.tree().len() < MANY {
            return Source::without_events(root, scratch, Some(why));
        }
        match watch_all(wanted, root, scratch, baseline) {
            Ok(watches) => Source::Dirwatch { watches, why: Some(why) },
            Err(refused) => Source::without_events(root, scratch, Some(format!("{why}; {refused}"))),
        }
    }

    /// The sweep, or the walk where `ctime` is not to be relied upon. `why` there are no events, if they were wanted.
    pub(super) fn without_events(root: &Root, scratch: &Path, why: Option<String>) -> Source {
        match ctime_tells(root, scratch) {
            Ok(()) => Source::Sweep { attributes: Attributes::All, why },
            Err(distrust) => {
                let reasons: Vec<String> = why.into_iter().chain([distrust.to_string()]).collect();
                Source::Full { why: Some(reasons.join("; ")) }
            }
        }
    }

    /// Says what will be done after each RUN, if it is not the best.
    fn announced(self) -> Source {
        match &self {
            Source::Dirwatch { why: Some(why), .. } => {
                warn!("Directories are watched, and the tree is swept once at the end of the stage: {why}");
            }
            Source::Sweep { why: Some(why), .. } => {
                warn!("No file events, so the attributes of every path are compared after a RUN: {why}");
            }
            Source::Full { why: Some(why) } => warn!("The content of every file is compared after a RUN: {why}"),
            _ => {}
        }
        self
    }

    /// Why nothing better is used.
    pub(super) fn why(&self) -> Option<String> {
        match self {
            Source::Fanotify(_) => None,
            Source::Dirwatch { why, .. } | Source::Sweep { why, .. } | Source::Full { why } => why.clone(),
        }
    }
}

/// A watch on every directory of the record.
fn watch_all(wanted: &Wanted, root: &Root, scratch: &Path, baseline: &Baseline) -> Result<Box<DirWatch>, Refused> {
    let mut watches = DirWatch::open(root.path(), scratch, &wanted.options)?;
    let directories = baseline.tree().iter().filter(|(_, node)| node.entry.is_directory());
    watches.watch(directories.map(|(path, node)| (path.as_bytes(), node.inode)))?;
    info!("Watching {} directories of {} with inotify", watches.watched(), root.path().display());
    Ok(Box::new(watches))
}
