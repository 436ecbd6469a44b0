//! What a step changed: the root compared with the record of it.
//!
//! Events nominate, this decides. [`diff`] looks at the candidates, compares each with the baseline by attributes and
//! content, and says what a layer must hold so that base + layer = tree. `Everything`, and any set of candidates that
//! covers the real changes, give the same change set: all deciding code is shared. Paths that the root protects are left
//! out. It knows neither tar nor images, and it writes nothing below the root.
//!
//! Where there are no events, [`sweep`] nominates: it compares what `stat(2)` says of every path with the record, if
//! [`ctime_tells`] of every change.

mod baseline;
mod changes;
mod content;
mod diff;
mod groups;
mod survey;
mod sweep;
#[cfg(test)]
mod tests;

pub use baseline::{Baseline, Contents};
pub use changes::{Change, ChangeSet};
pub use content::{Stamp, digest};
pub use diff::{Diff, diff};
pub use sweep::{Attributes, SweepOptions, Swept, sweep};

pub use crate::ctime::{Distrust, Guard, Tick, ctime_tells};
use silt_watcher::Nominated;

/// Which paths the differ looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// All paths on disk and all of the record.
    Everything,
    /// These, and what follows from them: parents, other names of the same inodes, what is below a replaced directory.
    Only(Nominated),
}
