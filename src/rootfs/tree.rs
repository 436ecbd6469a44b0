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

    /// The record's own copy of `path`, and what stands there.
    pub fn get_key_value(&self, path: &RootPath) -> Option<(&RootPath, &Node)> {
        self.0.get_key_value(path)
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

    /// The entries of the directory `path` alone, in the order of their names.
    pub fn children(&self, path: &RootPath) -> Children<'_> {
        let prefix = prefix_of(path);
        Children { tree: self, range: self.from(&prefix), length: prefix.len(), prefix }
    }

    /// The same from the entry `first` on.
    pub fn children_from(&self, path: &RootPath, first: &RootPath) -> Children<'_> {
        let prefix = prefix_of(path);
        Children { tree: self, range: self.from(first.as_bytes()), length: prefix.len(), prefix }
    }

    fn from(&self, key: &[u8]) -> btree_map::Range<'_, RootPath, Node> {
        self.0.range::<[u8], _>((Bound::Included(key), Bound::Unbounded))
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

/// The entries of one directory of a [`Tree`]; what is below them is passed over.
#[derive(Debug)]
pub struct Children<'t> {
    tree: &'t Tree,
    range: btree_map::Range<'t, RootPath, Node>,
    /// The directory and a slash, then room for a key.
    prefix: Vec<u8>,
    length: usize,
}

impl<'t> Iterator for Children<'t> {
    /// Path, name and node.
    type Item = (&'t RootPath, &'t [u8], &'t Node);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (path, node) = self.range.next()?;
            let name = path.as_bytes().strip_prefix(&self.prefix[..self.length])?;
            match name.iter().position(|byte| *byte == b'/') {
                None if name.is_empty() => {}
                None => return Some((path, name, node)),
                Some(slash) => self.skip_below(&name[..slash]),
            }
        }
    }
}

impl Children<'_> {
    /// Goes on after all that is below `name`.
    fn skip_below(&mut self, name: &[u8]) {
        self.prefix.truncate(self.length);
        self.prefix.extend_from_slice(name);
        self.prefix.push(b'/' + 1);
        self.range = self.tree.from(&self.prefix);
    }
}

/// What all that is below `path` begins with.
fn prefix_of(path: &RootPath) -> Vec<u8> {
    let mut prefix = path.as_bytes().to_vec();
    if !path.is_root() {
        prefix.push(b'/');
    }
    prefix
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

#[cfg(test)]
mod tests {
    use silt_watcher::Inode;

    use super::*;
    use crate::rootfs::{Entry, Kind, Timestamp, Xattrs};

    fn node() -> Node {
        let mtime = Timestamp::default();
        let entry = Entry { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0, mtime, xattrs: Xattrs::new() };
        Node { entry: entry.into(), inode: Inode { dev: 1, ino: 1 }, nlink: 1, ctime: mtime, foreign: false }
    }

    fn check(of: &str, expected: &[&str]) {
        let paths = ["", "a", "a-1", "a-1/x", "a.b", "a/a", "a/a-", "a/a/deep", "a/b", "a0", "a0/x", "b/lost/x", "c"];
        let path = |path: &str| RootPath::clean(path).expect("no NUL");
        let tree: Tree = paths.iter().map(|text| (path(text), node())).collect();
        let of = path(of);
        let found: Vec<&[u8]> = tree.children(&of).map(|(_, name, _)| name).collect();
        assert_eq!(found, expected.iter().map(|name| name.as_bytes()).collect::<Vec<_>>(), "{of}");
        for (at, (first, ..)) in tree.children(&of).enumerate() {
            let rest: Vec<&[u8]> = tree.children_from(&of, first).map(|(_, name, _)| name).collect();
            assert_eq!(rest, found[at..], "{of} from {first}");
        }
    }

    #[test]
    fn children_are_of_one_directory_in_the_order_of_their_names() {
        check("", &["a", "a-1", "a.b", "a0", "c"]);
        check("a", &["a", "a-", "b"]);
        check("a/a", &["deep"]);
        check("a-1", &["x"]);
        check("b", &[]);
        check("c", &[]);
        check("d", &[]);
    }
}
