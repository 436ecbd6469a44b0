//! The snapshot of one step: candidates become a change set, and the change set a layer, whose blob may follow later.

use std::borrow::Cow;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use nix::time::{ClockId, clock_gettime};
use silt_watcher::{Inode, Nominated};
use tracing::warn;

use super::Verify;
use super::background::{Way, Written};
use super::timings::{StepTiming, nanos};
use crate::rootfs::{Root, RootPath};
use crate::snapshot::{Baseline, Candidates, Change, ChangeSet, diff};

/// What one snapshot gave.
pub(super) struct Taken {
    /// `None` if nothing changed.
    pub(super) layer: Option<Written>,
    /// The directories that came or changed.
    pub(super) directories: Vec<(RootPath, Inode)>,
    /// The first change below one of the directories that the caller heeds.
    pub(super) heeded: Option<RootPath>,
}

/// Directories that are treated apart.
#[derive(Default)]
pub(super) struct Apart {
    /// What changes below them is in the baseline, but in no layer.
    pub(super) dropped: Vec<RootPath>,
    /// What changes below them is told.
    pub(super) heeded: Vec<RootPath>,
}

/// Compares, writes the layer if anything changed, and brings the baseline up to date.
pub(super) fn take(
    way: &Way<'_>,
    root: &Root,
    baseline: &mut Baseline,
    candidates: Candidates,
    apart: &Apart,
    timing: &mut StepTiming,
) -> Result<Taken> {
    let started = Instant::now();
    let nominated = count(&candidates);
    let diff = diff(root, baseline, candidates).context("snapshot")?;
    timing.diff_ns = nanos(started.elapsed());
    timing.candidates = nominated.unwrap_or(diff.stats);
    timing.stats += diff.stats;
    timing.changes = diff.changes.len() as u64;
    timing.bytes_in = diff.read_bytes;
    for path in &diff.sockets {
        warn!("{path} is a socket, which no layer can hold");
    }
    if way.request.verify == Verify::Each {
        verify(root, baseline, &diff.changes)?;
    }
    let started = Instant::now();
    let changes = if apart.dropped.is_empty() {
        Cow::Borrowed(&diff.changes)
    } else {
        Cow::Owned(diff.changes.without_below(&apart.dropped))
    };
    let heeded = changes.below(&apart.heeded).cloned();
    let mut written =
        if changes.is_empty() { None } else { Some(way.write(root, &changes).context("write the layer")?) };
    drop(changes);
    timing.layer_ns = nanos(started.elapsed());
    let directories = diff.directories().map(|(path, inode)| (path.clone(), inode)).collect();
    let contents = written.as_mut().map(|layer| std::mem::take(&mut layer.tar.contents));
    baseline.apply(diff, contents.unwrap_or_default());
    if let Some(layer) = &written {
        timing.bytes_in += layer.tar.size;
        timing.spilled_bytes += layer.spilled;
        timing.blob = Some(layer.pending.blob.clone());
    }
    Ok(Taken { layer: written, directories, heeded })
}

/// How many candidates there are, unless that is a matter of what there is.
fn count(candidates: &Candidates) -> Option<u64> {
    match candidates {
        Candidates::Everything => None,
        Candidates::Only(Nominated { paths, trees, inodes }) => Some((paths.len() + trees.len() + inodes.len()) as u64),
    }
}

/// Walks everything too and fails, naming paths, if the nominated candidates led to another change set.
fn verify(root: &Root, baseline: &Baseline, found: &ChangeSet) -> Result<()> {
    const SHOWN: usize = 20;
    let full = diff(root, baseline, &Candidates::Everything).context("verify the snapshot")?.changes;
    let differs = |set: &ChangeSet, other: &ChangeSet| -> Vec<String> {
        let only = |(path, change): (_, &Change)| (other.get(path) != Some(change)).then(|| path.to_string());
        set.iter().filter_map(only).collect()
    };
    let (missed, superfluous) = (differs(&full, found), differs(found, &full));
    if missed.is_empty() && superfluous.is_empty() {
        return Ok(());
    }
    let list = |paths: &[String]| paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    bail!(
        "the snapshot and a walk that reads everything disagree: {} missed ({}), {} superfluous ({})",
        missed.len(),
        list(&missed),
        superfluous.len(),
        list(&superfluous)
    )
}

/// The processor time of this process so far, in nanoseconds.
pub(super) fn cpu_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(0, |time| nanos(time.into()))
}
