//! Hard links: a further name of something that this layer or a lower one brought.

use rustix::fs::{AtFlags, OFlags, linkat};

use super::apply::{Ground, UNDER_WAY};
use super::name::components;
use super::place::{Missing, Placing};
use super::{Refusal, Unpacker};
use crate::rootfs::error::failed;
use crate::rootfs::{Node, RootPath};

impl Unpacker<'_> {
    /// Makes `path` a name of `target`, as the layer writes it. The target's parents are followed like those of an entry;
    /// the target itself is not: a link to a symlink is a second name of the symlink.
    pub(super) fn hard_link(&mut self, path: RootPath, target: &[u8]) -> Result<(), Placing> {
        let (target, node) = self.target(target)?;
        if target == path {
            self.layer.insert(path);
            return Ok(());
        }
        if target.is_at_or_below(&path) {
            return Err(Refusal::LinkTarget.into());
        }
        if self.make_way(&path, &node.entry)? == Ground::Kept {
            return Ok(());
        }
        self.link(&path, &target).map_err(|e| failed("link", &path, e))?;
        self.relinked.insert(node.inode);
        self.tree.insert(path.clone(), node);
        self.layer.insert(path);
        Ok(())
    }

    fn target(&mut self, written: &[u8]) -> Result<(RootPath, Node), Placing> {
        let mut parents = components(written)?;
        let Some(name) = parents.pop() else { return Err(Refusal::LinkToDirectory.into()) };
        let Some(parent) = self.place(&parents, Missing::Leave)? else { return Err(Refusal::LinkTarget.into()) };
        let target = parent.join_name(name);
        if self.root.is_protected(&target) {
            return Err(Refusal::LinkToProtected.into());
        }
        if self.tree.get(&target).is_some_and(|node| node.nlink == UNDER_WAY) {
            self.settle()?;
        }
        match self.tree.get(&target) {
            Some(node) if node.entry.is_directory() => Err(Refusal::LinkToDirectory.into()),
            Some(node) if !node.foreign => Ok((target, node.clone())),
            _ => Err(Refusal::LinkTarget.into()),
        }
    }

    fn link(&mut self, path: &RootPath, target: &RootPath) -> rustix::io::Result<()> {
        let (from, old) = target.split().unwrap_or((RootPath::root(), b""));
        let from = self.root.open_exact(&from, OFlags::PATH | OFlags::DIRECTORY)?;
        let (parent, name) = self.cursor.parent(path)?;
        linkat(&from, old, parent, name, AtFlags::empty())
    }
}
