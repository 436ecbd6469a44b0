//! Where COPY and ADD put things: the last word of the instruction, relative to WORKDIR.

use anyhow::{Result, bail};

use super::source::Found;
use super::state::StageState;
use crate::rootfs::{Kind, Root, RootPath};

/// The destination of an instruction, links not yet followed.
pub(super) struct Destination {
    path: RootPath,
    directory: Named,
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
    /// Reads the expanded `word`.
    pub(super) fn new(state: &StageState, word: &str) -> Result<Self> {
        let last = word.rsplit('/').next().unwrap_or_default();
        let directory = if matches!(last, "" | ".") { Named::Directory } else { Named::Either };
        Ok(Destination { path: state.path(word)?, directory })
    }

    /// Where it really is, links on the way and at its end followed inside the root. It may be missing.
    pub(super) fn exact(&self, root: &Root) -> Result<RootPath> {
        Ok(root.resolve(self.path.as_bytes())?)
    }

    /// The directory that a file goes into under its own name; `None` if the destination is the file itself.
    pub(super) fn as_directory(&self, root: &Root) -> Result<Option<RootPath>> {
        let exact = self.exact(root)?;
        let is_directory = self.directory == Named::Directory || stands_as_directory(root, &exact)?;
        Ok(is_directory.then_some(exact))
    }

    /// Refuses several sources of which one would replace another.
    pub(super) fn check_room(&self, root: &Root, found: &[Found]) -> Result<()> {
        let replaces = found.len() > 1 && found.iter().any(|found| found.node.entry.kind != Kind::Directory);
        if replaces && self.as_directory(root)?.is_none() {
            bail!("with more than one source the destination must be a directory and end with /");
        }
        Ok(())
    }
}

fn stands_as_directory(root: &Root, path: &RootPath) -> Result<bool> {
    Ok(root.observe(path)?.is_some_and(|node| node.entry.is_directory()))
}
