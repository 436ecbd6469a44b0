//! Mount points in caches: what is mounted below a cache needs something there to be mounted on, and that is not to stay in it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::run::{Mount, What};
use crate::rootfs::{Kind, Root, RootPath};

/// Paths that a cache lacked before a step had something mounted on them, outermost first.
pub(super) struct Points {
    root: Root,
    missing: Vec<RootPath>,
}

impl Points {
    /// Those of the cache in `data` that a step with these mounts will have made. What a link of the cache leads to is not looked for.
    pub(super) fn of(data: &Path, mounts: &[Mount]) -> Option<Points> {
        let root = Root::open(data).ok()?;
        let below = mounts.iter().enumerate().filter_map(|(at, mount)| {
            let inside = |outer: &Mount| below(&mount.target, &outer.target);
            let (outer, path) = mounts[..at].iter().rev().find_map(|outer| Some((outer, inside(outer)?)))?;
            matches!(&outer.what, What::Lent { source, .. } if source.as_os_str() == data.as_os_str()).then_some(path)
        });
        let mut missing = Vec::new();
        for path in below {
            let mut at = RootPath::root();
            for name in path.as_bytes().split(|byte| *byte == b'/') {
                at = at.join_name(name);
                if !missing.contains(&at) && matches!(root.observe(&at), Ok(None)) {
                    missing.push(at.clone());
                }
            }
        }
        (!missing.is_empty()).then_some(Points { root, missing })
    }

    /// Removes those that are still as they were made: empty.
    pub(super) fn remove(&self) {
        for path in self.missing.iter().rev() {
            let is_empty = match self.root.observe(path).ok().flatten().as_ref().map(|node| &node.entry.kind) {
                Some(Kind::File { size, .. }) => *size == 0,
                Some(Kind::Directory) => self.root.read_dir(path).is_ok_and(|names| names.is_empty()),
                _ => false,
            };
            if is_empty && let Err(error) = self.root.remove_tree(path) {
                tracing::debug!("the mount point {path} stays in a cache: {error}");
            }
        }
    }
}

/// The path of `target` inside `outer`, if it lies there.
fn below(target: &OsStr, outer: &OsStr) -> Option<RootPath> {
    let rest = target.as_bytes().strip_prefix(outer.as_bytes())?.strip_prefix(b"/")?;
    RootPath::clean(rest).filter(|path| !path.is_root())
}
