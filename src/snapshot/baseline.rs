//! The record of the root as of the last step: each path with what stood there, and the names of each inode.
//!
//! It is filled from what unpacking wrote and then follows each diff, so it never needs a walk of its own. What it says of
//! a path that no diff looked at is what the disk held when it was last looked at.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};

use silt_watcher::{Directories, Inode};

use super::diff::Diff;
use crate::rootfs::{ContentDigest, Kind, Node, RootPath, Timestamp, Tree};

/// Digests of file contents by path, as learned while a layer was written: one for each file that is `Put`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(Vec<(RootPath, ContentDigest)>);

impl Contents {
    /// Of nothing.
    pub fn new() -> Self {
        Contents::default()
    }

    /// Notes the digest of `path`, which is cheap where paths come in their order.
    pub fn insert(&mut self, path: RootPath, digest: ContentDigest) {
        match self.0.last() {
            Some((last, _)) if *last >= path => match self.place(&path) {
                Ok(at) => self.0[at].1 = digest,
                Err(at) => self.0.insert(at, (path, digest)),
            },
            _ => self.0.push((path, digest)),
        }
    }

    /// What is known of the content at `path`.
    pub fn get(&self, path: &RootPath) -> Option<&ContentDigest> {
        self.place(path).ok().map(|at| &self.0[at].1)
    }

    fn place(&self, path: &RootPath) -> Result<usize, usize> {
        self.0.binary_search_by_key(&path, |(known, _)| known)
    }
}

impl FromIterator<(RootPath, ContentDigest)> for Contents {
    fn from_iter<I: IntoIterator<Item = (RootPath, ContentDigest)>>(items: I) -> Self {
        let mut contents = Contents::new();
        items.into_iter().for_each(|(path, digest)| contents.insert(path, digest));
        contents
    }
}

/// The record: a tree and, for each inode in it, its names.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    tree: Tree,
    names: HashMap<Inode, Names>,
    newest: Timestamp,
    /// Foreign directories that the image must have all the same.
    claimed: BTreeSet<RootPath>,
}

/// By what they say of the tree: one that was newer and forgot it is not another.
impl PartialEq for Baseline {
    fn eq(&self, other: &Self) -> bool {
        (&self.tree, &self.names) == (&other.tree, &other.names)
    }
}

impl Eq for Baseline {}

/// Almost every inode has one name; those that have more keep them in byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    One(RootPath),
    Many(Vec<RootPath>),
}

impl Baseline {
    /// The record that says `tree`.
    pub fn new(tree: Tree) -> Self {
        let names = HashMap::with_capacity(tree.len());
        let mut baseline = Baseline { names, ..Baseline::default() };
        for (path, node) in tree.iter() {
            baseline.newest = baseline.newest.max(node.ctime);
            baseline.add_name(node.inode, path);
        }
        baseline.tree = tree;
        baseline
    }

    /// What is recorded.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The same, given away.
    pub fn into_tree(self) -> Tree {
        self.tree
    }

    /// No `ctime` in the record is later than this. It may have been that of a path that is gone.
    pub fn newest_ctime(&self) -> Timestamp {
        self.newest
    }

    /// All names of `inode` in the record, in byte order.
    pub fn names(&self, inode: Inode) -> &[RootPath] {
        match self.names.get(&inode) {
            None => &[],
            Some(Names::One(path)) => std::slice::from_ref(path),
            Some(Names::Many(paths)) => paths,
        }
    }

    /// Has the next diff that looks at `path` put it, if it is a directory that no layer brought. Whether it is one.
    pub fn claim(&mut self, path: &RootPath) -> bool {
        let is_foreign = self.tree.get(path).is_some_and(|node| node.foreign && node.entry.is_directory());
        if is_foreign && !path.is_root() {
            self.claimed.insert(path.clone());
        }
        is_foreign && !path.is_root()
    }

    /// Whether a step claimed `path`.
    pub(super) fn is_claimed(&self, path: &RootPath) -> bool {
        self.claimed.contains(path)
    }

    /// Follows `diff`, so that the record says of each path that was looked at what the disk holds. `contents` are the
    /// digests of the files that it puts; a file without one is later told by inode and `ctime` alone.
    pub fn apply(&mut self, diff: Diff, contents: impl Borrow<Contents>) {
        let Diff { changes, mut learned, .. } = diff;
        // Nothing but the links of the changes is needed, and what they share with what is learned can then be changed in place.
        let links = changes.into_links();
        for (path, node) in &mut learned {
            if let Some(node) = node {
                fill_digest(node, contents.borrow().get(links.get(path).unwrap_or(path)).copied());
            }
        }
        drop((contents, links));
        self.names.reserve(learned.len().saturating_sub(self.names.len()));
        for (path, node) in learned {
            match node {
                Some(node) => self.set(path, node),
                None => self.forget(&path),
            }
        }
    }

    fn set(&mut self, path: RootPath, node: Node) {
        let inode = node.inode;
        self.claimed.remove(&path);
        self.newest = self.newest.max(node.ctime);
        if let Some(old) = self.tree.insert(path.clone(), node) {
            self.drop_name(old.inode, &path);
        }
        self.add_name(inode, &path);
    }

    fn forget(&mut self, path: &RootPath) {
        if let Some(old) = self.tree.remove(path) {
            self.drop_name(old.inode, path);
        }
    }

    fn add_name(&mut self, inode: Inode, path: &RootPath) {
        let Some(names) = self.names.get_mut(&inode) else {
            self.names.insert(inode, Names::One(path.clone()));
            return;
        };
        let mut all = match names {
            Names::One(other) => vec![other.clone()],
            Names::Many(all) => std::mem::take(all),
        };
        if let Err(place) = all.binary_search(path) {
            all.insert(place, path.clone());
        }
        *names = Names::from_sorted(all);
    }

    fn drop_name(&mut self, inode: Inode, path: &RootPath) {
        match self.names.get_mut(&inode) {
            Some(Names::Many(all)) => {
                all.retain(|name| name != path);
                let rest = Names::from_sorted(std::mem::take(all));
                self.names.insert(inode, rest);
            }
            Some(Names::One(only)) if only == path => {
                self.names.remove(&inode);
            }
            _ => {}
        }
    }
}

impl Names {
    fn from_sorted(mut all: Vec<RootPath>) -> Self {
        match all.len() {
            1 => Names::One(all.remove(0)),
            _ => Names::Many(all),
        }
    }
}

impl Directories for Baseline {
    fn path_of(&self, inode: Inode) -> Option<Vec<u8>> {
        let path = self.names(inode).first()?;
        let node = self.tree.get(path)?;
        node.entry.is_directory().then(|| path.as_bytes().to_vec())
    }
}

fn fill_digest(node: &mut Node, learned: Option<ContentDigest>) {
    let is_new = matches!(node.entry.kind, Kind::File { digest, .. } if learned.is_some() && digest != learned);
    if let (true, Kind::File { digest, .. }) = (is_new, &mut node.entry_mut().kind) {
        *digest = learned;
    }
}
