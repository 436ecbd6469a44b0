//! Whiteouts: what lower layers brought is removed, what this layer brought stays, wherever in the layer the whiteout is.

use std::collections::HashSet;

use super::place::{Missing, Placing};
use super::{Skipped, Unpacker, implied_directory};
use crate::rootfs::RootPath;

impl Unpacker<'_> {
    /// Hides what lower layers have at `hidden`.
    pub(super) fn whiteout(&mut self, parents: &[&[u8]], hidden: &[u8]) -> Result<(), Placing> {
        let Some(parent) = self.place(parents, Missing::Leave)? else { return Ok(()) };
        let path = parent.join_name(hidden);
        if self.root.is_protected(&path) {
            self.skipped.push(Skipped::Protected(path));
            return Ok(());
        }
        self.hide(vec![path])
    }

    /// Hides what lower layers have below the directory that `parents` lead to.
    pub(super) fn opaque(&mut self, parents: &[&[u8]]) -> Result<(), Placing> {
        let Some(directory) = self.place(parents, Missing::Leave)? else { return Ok(()) };
        self.hide(self.children(&directory))
    }

    /// Removes these trees but for what this layer brought. A directory that stays only because this layer brought something
    /// below it is one that no layer describes any more.
    fn hide(&mut self, tops: Vec<RootPath>) -> Result<(), Placing> {
        let needed = self.needed(&tops);
        let mut todo = tops;
        while let Some(path) = todo.pop() {
            if !needed.contains(&path) {
                self.remove(&path)?;
                continue;
            }
            if !self.layer.contains(&path) {
                self.set_directory(&path, &implied_directory())?;
            }
            todo.extend(self.children(&path));
        }
        Ok(())
    }

    /// What this layer brought at or below `tops`, and the directories on the way.
    fn needed(&self, tops: &[RootPath]) -> HashSet<RootPath> {
        let mut needed = HashSet::new();
        for top in tops {
            let brought = self.tree.at_or_below(top).map(|(path, _)| path).filter(|path| self.layer.contains(*path));
            for path in brought {
                needed.insert(path.clone());
                needed.extend(path.ancestors().filter(|above| above.is_at_or_below(top)));
            }
        }
        needed
    }

    fn children(&self, directory: &RootPath) -> Vec<RootPath> {
        let depth = |path: &RootPath| path.as_bytes().iter().filter(|b| **b == b'/').count();
        let of_children = if directory.is_root() { 0 } else { depth(directory) + 1 };
        let below = self.tree.below(directory).map(|(path, _)| path);
        below.filter(|path| depth(path) == of_children).cloned().collect()
    }
}
