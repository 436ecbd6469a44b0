//! Who says where to look after a step: a mark on the superblock where the kernel allows one; in a large tree with several
//! steps a watch on every directory, and one sweep at the end of the stage for what watches do not hear of; else a sweep
//! after each step, where `ctime` can be relied upon; else nobody, and then the whole tree is compared by content. A
//! recording that was lost takes the same way down, for one step. Every step down is named, with its reason, in the log
//! and in the timings.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use silt_watcher::{DirWatch, Inode, Options, Recorder, Recording, Refused};
use tracing::{info, warn};

use super::{RecorderChoice, SnapshotMode, Verify};
use crate::rootfs::{Root, RootPath};
use crate::snapshot::{Baseline, Candidates, Guard, SweepOptions, Tick, ctime_tells, sweep};

/// From how many paths on watches are placed rather than everything swept after each step: a watch on each directory of a tree
/// costs about as much as sweeping that tree once or twice, and each sweep of this many paths some 50 ms.
const MANY: usize = 20_000;

/// What the choice depends on besides the machine.
pub struct Wanted {
    /// What was asked for.
    pub choice: RecorderChoice,
    /// Where each step is checked alone, each must be exact alone.
    pub verify: Verify,
    /// How many RUN steps the stage has.
    pub runs: usize,
}

/// What nominates the candidates of a stage's RUN steps.
pub struct Nominator {
    source: Source,
    /// A step was answered with less than everything, and nothing has made up for it yet.
    unsettled: bool,
    /// Taken when the step began, for a sweep after it.
    guard: Guard,
    /// A private directory on the root's file system.
    scratch: PathBuf,
}

enum Source {
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
        /// Why no recorder runs; `None` where the user asked for the sweep.
        why: Option<String>,
    },
    /// Nobody: every path is a candidate.
    Full {
        /// Why nothing better is used; `None` where the user asked for the walk.
        why: Option<String>,
    },
}

/// What a nominator answers for one step.
pub struct Answer {
    /// Where to look.
    pub candidates: Candidates,
    /// The name that timings give it.
    pub recorder: &'static str,
    /// Why a better recorder was not used.
    pub why: Option<String>,
    /// Events read from the kernel.
    pub events: u64,
    /// Paths stat-ed to find the candidates.
    pub stats: u64,
}

impl Nominator {
    /// Chooses for `root`. `scratch` is a private directory of ours on the same file system.
    ///
    /// # Errors
    /// A recorder that was asked for by name and is refused.
    pub fn open(
        mode: SnapshotMode,
        wanted: &Wanted,
        root: &Root,
        scratch: PathBuf,
        baseline: &Baseline,
    ) -> Result<Self> {
        let source = match (mode, wanted.choice) {
            (SnapshotMode::Full, _) | (_, RecorderChoice::Full) => Source::Full { why: None },
            (_, RecorderChoice::Sweep) => Source::without_events(root, &scratch, None),
            (_, RecorderChoice::Dirwatch) => match watch_all(root, &scratch, baseline) {
                Ok(watches) => Source::Dirwatch { watches, why: None },
                Err(refused) => bail!("directories cannot be watched here: {refused}"),
            },
            (_, RecorderChoice::Auto | RecorderChoice::Fanotify) => {
                Source::with_events(wanted, root, &scratch, baseline)?
            }
        };
        Ok(Nominator { source, unsettled: false, guard: Guard::now(), scratch })
    }

    /// For a stage that has no step of which nobody knows what it wrote.
    pub fn none() -> Self {
        Nominator { source: Source::Full { why: None }, unsettled: false, guard: Guard::now(), scratch: PathBuf::new() }
    }

