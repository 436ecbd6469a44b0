//! The recorder itself: opened once for a root, then started and taken once for each step.
use std::path::Path;

use crate::{Directories, Lost, Options, Recording, Refused};

/// Records what changes on the superblock of a root, with a fanotify mark on it.
#[derive(Debug)]
pub struct Recorder {}

impl Recorder {
    /// Opens a recorder for the directory `root`.
    pub fn open(_root: &Path, _scratch: &Path, _options: &Options) -> Result<Self, Refused> {
        Ok(Recorder {})
    }

    /// Forgets all heard so far: the recording begins here.
    pub fn start(&mut self) -> Result<(), Lost> {
        Ok(())
    }

    /// All that changed since `start`, or since the last `take`.
    pub fn take(&mut self, _directories: &dyn Directories) -> Recording {
        Recording::Incomplete { why: Lost::NotStarted }
    }

    /// How many events were read since `start`.
    pub fn heard(&self) -> u64 {
        0
    }
}
