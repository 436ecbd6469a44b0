//! `--mount=type=bind`: a part of a tree, shown as it is where that can be read only, otherwise as a copy.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use crate::dockerfile;
use crate::plan::Compat;
use crate::rootfs::{Copier, Entry, Onto, Root, RootPath, Stamp};
use crate::steps::run::{Access, After, Isolation, What};
use crate::steps::source::{Found, find_one};
use crate::steps::{Sources, Tree, transfer};

/// The name of a copied file or directory in the staging directory of its mount.
const NAME: &[u8] = b"shown";

/// Finds `source` in `tree` and prepares what is shown.
pub(super) fn prepare(
    tree: &Tree<'_>,
    source: &str,
    access: dockerfile::Access,
    number: usize,
    sources: &Sources<'_>,
) -> Result<What> {
    let found = find_one(tree, if source.is_empty() { "/" } else { source })?;
    let is_isolated = sources.isolation == Isolation::Isolated;
    if let (Tree::Files(root), true, dockerfile::Access::ReadOnly) = (tree, is_isolated, access) {
        let source = found.path.below(root.path()).into();
        return Ok(What::Lent { source, access: Access::ReadOnly, after: After::Kept });
    }
    let access = match access {
        dockerfile::Access::ReadOnly => Access::ReadOnly,
        dockerfile::Access::ReadWrite => Access::ReadWrite,
    };
    let place = sources.own.join(format!("bind-{number}"));
    copy(tree, &found, &place)?;
    let source = place.join(String::from_utf8_lossy(NAME).as_ref()).into();
    Ok(What::Lent { source, access, after: After::Dropped })
}

/// Copies what was found into the new directory `place`.
pub(super) fn copy(tree: &Tree<'_>, found: &Found, place: &Path) -> Result<()> {
    std::fs::create_dir(place).with_context(|| format!("create {}", place.display()))?;
    let to = Root::open(place)?;
    let target = RootPath::clean(NAME).ok_or_else(|| anyhow!("a bad name"))?;
    let stamp = Stamp { owner: transfer::default_owner(tree, &Compat::default()), mode: None };
    let mut copier = Copier::new(tree.root(), &to, stamp, Onto::Standing);
    let filter = |path: &RootPath, is_directory| tree.selection(path, is_directory);
    copier.copy(&found.path, &target, &filter).context("copy what a mount shows")?;
    if found.node.entry.is_directory() {
        let mut entry = Entry::clone(&found.node.entry);
        if let Tree::Context { .. } = tree {
            (entry.uid, entry.gid) = (0, 0);
        }
        to.set_attributes(&target, &entry)?;
    }
    Ok(())
}
