//! One directory of the record against the disk.

use anyhow::Result;

use super::{SweepOptions, Swept};
use crate::rootfs::{Cursor, Folder, Glance, Node, Root, RootPath, Timestamp, Tree};
use crate::snapshot::clock::is_racy;

/// A directory that is still the one of the record.
pub(super) struct Known<'t> {
    path: &'t RootPath,
    entries: Entries,
}

/// Where the names of its entries are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entries {
    /// In the record: making, removing or renaming any would have moved its times.
    Recorded,
    /// On the disk, and perhaps others.
    Changed,
}

/// One thread's part of a sweep.
pub(super) struct Sweeper<'t> {
    root: &'t Root,
    cursor: Cursor<'t>,
    tree: &'t Tree,
    findings: Findings,
}

/// What a thread found, and how it tells.
struct Findings {
    since: Timestamp,
    options: SweepOptions,
    swept: Swept,
}

impl<'t> Sweeper<'t> {
    pub(super) fn new(root: &'t Root, tree: &'t Tree, since: Timestamp, options: &SweepOptions) -> Self {
        let findings = Findings { since, options: *options, swept: Swept::default() };
        Sweeper { root, cursor: Cursor::new(root), tree, findings }
    }

    /// The outcome.
    pub(super) fn finish(self) -> Swept {
        self.findings.swept
    }

    /// Compares the root itself; returns it if it is to be entered.
    pub(super) fn top(&mut self) -> Result<Option<Known<'t>>> {
        let root = RootPath::root();
        self.findings.swept.stats += 1;
        let seen = self.cursor.folder(&root)?.map(|folder| folder.glance(b"")).transpose()?.flatten();
        Ok(match (self.tree.get_key_value(&root), seen) {
            (Some((path, old)), Some(seen)) => self.findings.compare(path, old, &seen),
            _ => {
                self.findings.swept.nominated.trees.insert(Vec::new());
                None
            }
        })
    }

    /// Compares what is in `known`; directories that are to be entered go to `found`.
    pub(super) fn folder(&mut self, known: Known<'t>, found: &mut Vec<Known<'t>>) -> Result<()> {
        let names = match known.entries {
            Entries::Recorded => None,
            Entries::Changed => Some(self.cursor.read_dir(known.path)?),
        };
        let Some(folder) = self.cursor.folder(known.path)? else {
            self.findings.add_tree(known.path);
            return Ok(());
        };
        let hides = self.root.holds_protected(known.path);
        let shown = |path: &RootPath| !(hides && self.root.is_protected(path));
        for (path, name, old) in self.tree.children(known.path).filter(|(path, ..)| shown(path)) {
            match self.findings.glance(&folder, name)? {
                Some(seen) => found.extend(self.findings.compare(path, old, &seen)),
                None => self.findings.add(path),
            }
        }
        let recorded = |path: &RootPath| self.tree.get(path).is_some();
        for path in names.iter().flatten().map(|name| known.path.join_name(name)) {
            if !recorded(&path) && shown(&path) {
                self.findings.add_tree(&path);
            }
        }
        Ok(())
    }
}

impl Findings {
    fn glance(&mut self, folder: &Folder<'_>, name: &[u8]) -> Result<Option<Glance>> {
        self.swept.stats += 1;
        Ok(folder.glance(name)?)
    }

    /// Nominates `path` unless it is as recorded; returns it if it is still the directory of the record.
    fn compare<'t>(&mut self, path: &'t RootPath, old: &Node, seen: &Glance) -> Option<Known<'t>> {
        let alike = self.is_alike(old, seen);
        let stays = old.entry.is_directory() && seen.is_directory() && old.inode == seen.inode();
        match (alike, seen.is_directory() && !stays) {
            (true, _) => {}
            (false, true) => self.add_tree(path),
            (false, false) => self.add(path),
        }
        stays.then_some(Known { path, entries: if alike { Entries::Recorded } else { Entries::Changed } })
    }

    fn is_alike(&self, old: &Node, seen: &Glance) -> bool {
        let SweepOptions { ctime, racy, tick, .. } = self.options;
        let untouched = !ctime || tick.of(old.ctime) == tick.of(seen.ctime());
        seen.agrees_with(old) && untouched && !(racy && is_racy(old.ctime, self.since, tick))
    }

    fn add(&mut self, path: &RootPath) {
        self.swept.nominated.paths.insert(path.as_bytes().to_vec());
    }

    fn add_tree(&mut self, path: &RootPath) {
        self.swept.nominated.trees.insert(path.as_bytes().to_vec());
    }
}
