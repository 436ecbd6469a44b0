//! The stage that is being built: its image so far, its state, its root once a step needs one, and what is still to be looked at.

use anyhow::Result;
use tracing::warn;

use super::background::{Way, Written};
use super::disk::Disk;
use super::draft::{Draft, Made, Place};
use super::timings::StepTiming;
use super::{Request, Snapshots, Times, Timings};
use crate::cache::Parcel;
use crate::oci::{History, Platform};
use crate::plan::Stage;
use crate::steps::StageState;

/// The stage that is being built.
pub(super) struct Current {
    /// Its position in the plan.
    pub(super) position: usize,
    pub(super) image: Draft,
    pub(super) state: StageState,
    pub(super) platform: Platform,
    /// The volumes of what it starts from.
    pub(super) volumes: Vec<String>,
    /// Its root, since the first step that needed one.
    pub(super) disk: Option<Disk>,
    /// As many layers of the image are in the root.
    pub(super) applied: usize,
    /// Steps whose changes are not in a layer yet.
    pub(super) pending: Vec<Pending>,
    /// The layer for all of them, where the cache has it, or once it is written.
    pub(super) single: Option<Made>,
    /// Entries for the cache of steps that something may still be found out about.
    pub(super) held: Vec<Parcel>,
}

/// A step that waits for the snapshot of its stage.
pub(super) struct Pending {
    pub(super) text: String,
    /// Whether it is of a kind that changes files: what a step of the cache did is not known.
    pub(super) writes: bool,
}

impl Current {
    pub(super) fn new(position: usize, image: Draft, state: StageState, platform: Platform) -> Current {
        let volumes = state.config.config.volumes.keys().cloned().collect();
        let (disk, applied, pending, single, held) = (None, 0, Vec::new(), None, Vec::new());
        Current { position, image, state, platform, volumes, disk, applied, pending, single, held }
    }

    /// Takes what snapshot is still to be taken before anything of the stage is used. Whether the steps' layers have all that
    /// they changed.
    pub(super) fn end(&mut self, stage: &Stage, way: &Way<'_>, timings: &Timings) -> Result<bool> {
        match way.request.snapshots {
            Snapshots::EachStep => self.settle(stage, way, timings),
            Snapshots::EachStage => self.snapshot_all(stage, way, timings).map(|()| true),
        }
    }

    /// Looks once more where a recording may have missed something. What is found is a layer of its own, and then the result
    /// is false.
    pub(super) fn settle(&mut self, stage: &Stage, way: &Way<'_>, timings: &Timings) -> Result<bool> {
        let Some(disk) = self.disk.as_mut().filter(|disk| !disk.is_settled()) else { return Ok(true) };
        let text = "what directory watches did not hear of";
        let mut timing = timing_of(stage, text);
        let layer = disk.settle(way, &mut timing);
        timings.step(timing);
        match layer? {
            None => Ok(true),
            Some(layer) => {
                warn!(
                    "A step changed files in a way that directory watches do not hear of; they are in a layer of their own"
                );
                self.extend(way.request, Some(made(&layer, Place::of(&stage.from))), text)?;
                self.applied = self.image.layers();
                Ok(false)
            }
        }
    }

    /// One layer for all steps. It stands with the last of them that can have changed files.
    fn snapshot_all(&mut self, stage: &Stage, way: &Way<'_>, timings: &Timings) -> Result<()> {
        match &mut self.disk {
            Some(disk) if disk.is_touched() => {
                let mut timing = timing_of(stage, "the single snapshot of the stage");
                let taken = disk.snapshot_all(way, &mut timing);
                timings.step(timing);
                let taken = taken?;
                if let Some(path) = disk.take_heeded() {
                    self.state.wrote_below_volume(&path);
                }
                self.single = taken.as_ref().map(|layer| made(layer, Place::of(&stage.from)));
            }
            _ => {}
        }
        let pending = std::mem::take(&mut self.pending);
        let last = pending.iter().rposition(|step| step.writes);
        for (at, step) in pending.iter().enumerate() {
            let layer = if Some(at) == last { self.single.clone() } else { None };
            self.extend(way.request, layer, &step.text)?;
        }
        if self.disk.is_some() {
            self.applied = self.image.layers();
        }
        Ok(())
    }

    /// Adds what a step left to the image: a layer, if it has one, and a row of the history.
    pub(super) fn extend(&mut self, request: &Request, layer: Option<Made>, text: &str) -> Result<()> {
        let is_kanikos = request.reading.compat.history_of_layers;
        let history = if is_kanikos { kanikos_row(text) } else { row(text, request.times) };
        if layer.is_none() && is_kanikos {
            return Ok(());
        }
        self.image.push(layer, history)
    }
}

/// A layer that was written here, by what stands at `place`.
pub(super) fn made(layer: &Written, place: Place) -> Made {
    Made::Pending(layer.pending.clone(), place)
}

/// Figures of a snapshot that belongs to no single step.
fn timing_of(stage: &Stage, text: &str) -> StepTiming {
    let (line, instruction) = (stage.from.span.first, text.to_owned());
    StepTiming { stage: stage.index, line, instruction, ..StepTiming::default() }
}

fn row(text: &str, times: Times) -> History {
    History { created: Some(times.created()), created_by: Some(text.to_owned()), ..History::default() }
}

/// A row as kaniko 1.24 writes it: its time is Go's zero.
fn kanikos_row(text: &str) -> History {
    let (created, author) = (Some("0001-01-01T00:00:00Z".to_owned()), Some("kaniko".to_owned()));
    History { created, created_by: Some(text.to_owned()), author, ..History::default() }
}
