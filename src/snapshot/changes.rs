//! The outcome of a comparison: what must happen to the base so that it becomes the tree.

use std::collections::BTreeMap;
use std::collections::btree_map;

use crate::rootfs::{Entry, RootPath};

/// What happens to one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It becomes this, whatever it was. The content of a file is on disk; where the digest is there, it must match.
    Put(Entry),
    /// It becomes another name of the file that is `Put` at this path, which sorts before it.
    Link(RootPath),
    /// It and everything below it goes. Only the top-most path of what goes is named.
    Remove,
}

/// Changes by path, in byte order. Nothing is below a path that is removed or becomes a non-directory, and all names that
/// a changed file has in the image are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet(BTreeMap<RootPath, Change>);

impl ChangeSet {
    /// What happens to `path`, if anything.
    pub fn get(&self, path: &RootPath) -> Option<&Change> {
        self.0.get(path)
    }

    /// All, in order.
    pub fn iter(&self) -> btree_map::Iter<'_, RootPath, Change> {
        self.0.iter()
    }

    /// How many paths change.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing changed: such a step makes no layer.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes a change; a later one for the same path replaces it.
    pub(super) fn insert(&mut self, path: RootPath, change: Change) {
        self.0.insert(path, change);
    }
}

impl<'a> IntoIterator for &'a ChangeSet {
    type Item = (&'a RootPath, &'a Change);
    type IntoIter = btree_map::Iter<'a, RootPath, Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromIterator<(RootPath, Change)> for ChangeSet {
    fn from_iter<I: IntoIterator<Item = (RootPath, Change)>>(items: I) -> Self {
        ChangeSet(items.into_iter().collect())
    }
}
