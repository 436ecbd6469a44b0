//! Who says where to look after a step: the recorder where the kernel allows one, else a sweep where `ctime` can be relied
//! upon, else nobody, and then the whole tree is compared by content. A recording that was lost takes the same way down,
//! for one step. Every step down is named, with its reason, in the log and in the timings.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use silt_watcher::{Options, Recorder, Recording};
use tracing::{info, warn};

use super::{RecorderChoice, SnapshotMode};
use crate::rootfs::Root;
use crate::snapshot::{Baseline, Candidates, Guard, SweepOptions, Tick, ctime_tells, sweep};

/// What nominates the candidates of a stage's RUN steps.
pub(super) struct Nominator {
    source: Source,
    /// Taken when the step began, for a sweep after it.
    guard: Guard,
    /// A private directory on the root's file system.
    scratch: PathBuf,
}

enum Source {
    /// The superblock mark of fanotify.
    Fanotify(Box<Recorder>),
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
pub(super) struct Answer {
    pub(super) candidates: Candidates,
    /// The name that timings give it.
    pub(super) recorder: &'static str,
    /// Why a better recorder was not used.
    pub(super) why: Option<String>,
    /// Events read from the kernel.
    pub(super) events: u64,
    /// Paths stat-ed to find the candidates.
    pub(super) stats: u64,
}

impl Nominator {
    /// Chooses for `root`. `scratch` is a private directory of ours on the same file system.
    ///
    /// # Errors
    /// A recorder that was asked for by name and is refused.
    pub(super) fn open(mode: SnapshotMode, choice: RecorderChoice, root: &Root, scratch: PathBuf) -> Result<Self> {
        let source = match (mode, choice) {
            (SnapshotMode::Full, _) | (_, RecorderChoice::Full) => Source::Full { why: None },
            (_, RecorderChoice::Sweep) => Source::without_events(root, &scratch, None),
            (_, RecorderChoice::Auto | RecorderChoice::Fanotify) => Source::with_events(choice, root, &scratch)?,
        };
        Ok(Nominator { source, guard: Guard::now(), scratch })
    }

    /// For a stage that has no step of which nobody knows what it wrote.
    pub(super) fn none() -> Self {
        Nominator { source: Source::Full { why: None }, guard: Guard::now(), scratch: PathBuf::new() }
    }

    /// Begins one step. A recorder that cannot begin is given up for the rest of the stage.
    pub(super) fn start(&mut self, root: &Root, baseline: &Baseline) -> Guard {
        if let Source::Fanotify(recorder) = &mut self.source
            && let Err(lost) = recorder.start()
        {
            self.source = Source::without_events(root, &self.scratch, Some(lost.to_string()));
        }
        self.guard = match self.source {
            Source::Sweep { .. } => Guard::past(baseline.newest_ctime(), Tick(1)),
            // A sweep after a loss does without the wait: it has the files of the current tick compared.
            _ => Guard::now(),
        };
        self.guard
    }

    /// Ends one step. All of the step's processes must be dead.
    pub(super) fn take(&mut self, root: &Root, baseline: &Baseline) -> Answer {
        match &mut self.source {
            Source::Full { why } => everything(why.clone()),
            Source::Sweep { why } => swept(root, baseline, &self.guard, why.clone()),
            Source::Fanotify(recorder) => {
                let answer = match complete(recorder.take(baseline)) {
                    Ok(candidates) => Answer::of("fanotify", candidates, None),
                    Err(lost) => match Source::without_events(root, &self.scratch, Some(lost)) {
                        Source::Sweep { why } => swept(root, baseline, &self.guard, why),
                        Source::Full { why } => everything(why),
                        Source::Fanotify(_) => everything(None),
                    },
                };
                Answer { events: recorder.heard(), ..answer }
            }
        }
    }
}

impl Source {
    fn with_events(choice: RecorderChoice, root: &Root, scratch: &Path) -> Result<Source> {
        match Recorder::open(root.path(), scratch, &Options::default()) {
            Ok(recorder) => {
                info!("Recording file events of {} with fanotify", root.path().display());
                Ok(Source::Fanotify(Box::new(recorder)))
            }
            Err(refused) if choice == RecorderChoice::Fanotify => bail!("fanotify cannot be used here: {refused}"),
            Err(refused) => Ok(Source::without_events(root, scratch, Some(refused.to_string()))),
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

fn swept(root: &Root, baseline: &Baseline, guard: &Guard, why: Option<String>) -> Answer {
    match sweep(root, baseline, guard, &SweepOptions::default()) {
        Ok(swept) => {
            let answer = Answer::of("sweep", Candidates::Only(swept.nominated), why);
            Answer { stats: swept.stats, ..answer }
        }
        Err(error) => {
            warn!("The sweep failed, so the content of every file is compared: {error:#}");
            everything(Some(format!("{error:#}")))
        }
    }
}

fn everything(why: Option<String>) -> Answer {
    Answer::of("full", Candidates::Everything, why)
}

/// What a recording narrows the look to; the reason, if it does not.
fn complete(recording: Recording) -> Result<Candidates, String> {
    match recording {
        Recording::Complete(nominated) => Ok(Candidates::Only(nominated)),
        Recording::Partial(_) => Err("the recording is partial".to_owned()),
        Recording::Incomplete { why } => Err(format!("this step's events were lost: {why}")),
    }
}

#[cfg(test)]
mod tests;
