//! Where COPY and ADD put things: the last word of the instruction, relative to WORKDIR.

use anyhow::{Result, bail};

use super::state::StageState;
use crate::rootfs::{Onto, Root, RootPath};

/// The destination of an instruction, links not yet followed.
pub(super) struct Destination {
    path: RootPath,
    directory: Named,
    onto: Onto,
}

/// What the destination's spelling says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// It ends with a slash, or with the dot of a directory: it is a directory.
    Directory,
    /// Nothing.
    Either,
}

impl Destination {
    /// Reads the expanded `word`. What stands in a fresh tree's way has no say in what it is.
    pub(super) fn new(state: &StageState, word: &str, onto: Onto) -> Result<Self> {
        let last = word.rsplit('/').next().unwrap_or_default();
        let directory = if matches!(last, "" | ".") { Named::Directory } else { Named::Either };
        Ok(Destination { path: state.path(word)?, directory, onto })
    }

    /// Where it really is, links on the way and at its end followed inside the root. It may be missing. A fresh tree has no
    /// links to follow.
    pub(super) fn exact(&self, root: &Root) -> Result<RootPath> {
        match self.onto {
            Onto::Standing => Ok(root.resolve(self.path.as_bytes())?),
            Onto::Fresh => Ok(self.path.clone()),
        }
    }

    /// Whether a file goes into it under its own name.
    pub(super) fn is_directory(&self, root: &Root) -> Result<bool> {
        Ok(self.path.is_root()
            || self.directory == Named::Directory
            || (self.onto == Onto::Standing && stands_as_directory(root, &self.exact(root)?)?))
    }

    /// The outermost directory on the way to it that is missing.
    pub(super) fn missing_way(&self, root: &Root) -> Result<Option<RootPath>> {
        let exact = self.exact(root)?;
        let way = match self.directory {
            Named::Directory => Some(exact),
            Named::Either => exact.parent(),
        };
        for path in way
            .iter()
            .flat_map(|way| [way.clone()].into_iter().chain(way.ancestors()))
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            if !path.is_root() && root.observe(&path)?.is_none() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Refuses several sources of which one would replace another; `is_alone` says that one is no directory.
    pub(super) fn check_room(&self, root: &Root, sources: usize, is_alone: bool) -> Result<()> {
        if sources > 1 && is_alone && !self.is_directory(root)? {
            bail!("with more than one source the destination must be a directory and end with /");
        }
        Ok(())
    }
}

fn stands_as_directory(root: &Root, path: &RootPath) -> Result<bool> {
    Ok(root.observe(path)?.is_some_and(|node| node.entry.is_directory()))
}
