//! The root of a finished stage, left as it is for the stage that goes on from it.
//!
//! Emptying it and unpacking the same layers again would give the same tree, but for the times of directories that a step touched
//! without a trace. It is left only where that holds: what no layer has (sockets, what stood there before, mounts, what a snapshot
//! mode misses or a volume drops) would be seen by the next stage.

use super::Request;
use super::disk::Disk;
use super::mode::SnapshotMode;
use crate::plan::Stage;
use crate::rootfs::Root;
use crate::snapshot::Baseline;

/// A root, and the record of it.
pub(super) struct Standing {
    /// The position of the stage that it is for.
    pub(super) stage: usize,
    pub(super) root: Root,
    pub(super) baseline: Baseline,
    /// As many layers of that stage's base are in it.
    pub(super) applied: usize,
}

impl Standing {
    /// What `disk` holds at the end of `stage`, `applied` layers of its image, if another stage goes on from there and would unpack just that.
    pub(super) fn after(stage: &Stage, disk: Disk, applied: usize, request: &Request) -> Option<Standing> {
        let next = stage.continued_by?;
        let misses_nothing = matches!(request.snapshot_mode, SnapshotMode::Events | SnapshotMode::Full);
        if !misses_nothing || request.reading.compat.volume_drops_changes {
            return None;
        }
        let (root, baseline) = disk.into_carried()?;
        Some(Standing { stage: next, root, baseline, applied })
    }

    /// The same for the stage that goes on from `stage`, which had no use for a root.
    pub(super) fn passed_on(self, stage: &Stage) -> Option<Standing> {
        Some(Standing { stage: stage.continued_by?, ..self })
    }
}
