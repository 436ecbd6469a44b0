//! The trees of finished stages that later stages copy from: moved aside, not copied, where the file system allows.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::site::{Place, Site};
use crate::rootfs::{Copier, Owner, Root, RootPath, Selection, Stamp};

/// Takes the tree of a finished stage out of the way of the next one, into the work directory, and opens it there.
///
/// Below a build root the root directory itself is renamed. In `/` what is at the top is moved, and copied where it is, or
/// holds, something protected or lies on another file system.
pub(super) fn keep(site: &Site, root: Root, index: usize) -> Result<Root> {
    let kept = site.own_dir("stages")?.join(index.to_string());
    match &site.place {
        Place::Below(_) => {
            let from = site.root_dir();
            fs::rename(&from, &kept).with_context(|| format!("rename {} to {}", from.display(), kept.display()))?;
        }
        Place::InPlace => move_top_level(&site.spare(root), &kept)?,
    }
    Ok(Root::open(&kept)?)
}

fn copy(from: &Root, to: &Root, path: &RootPath) -> Result<()> {
    let protected = |path: &RootPath, _| if from.is_protected(path) { Selection::Skip } else { Selection::Take };
    let mut copier = Copier::new(from, to, Stamp { owner: Owner::Kept, mode: None }, &protected);
    Ok(copier.copy(path, path)?)
}

fn move_top_level(root: &Root, kept: &Path) -> Result<()> {
    fs::create_dir_all(kept).with_context(|| format!("create {}", kept.display()))?;
    let to = Root::open(kept)?;
    for name in root.read_dir(&RootPath::root())? {
        let path = RootPath::root().join_name(&name);
        if root.is_protected(&path) {
            continue;
        }
        let moved = !root.holds_protected(&path) && fs::rename(path.below(root.path()), path.below(kept)).is_ok();
        if !moved {
            copy(root, &to, &path).with_context(|| format!("copy {path} for later stages"))?;
        }
    }
    Ok(())
}
