//! A record of a tree: each path and what stood there, ordered by path bytes.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Bound;

use super::{Node, RootPath};

/// Paths and their nodes. The root itself may have a node too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<RootPath, Node>);

impl Tree {
    /// What stands at `path`.
    pub fn get(&self, path: &RootPath) -> Option<&Node> {
        self.0.get(path)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, path: &RootPath) -> Option<&mut Node> {
        self.0.get_mut(path)
    }

    /// Records `node` at `path` and returns what the record had there. Entries below stay: the caller removes them if
    /// `node` is no directory.
    pub fn insert(&mut self, path: RootPath, node: Node) -> Option<Node> {
        self.0.insert(path, node)
    }

    /// Forgets `path` alone.
    pub fn remove(&mut self, path: &RootPath) -> Option<Node> {
        self.0.remove(path)
    }

    /// Everything strictly below `path`, in order.
    pub fn below(&self, path: &RootPath) -> impl Iterator<Item = (&RootPath, &Node)> {
        let (from, to) = bounds_below(path);
        self.0.range((from, to)).filter(|(p, _)| !p.is_root())
    }

    /// `path` if it is there, then everything below it, in order.
    pub fn at_or_below(&self, path: &RootPath) -> impl Iterator<Item = (&RootPath, &Node)> {
        self.0.get_key_value(path).into_iter().chain(self.below(path))
    }

    /// Forgets `path` and everything below it, and returns what that was.
    pub fn remove_tree(&mut self, path: &RootPath) -> Vec<(RootPath, Node)> {
        let paths: Vec<RootPath> = self.at_or_below(path).map(|(p, _)| p.clone()).collect();
        paths.into_iter().filter_map(|p| self.0.remove_entry(&p)).collect()
    }

    /// All, in order.
    pub fn iter(&self) -> btree_map::Iter<'_, RootPath, Node> {
        self.0.iter()
    }

    /// How many paths there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The range of keys strictly below `path`: they all begin with `path/`, and `0` is the byte after `/`.
fn bounds_below(path: &RootPath) -> (Bound<RootPath>, Bound<RootPath>) {
    if path.is_root() {
        return (Bound::Unbounded, Bound::Unbounded);
    }
    let with = |last: u8| RootPath::from_sorted_key([path.as_bytes(), &[last]].concat());
    (Bound::Excluded(with(b'/')), Bound::Excluded(with(b'0')))
}

impl IntoIterator for Tree {
    type Item = (RootPath, Node);
    type IntoIter = btree_map::IntoIter<RootPath, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(RootPath, Node)> for Tree {
    fn from_iter<I: IntoIterator<Item = (RootPath, Node)>>(items: I) -> Self {
        Tree(items.into_iter().collect())
    }
}