    /// Begins one step. A recorder that cannot begin is given up for the rest of the stage.
    pub fn start(&mut self, root: &Root, baseline: &Baseline) -> Guard {
        let started = match &mut self.source {
            Source::Fanotify(recorder) => recorder.start(),
            Source::Dirwatch { watches, .. } => watches.start(),
            Source::Sweep { .. } | Source::Full { .. } => Ok(()),
        };
        if let Err(lost) = started {
            self.source = Source::without_events(root, &self.scratch, Some(lost.to_string()));
        }
        self.guard = match self.source {
            Source::Dirwatch { .. } | Source::Sweep { .. } => Guard::past(baseline.newest_ctime(), Tick(1)),
            // A sweep after a loss does without the wait: it has the files of the current tick compared.
            _ => Guard::now(),
        };
        if matches!(self.source, Source::Dirwatch { .. }) && !self.guard.is_past(baseline.newest_ctime()) {
            // The sweep at the end compares stamps with the last step's clock only, so each must be past the record.
            let why = "the clock is behind the files' stamps".to_owned();
            self.source = Source::without_events(root, &self.scratch, Some(why));
        }
        self.guard
    }

    /// Ends one step. All of the step's processes must be dead.
    pub fn take(&mut self, root: &Root, baseline: &Baseline) -> Answer {
        let (heard, events) = match &mut self.source {
            Source::Fanotify(recorder) => (complete(recorder.take(baseline)), recorder.heard()),
            Source::Dirwatch { watches, .. } => (heard_of(watches.take(baseline)), watches.heard()),
            Source::Sweep { why } | Source::Full { why } => (Err(why.clone()), 0),
        };
        let answer = match (heard, &self.source) {
            (Ok(candidates), Source::Fanotify(_)) => Answer::of("fanotify", candidates, None),
            (Ok(candidates), Source::Dirwatch { why, .. }) => {
                self.unsettled = true;
                Answer::of("dirwatch", candidates, why.clone())
            }
            (Err(why), Source::Sweep { .. }) => self.swept(root, baseline, why),
            (Err(lost), Source::Fanotify(_) | Source::Dirwatch { .. }) => self.instead(root, baseline, lost),
            (Ok(_), _) | (Err(_), Source::Full { .. }) => self.everything(self.source.why()),
        };
        Answer { events, ..answer }
    }

    /// Tells of directories that came or changed in the step that was looked at last. Watches that cannot be placed are given
    /// up for the rest of the stage.
    pub fn follow(&mut self, root: &Root, directories: Vec<(RootPath, Inode)>) {
        let Source::Dirwatch { watches, .. } = &mut self.source else { return };
        let placed = watches.watch(directories.iter().map(|(path, inode)| (path.as_bytes(), *inode)));
        if let Err(refused) = placed {
            self.source = Source::without_events(root, &self.scratch, Some(refused.to_string()));
        }
    }

    /// Looks at everything once, if a step was answered with less. Nothing of the stage may be used before.
    pub fn settle(&mut self, root: &Root, baseline: &Baseline) -> Option<Answer> {
        self.unsettled.then(|| self.instead(root, baseline, None))
    }

    /// A sweep, or the walk, in place of what was heard.
    fn instead(&mut self, root: &Root, baseline: &Baseline, why: Option<String>) -> Answer {
        match Source::without_events(root, &self.scratch, why) {
            Source::Sweep { why } => self.swept(root, baseline, why),
            source => self.everything(source.why()),
        }
    }

    fn swept(&mut self, root: &Root, baseline: &Baseline, why: Option<String>) -> Answer {
        match sweep(root, baseline, &self.guard, &SweepOptions::default()) {
            Ok(swept) => {
                self.unsettled = false;
                let answer = Answer::of("sweep", Candidates::Only(swept.nominated), why);
                Answer { stats: swept.stats, ..answer }
            }
            Err(error) => {
                warn!("The sweep failed, so the content of every file is compared: {error:#}");
                self.everything(Some(format!("{error:#}")))
            }
        }
    }

    fn everything(&mut self, why: Option<String>) -> Answer {
        self.unsettled = false;
        Answer::of("full", Candidates::Everything, why)
    }
}

