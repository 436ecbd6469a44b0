//! Who says where to look after a step: a mark on the superblock where the kernel allows one; in a large tree with several
//! steps a watch on every directory, and one sweep at the end of the stage for what watches do not hear of; else a sweep
//! after each step, where `ctime` can be relied upon; else nobody, and then the whole tree is compared by content. A
//! recording that was lost takes the same way down, for one step. Every step down is named, with its reason, in the log
//! and in the timings. Kaniko's modes are a sweep that compares less.

mod source;

use std::path::PathBuf;

use anyhow::Result;
use silt_watcher::{Inode, Options, Recording};

use super::{RecorderChoice, SnapshotMode, Snapshots, Verify};
use crate::rootfs::{Root, RootPath};
use crate::snapshot::{Attributes, Baseline, Candidates, Guard, SweepOptions, Tick, sweep};
use source::Source;

/// What the choice depends on besides the machine.
pub struct Wanted {
    /// How changes are found.
    pub mode: SnapshotMode,
    /// What was asked for.
    pub choice: RecorderChoice,
    /// Where each step is checked alone, each must be exact alone.
    pub verify: Verify,
    /// When they are looked for.
    pub snapshots: Snapshots,
    /// How many RUN steps the stage has.
    pub runs: usize,
    /// How recorders record.
    pub options: Options,
}

/// What nominates the candidates of a stage's RUN steps.
pub struct Nominator {
    source: Source,
    /// A step was answered with less than everything, and nothing has made up for it yet.
    unsettled: bool,
    /// Why a recorder was given up, until an answer tells.
    given_up: Option<String>,
    /// Taken when the step began, for a sweep after it.
    guard: Guard,
    /// A private directory on the root's file system.
    scratch: PathBuf,
}

/// What a nominator answers for one step.
pub struct Answer {
    /// Where to look.
    pub candidates: Candidates,
    /// The name that timings give it.
    pub recorder: &'static str,
    /// Why a better recorder was not used.
    pub why: Option<String>,
    /// Why what was hoped for did not come, where this answer makes up for it. It is to be said with what that cost.
    pub lost: Option<String>,
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
    pub fn open(wanted: &Wanted, root: &Root, scratch: PathBuf, baseline: &Baseline) -> Result<Self> {
        let source = Source::open(wanted, root, &scratch, baseline)?;
        Ok(Nominator { source, unsettled: false, given_up: None, guard: Guard::now(), scratch })
    }

    /// For a stage that has no step of which nobody knows what it wrote.
    pub fn none() -> Self {
        let (source, guard, scratch) = (Source::Full { why: None }, Guard::now(), PathBuf::new());
        Nominator { source, unsettled: false, given_up: None, guard, scratch }
    }

    /// Begins one step. A recorder that cannot begin is given up for the rest of the stage.
    pub fn start(&mut self, root: &Root, baseline: &Baseline) -> Guard {
        let started = match &mut self.source {
            Source::Fanotify(recorder) => recorder.start(),
            Source::Dirwatch { watches, .. } => watches.start(),
            Source::Sweep { .. } | Source::Full { .. } => Ok(()),
        };
        if let Err(lost) = started {
            self.give_up(root, format!("no events can be recorded any more: {lost}"));
        }
        self.guard = match self.source {
            Source::Dirwatch { .. } | Source::Sweep { attributes: Attributes::All, .. } => {
                Guard::past(baseline.newest_ctime(), Tick(1))
            }
            // A sweep after a loss does without the wait: it has the files of the current tick compared.
            _ => Guard::now(),
        };
        if matches!(self.source, Source::Dirwatch { .. }) && !self.guard.is_past(baseline.newest_ctime()) {
            // The sweep at the end compares stamps with the last step's clock only, so each must be past the record.
            self.give_up(root, "directories cannot be watched: the clock is behind the files' stamps".to_owned());
        }
        self.guard
    }

    /// Ends one step. All of the step's processes must be dead.
    pub fn take(&mut self, root: &Root, baseline: &Baseline) -> Answer {
        let (heard, events) = match &mut self.source {
            Source::Fanotify(recorder) => (complete(recorder.take(baseline)), recorder.heard()),
            Source::Dirwatch { watches, .. } => (heard_of(watches.take(baseline)), watches.heard()),
            Source::Sweep { .. } | Source::Full { .. } => {
                let lost = self.given_up.take();
                return self.look(root, baseline).after(lost);
            }
        };
        let answer = match (heard, &self.source) {
            (Ok(candidates), Source::Dirwatch { why, .. }) => {
                self.unsettled = true;
                Answer::of("dirwatch", candidates, why.clone())
            }
            (Ok(candidates), _) => Answer::of("fanotify", candidates, None),
            (Err(lost), _) => self.instead(root, baseline, Some(lost.clone())).after(Some(lost)),
        };
        Answer { events, ..answer }
    }

