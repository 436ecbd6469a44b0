//! Names of one inode: whether the links that an image shows are still those of the base.
//!
//! The inode number is no part of an image, but which names share one is. For each file on disk: its names there, and for
//! each of them the names that the record gives to the inode it had.

use silt_watcher::Inode;

use super::Baseline;
use super::survey::Seen;
use crate::rootfs::{Node, RootPath};

/// The names on disk of one inode that is no directory, in byte order; never empty.
pub(super) struct Group<'a> {
    pub(super) names: Vec<(&'a RootPath, &'a Node)>,
}

/// All that was seen and is no directory: names of one inode together, in byte order.
pub(super) fn files(seen: &Seen) -> Vec<(&RootPath, &Node)> {
    let standing = seen.iter().filter_map(|(path, node)| Some((path, node.as_ref()?)));
    let mut found: Vec<_> = standing.filter(|(_, node)| !node.entry.is_directory()).collect();
    found.sort_unstable_by_key(|(path, node)| (node.inode, *path));
    found
}

/// The same by inode.
pub(super) fn groups<'a>(files: &[(&'a RootPath, &'a Node)]) -> impl Iterator<Item = Group<'a>> {
    files.chunk_by(|(_, a), (_, b)| a.inode == b.inode).map(|chunk| Group { names: chunk.to_vec() })
}

impl<'a> Group<'a> {
    /// The name that carries the file in a layer; the others are links to it.
    pub(super) fn first(&self) -> (&'a RootPath, &'a Node) {
        self.names[0]
    }

    fn has(&self, path: &RootPath) -> bool {
        self.names.binary_search_by_key(&path, |(name, _)| name).is_ok()
    }

    /// Whether taking the names of this group from the base would link them otherwise than the disk does. Names that are
    /// gone do not matter: removing one of several changes nothing for the rest.
    pub(super) fn is_linked_anew(&self, baseline: &Baseline, seen: &Seen) -> bool {
        self.names.iter().any(|(path, node)| match baseline.tree().get(path) {
            None => true,
            Some(old) => self.has_stranger(old.inode, baseline) || self.left_others(node, old, baseline, seen),
        })
    }

    /// A name of this group had another inode than `old`.
    fn has_stranger(&self, old: Inode, baseline: &Baseline) -> bool {
        self.names.iter().any(|(path, _)| baseline.tree().get(path).is_none_or(|node| node.inode != old))
    }

    /// The file is another one than before, and a name that it shared its inode with stayed with that one or went
    /// elsewhere.
    fn left_others(&self, node: &Node, old: &Node, baseline: &Baseline, seen: &Seen) -> bool {
        let on_disk = |name: &&RootPath| matches!(seen.get(*name), Some(Some(_)));
        node.inode != old.inode && !baseline.names(old.inode).iter().filter(on_disk).all(|name| self.has(name))
    }
}
