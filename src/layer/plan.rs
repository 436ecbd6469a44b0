//! The order of a layer: which entry comes when, before any byte is read.
//!
//! Byte order of names puts a parent before its children and the first name of a linked file before the others. Parents
//! of what changes are added once each.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::rootfs::{Entry, RootPath};
use crate::snapshot::{Change, ChangeSet};

/// One entry of the layer, under its name in the tar.
pub(super) enum Item<'a> {
    /// A directory that did not change but holds what did.
    Parent,
    Put(&'a Entry),
    /// A hard link to an earlier entry.
    Link(&'a RootPath),
    Whiteout,
}

/// The entries of the layer for `changes`, in order. A change set that contradicts itself is an error.
pub(super) fn plan(changes: &ChangeSet) -> Result<BTreeMap<RootPath, Item<'_>>> {
    let mut items = BTreeMap::new();
    for (path, change) in changes {
        let (name, item) = match change {
            Change::Put(entry) => (path.clone(), Item::Put(entry)),
            Change::Link(first) => (path.clone(), Item::Link(linked(changes, path, first)?)),
            Change::Remove => (whiteout(path)?, Item::Whiteout),
        };
        items.insert(name, item);
        add_parents(&mut items, changes, path)?;
    }
    Ok(items)
}

fn add_parents<'a>(items: &mut BTreeMap<RootPath, Item<'a>>, changes: &'a ChangeSet, path: &RootPath) -> Result<()> {
    for parent in path.ancestors().filter(|parent| !parent.is_root()) {
        match changes.get(&parent) {
            None if items.contains_key(&parent) => break,
            None => {
                items.insert(parent, Item::Parent);
            }
            Some(Change::Put(entry)) if entry.is_directory() => {}
            Some(_) => bail!("{path} is in the change set, but {parent} is no directory there"),
        }
    }
    Ok(())
}

fn linked<'a>(changes: &ChangeSet, path: &RootPath, first: &'a RootPath) -> Result<&'a RootPath> {
    match changes.get(first) {
        Some(Change::Put(entry)) if !entry.is_directory() && first < path => Ok(first),
        _ => bail!("{path} is a link to {first}, which is not an earlier file of the change set"),
    }
}

/// The name that says "`path` is removed".
fn whiteout(path: &RootPath) -> Result<RootPath> {
    match path.split() {
        Some((parent, name)) => Ok(parent.join_name(&[b".wh.", name].concat())),
        None => bail!("the root cannot be removed"),
    }
}
