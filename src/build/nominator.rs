//! Who says where to look after a step: the recorder where the kernel allows one, otherwise nobody, and then the whole tree
//! is compared by content. Every step down is named, with its reason, in the log and in the timings.

use std::path::Path;

use silt_watcher::{Options, Recorder, Recording};
use tracing::{info, warn};

use super::SnapshotMode;
use crate::snapshot::{Baseline, Candidates};

/// What nominates the candidates of a stage's RUN steps.
pub(super) enum Nominator {
    /// The superblock mark of fanotify.
    Fanotify(Box<Recorder>),
    /// Nobody: every path is a candidate.
    Full {
        /// Why no recorder runs; `None` where the user asked for the walk.
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
}

impl Nominator {
    /// Chooses for `root`. `scratch` is a private directory of ours on the same file system.
    pub(super) fn open(mode: SnapshotMode, root: &Path, scratch: &Path) -> Self {
        if mode == SnapshotMode::Full {
            return Nominator::Full { why: None };
        }
        match Recorder::open(root, scratch, &Options::default()) {
            Ok(recorder) => {
                info!("Recording file events of {} with fanotify", root.display());
                Nominator::Fanotify(Box::new(recorder))
            }
            Err(refused) => {
                warn!("No file events here, so each RUN is followed by a walk of the whole tree: {refused}");
                Nominator::Full { why: Some(refused.to_string()) }
            }
        }
    }

    /// Begins the recording of one step. A recorder that cannot begin is given up for the rest of the stage.
    pub(super) fn start(&mut self) {
        if let Nominator::Fanotify(recorder) = self
            && let Err(lost) = recorder.start()
        {
            warn!("File events are given up: {lost}");
            *self = Nominator::Full { why: Some(lost.to_string()) };
        }
    }

    /// Ends the recording of the step. All of the step's processes must be dead.
    pub(super) fn take(&mut self, baseline: &Baseline) -> Answer {
        match self {
            Nominator::Full { why } => everything(why.clone(), 0),
            Nominator::Fanotify(recorder) => {
                let recording = recorder.take(baseline);
                answer(recording, recorder.heard())
            }
        }
    }
}

fn answer(recording: Recording, events: u64) -> Answer {
    match recording {
        Recording::Complete(nominated) => {
            Answer { candidates: Candidates::Only(nominated), recorder: "fanotify", why: None, events }
        }
        Recording::Partial(_) => everything(Some("the recording is partial".to_owned()), events),
        Recording::Incomplete { why } => {
            warn!("This step's file events were lost, so the whole tree is walked: {why}");
            everything(Some(why.to_string()), events)
        }
    }
}

fn everything(why: Option<String>, events: u64) -> Answer {
    Answer { candidates: Candidates::Everything, recorder: "full", why, events }
}

#[cfg(test)]
mod tests {
    use silt_watcher::{Lost, Nominated};

    use super::*;

    #[test]
    fn only_a_complete_recording_narrows_the_look() {
        let complete = answer(Recording::Complete(Nominated::default()), 3);
        assert!(matches!(complete.candidates, Candidates::Only(_)));
        for recording in [Recording::Partial(Nominated::default()), Recording::Incomplete { why: Lost::Overflow }] {
            let answer = answer(recording, 3);
            assert!(matches!(answer.candidates, Candidates::Everything));
            assert_eq!(answer.recorder, "full");
            assert!(answer.why.is_some());
        }
    }
}
