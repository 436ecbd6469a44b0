//! WORKDIR: sets the working directory and makes it, with its parents, where it is missing.
//!
//! New directories have mode 0755 and belong to USER, parents too, as with BuildKit; those that are there stay as they are.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};

use super::state::StageState;
use super::{Touched, differences};
use crate::rootfs::{Root, RootPath, users};

const MODE: u32 = 0o755;

pub(super) fn workdir(state: &mut StageState, root: &Root, word: &str) -> Result<Touched> {
    let path = destination(state, word)?;
    let made = make(state, root, &path)?;
    let uid =
        made.iter().next().map(|first| root.observe(first)).transpose()?.flatten().map_or(0, |node| node.entry.uid);
    state.differences.extend(differences::of_workdir(made.len(), uid));
    enter(state, word)?;
    Ok(if made.is_empty() { Touched::Directory(root.resolve(path.as_bytes())?) } else { Touched::Paths(made) })
}

/// Makes the directory the working directory, wherever it leads to.
pub(super) fn enter(state: &mut StageState, word: &str) -> Result<RootPath> {
    let path = destination(state, word)?;
    state.config.config.working_dir = format!("/{}", String::from_utf8_lossy(path.as_bytes()));
    Ok(path)
}

/// The directory that `word` names, as the image calls it.
pub(super) fn destination(state: &StageState, word: &str) -> Result<RootPath> {
    let dir = state.expand(word)?;
    if dir.is_empty() {
        bail!("the path is empty");
    }
    state.path(&dir)
}

/// Makes the directory `path` of the image for the stage's user; returns what was missing.
pub(super) fn make(state: &StageState, root: &Root, path: &RootPath) -> Result<BTreeSet<RootPath>> {
    let exact = root.resolve(path.as_bytes())?;
    match root.observe(&exact)? {
        Some(node) if node.entry.is_directory() => return Ok(BTreeSet::new()),
        Some(_) => bail!("{path} is not a directory"),
        None => {}
    }
    let owner = match state.user() {
        "" => users::Owner { uid: 0, gid: 0 },
        user => users::resolve_owner(root, user)?,
    };
    let made = root
        .create_dir_all(&exact, MODE, owner.uid, owner.gid)
        .with_context(|| format!("make the directory {path}"))?;
    Ok(made.into_iter().collect())
}