    /// The same for the only snapshot of a stage: nothing is left to settle.
    pub fn take_settled(&mut self, root: &Root, baseline: &Baseline) -> Answer {
        let heard = self.take(root, baseline);
        let events = heard.events;
        let answer = self.settle(root, baseline).unwrap_or(heard);
        Answer { events, ..answer }
    }

    /// Tells of directories that came or changed in the step that was looked at last. Watches that cannot be placed are given
    /// up for the rest of the stage.
    pub fn follow(&mut self, root: &Root, directories: Vec<(RootPath, Inode)>) {
        let Source::Dirwatch { watches, .. } = &mut self.source else { return };
        let placed = watches.watch(directories.iter().map(|(path, inode)| (path.as_bytes(), *inode)));
        if let Err(refused) = placed {
            self.give_up(root, format!("new directories cannot be watched: {refused}"));
        }
    }

    /// Whether no step was answered with less than everything, or that was made up for.
    pub fn is_settled(&self) -> bool {
        !self.unsettled
    }

    /// Looks at everything once, if a step was answered with less. Nothing of the stage may be used before.
    pub fn settle(&mut self, root: &Root, baseline: &Baseline) -> Option<Answer> {
        let lost = self.given_up.take();
        self.unsettled.then(|| self.instead(root, baseline, None).after(lost))
    }

    /// Does without a recorder for the rest of the stage.
    fn give_up(&mut self, root: &Root, why: String) {
        self.source = Source::without_events(root, &self.scratch, Some(why.clone()));
        self.given_up = Some(why);
    }

    /// A sweep, or the walk, in place of what was heard.
    fn instead(&mut self, root: &Root, baseline: &Baseline, why: Option<String>) -> Answer {
        let usual = std::mem::replace(&mut self.source, Source::without_events(root, &self.scratch, why));
        let answer = self.look(root, baseline);
        self.source = usual;
        answer
    }

    /// The answer of a source that listens to nothing.
    fn look(&mut self, root: &Root, baseline: &Baseline) -> Answer {
        self.unsettled = false;
        let why = self.source.why();
        let Source::Sweep { attributes, .. } = self.source else {
            return Answer::of("full", Candidates::Everything, why);
        };
        let recorder = match attributes {
            Attributes::All | Attributes::AllButCtime => "sweep",
            Attributes::Redo => "redo",
            Attributes::Time => "time",
        };
        match sweep(root, baseline, &self.guard, &SweepOptions { attributes, ..SweepOptions::default() }) {
            Ok(swept) => {
                let answer = Answer::of(recorder, Candidates::Only(swept.nominated), why);
                Answer { stats: swept.stats, ..answer }
            }
            Err(error) => {
                let lost = format!("the sweep failed: {error:#}");
                Answer { lost: Some(lost.clone()), ..Answer::of("full", Candidates::Everything, Some(lost)) }
            }
        }
    }
}

impl Answer {
    fn of(recorder: &'static str, candidates: Candidates, why: Option<String>) -> Answer {
        Answer { candidates, recorder, why, lost: None, events: 0, stats: 0 }
    }

    /// The same where it makes up for something that was lost before.
    fn after(mut self, lost: Option<String>) -> Answer {
        let all: Vec<String> = lost.into_iter().chain(self.lost.take()).collect();
        self.lost = (!all.is_empty()).then(|| all.join("; "));
        self
    }
}

/// What an exact recording narrows the look to; the reason, if it does not.
fn complete(recording: Recording) -> Result<Candidates, String> {
    match recording {
        Recording::Partial(_) => Err("the recording is partial".to_owned()),
        other => heard_of(other),
    }
}

/// The same where something will make up for what a recording does not have.
fn heard_of(recording: Recording) -> Result<Candidates, String> {
    match recording {
        Recording::Complete(nominated) | Recording::Partial(nominated) => Ok(Candidates::Only(nominated)),
        Recording::Incomplete { why } => Err(format!("this step's events were lost: {why}")),
    }
}

#[cfg(test)]
mod tests;
