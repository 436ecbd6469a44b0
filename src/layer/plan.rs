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

/// The entries of a layer: the change set, and by their names in the tar those that it does not have.
pub(super) struct Plan<'a> {
    changes: &'a ChangeSet,
    added: BTreeMap<RootPath, Added>,
}

#[derive(Clone, Copy)]
enum Added {
    Parent,
    Whiteout,
}

/// The entries of the layer for `changes`. A change set that contradicts itself is an error.
pub(super) fn plan(changes: &ChangeSet) -> Result<Plan<'_>> {
    let mut added = BTreeMap::new();
    for (path, change) in changes {
        match change {
            Change::Put(_) => {}
            Change::Link(first) => linked(changes, path, first)?,
            Change::Remove => drop(added.insert(whiteout(path)?, Added::Whiteout)),
        }
        add_parents(&mut added, changes, path)?;
    }
    Ok(Plan { changes, added })
}

impl Plan<'_> {
    /// All, in order.
    pub(super) fn items(&self) -> impl Iterator<Item = (&RootPath, Item<'_>)> {
        let put = self.changes.iter().filter_map(|(path, change)| match change {
            Change::Put(entry) => Some((path, Item::Put(entry))),
            Change::Link(first) => Some((path, Item::Link(first))),
            Change::Remove => None,
        });
        let added = self.added.iter().map(|(path, added)| match added {
            Added::Parent => (path, Item::Parent),
            Added::Whiteout => (path, Item::Whiteout),
        });
        let (mut put, mut added) = (put.peekable(), added.peekable());
        std::iter::from_fn(move || match (put.peek(), added.peek()) {
            (Some((next, _)), Some((before, _))) if before < next => added.next(),
            (Some(_), _) => put.next(),
            (None, _) => added.next(),
        })
    }
}

fn add_parents(added: &mut BTreeMap<RootPath, Added>, changes: &ChangeSet, path: &RootPath) -> Result<()> {
    for parent in path.ancestors().filter(|parent| !parent.is_root()) {
        match changes.get(&parent) {
            None if added.contains_key(&parent) => break,
            None => {
                added.insert(parent, Added::Parent);
            }
            Some(Change::Put(entry)) if entry.is_directory() => {}
            Some(_) => bail!("{path} is in the change set, but {parent} is no directory there"),
        }
    }
    Ok(())
}

fn linked(changes: &ChangeSet, path: &RootPath, first: &RootPath) -> Result<()> {
    match changes.get(first) {
        Some(Change::Put(entry)) if !entry.is_directory() && first < path => Ok(()),
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
