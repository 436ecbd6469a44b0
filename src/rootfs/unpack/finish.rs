//! The end: times of directories, which everything made in them moved on, and identities that later entries changed.

use std::io;
use std::sync::Arc;

use super::{UnpackError, Unpacker};
use crate::rootfs::error::failed;
use crate::rootfs::make::touch;
use crate::rootfs::observe::{node, stat_at};
use crate::rootfs::{Entry, Kind, Node, RootPath, Tree};

/// What is out of date in the record of one path.
#[derive(Clone, Copy, Debug)]
enum Stale {
    /// A layer's directory: its time on disk, then its identity.
    Time,
    /// Its identity: a file with several names, or a foreign directory.
    Identity,
}

impl Unpacker<'_> {
    /// Restores the times of directories and returns the record of the root as the disk holds it.
    pub fn finish(mut self) -> Result<Tree, UnpackError> {
        let stale: Vec<(RootPath, Stale)> = self.stale().collect();
        for (path, what) in stale {
            match self.refresh(&path, what) {
                // Others may still be at work in what stood in the root before.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_foreign(&path) => {
                    self.tree.remove_tree(&path);
                }
                refreshed => refreshed?,
            }
        }
        Ok(self.tree)
    }

    fn stale(&self) -> impl Iterator<Item = (RootPath, Stale)> {
        self.tree.iter().filter_map(|(path, node)| {
            let what = match node.entry.kind {
                Kind::Directory if node.foreign => Stale::Identity,
                Kind::Directory => Stale::Time,
                _ if self.relinked.contains(&node.inode) => Stale::Identity,
                _ => return None,
            };
            Some((path.clone(), what))
        })
    }

    fn is_foreign(&self, path: &RootPath) -> bool {
        self.tree.get(path).is_some_and(|node| node.foreign)
    }

    fn refresh(&mut self, path: &RootPath, what: Stale) -> io::Result<()> {
        let Some(recorded) = self.tree.get_mut(path) else { return Ok(()) };
        let (parent, name) = self.cursor.parent(path).map_err(|e| failed("open", path, e))?;
        // The root has no name of its own: "." is the same directory.
        let name = if name.is_empty() { b"." } else { name };
        if let Stale::Time = what {
            touch(parent, name, recorded.entry.mtime).map_err(|e| failed("utimensat", path, e))?;
        }
        let seen = node(&stat_at(parent, name).map_err(|e| failed("statx", path, e))?, None, Default::default());
        let Entry { mode, uid, gid, mtime, .. } = *seen.entry;
        let mut entry = Arc::clone(&recorded.entry);
        if (entry.mode, entry.uid, entry.gid, entry.mtime) != (mode, uid, gid, mtime) {
            entry = Arc::new(Entry { mode, uid, gid, mtime, ..Entry::clone(&entry) });
        }
        *recorded = Node { entry, foreign: recorded.foreign, ..seen };
        Ok(())
    }
}