/// A watch on every directory of the record.
fn watch_all(root: &Root, scratch: &Path, baseline: &Baseline) -> Result<Box<DirWatch>, Refused> {
    let mut watches = DirWatch::open(root.path(), scratch, &Options::default())?;
    let directories = baseline.tree().iter().filter(|(_, node)| node.entry.is_directory());
    watches.watch(directories.map(|(path, node)| (path.as_bytes(), node.inode)))?;
    info!("Watching {} directories of {} with inotify", watches.watched(), root.path().display());
    Ok(Box::new(watches))
}

impl Source {
    fn with_events(wanted: &Wanted, root: &Root, scratch: &Path, baseline: &Baseline) -> Result<Source> {
        match Recorder::open(root.path(), scratch, &Options::default()) {
            Ok(recorder) => {
                info!("Recording file events of {} with fanotify", root.path().display());
                Ok(Source::Fanotify(Box::new(recorder)))
            }
            Err(refused) if wanted.choice == RecorderChoice::Fanotify => {
                bail!("fanotify cannot be used here: {refused}")
            }
            Err(refused) => Ok(Source::without_mark(wanted, root, scratch, baseline, refused.to_string())),
        }
    }

    /// Watches where they pay: there are many paths, and a sweep would come more than once.
    fn without_mark(wanted: &Wanted, root: &Root, scratch: &Path, baseline: &Baseline, why: String) -> Source {
        if wanted.runs < 2 || wanted.verify != Verify::Off || baseline.tree().len() < MANY {
            return Source::without_events(root, scratch, Some(why));
        }
        match watch_all(root, scratch, baseline) {
            Ok(watches) => {
                warn!("Directories are watched, and the tree is swept once at the end of the stage: {why}");
                Source::Dirwatch { watches, why: Some(why) }
            }
            Err(refused) => Source::without_events(root, scratch, Some(format!("{why}; {refused}"))),
        }
    }

    /// Why nothing better is used.
    fn why(&self) -> Option<String> {
        match self {
            Source::Fanotify(_) => None,
            Source::Dirwatch { why, .. } | Source::Sweep { why } | Source::Full { why } => why.clone(),
        }
    }

    /// The sweep, or the walk where `ctime` is not to be relied upon. `why` there are no events, if they were wanted.
    fn without_events(root: &Root, scratch: &Path, why: Option<String>) -> Source {
        let cause = |distrust: &str| match &why {
            Some(why) => format!("{why}; {distrust}"),
            None => distrust.to_owned(),
        };
        match ctime_tells(root, scratch) {
            Ok(()) => {
                if let Some(why) = &why {
                    warn!("No file events, so the attributes of every path are compared after a RUN: {why}");
                }
                Source::Sweep { why }
            }
            Err(distrust) => {
                let why = cause(&distrust.to_string());
                warn!("The content of every file is compared after a RUN: {why}");
                Source::Full { why: Some(why) }
            }
        }
    }
}

impl Answer {
    fn of(recorder: &'static str, candidates: Candidates, why: Option<String>) -> Answer {
        Answer { candidates, recorder, why, events: 0, stats: 0 }
    }
}

/// What an exact recording narrows the look to; the reason, if it does not.
fn complete(recording: Recording) -> Result<Candidates, Option<String>> {
    match recording {
        Recording::Partial(_) => Err(Some("the recording is partial".to_owned())),
        other => heard_of(other),
    }
}

/// The same where something will make up for what a recording does not have.
fn heard_of(recording: Recording) -> Result<Candidates, Option<String>> {
    match recording {
        Recording::Complete(nominated) | Recording::Partial(nominated) => Ok(Candidates::Only(nominated)),
        Recording::Incomplete { why } => Err(Some(format!("this step's events were lost: {why}"))),
    }
}

#[cfg(test)]
mod tests;
