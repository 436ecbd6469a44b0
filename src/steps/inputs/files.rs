//! What stands in a directory of a build context, each path with a digest of what an image would have of it.
//!
//! Modification times are not in a digest: a fresh clone has others. Names of one file are, since a copy keeps them together.

use std::collections::HashMap;

use anyhow::Result;
use sha2::{Digest as _, Sha256};
use silt_watcher::Inode;

use super::Input;
use crate::rootfs::{Cursor, Kind, Node, Root, RootPath};

/// Whose a file is, where that counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// It becomes somebody else's.
    Replaced,
    /// It stays.
    Kept,
}

/// What stands at `path` and below it, as far as `includes` lets it through, ordered by names. The top itself is left out where it
/// is a directory of which only the contents are wanted.
pub(super) fn rows(
    tree: &Root,
    path: &RootPath,
    owner: Owner,
    is_wanted: impl Fn(&RootPath, bool) -> bool,
) -> Result<Vec<Input>> {
    let mut walk = Walk { cursor: Cursor::new(tree), top: path, owner, first: HashMap::new(), found: Vec::new() };
    let mut waiting = vec![path.clone()];
    while let Some(path) = waiting.pop() {
        let Some(node) = walk.cursor.observe(&path)? else { continue };
        let is_directory = node.entry.is_directory();
        if !is_wanted(&path, is_directory) {
            continue;
        }
        if is_directory {
            let names = walk.cursor.read_dir(&path)?;
            waiting.extend(names.iter().rev().map(|name| path.join_name(name)));
        }
        walk.add(path, &node)?;
    }
    Ok(walk.found)
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    top: &'a RootPath,
    owner: Owner,
    /// The first name of each file that has several.
    first: HashMap<Inode, RootPath>,
    found: Vec<Input>,
}

impl Walk<'_> {
    fn add(&mut self, path: RootPath, node: &Node) -> Result<()> {
        let mut hasher = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        let entry = &node.entry;
        match &entry.kind {
            Kind::File { .. } => {
                field(b"file");
                field(&self.cursor.root().digest(&path)?);
            }
            Kind::Directory => field(b"directory"),
            Kind::Symlink(target) => {
                field(b"symlink");
                field(target);
            }
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                field(if matches!(entry.kind, Kind::CharDevice { .. }) { b"character" } else { b"block" });
                field(&major.to_le_bytes());
                field(&minor.to_le_bytes());
            }
            Kind::Fifo => field(b"fifo"),
            // No layer holds one.
            Kind::Socket => return Ok(()),
        }
        field(&entry.mode.to_le_bytes());
        if self.owner == Owner::Kept {
            field(&entry.uid.to_le_bytes());
            field(&entry.gid.to_le_bytes());
        }
        for (name, value) in &entry.xattrs {
            field(name);
            field(value);
        }
        if node.nlink > 1 && !entry.is_directory() {
            let first = self.first.entry(node.inode).or_insert_with(|| path.clone());
            field(first.strip_prefix(self.top).unwrap_or_else(RootPath::root).as_bytes());
        }
        self.found.push(Input::File(path, hasher.finalize().to_vec()));
        Ok(())
    }
}
