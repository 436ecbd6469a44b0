//! One directory of the record against the disk, a piece at a time: however many entries it has, several threads share it.

use anyhow::Result;

use super::{Attributes, SweepOptions, Swept};
use crate::ctime::is_racy;
use crate::rootfs::{Children, Cursor, Folder, Glance, Node, Root, RootPath, Timestamp, Tree};

/// The most entries of a directory that are one piece of work: about a millisecond.
pub(super) const PIECE: usize = 1_024;

/// What is to be done about a directory that is still the one of the record.
pub(super) struct Piece<'t> {
    folder: &'t RootPath,
    part: Part<'t>,
}

/// Which part of it.
enum Part<'t> {
    /// The entries that the record has. What is more than a piece makes further ones.
    Recorded,
    /// A piece of them, from this one on.
    From(&'t RootPath),
    /// What the disk has and the record has not. Making a name moves the directory's times, so few need this.
    New,
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

    /// Compares the root itself; what is to be done about it goes to `found`.
    pub(super) fn top(&mut self, found: &mut Vec<Piece<'t>>) -> Result<()> {
        let root = RootPath::root();
        self.findings.swept.stats += 1;
        let seen = self.cursor.folder(&root)?.map(|folder| folder.glance(b"")).transpose()?.flatten();
        match (self.tree.get_key_value(&root), seen) {
            (Some((path, old)), Some(seen)) => self.findings.compare(path, old, &seen, found),
            _ => self.findings.add_tree(&root),
        }
        Ok(())
    }

    /// Does one piece; those that follow from it go to `found`.
    pub(super) fn piece(&mut self, piece: Piece<'t>, found: &mut Vec<Piece<'t>>) -> Result<()> {
        let folder = piece.folder;
        match piece.part {
            Part::New => self.new_names(folder),
            Part::From(first) => self.recorded(folder, &mut self.tree.children_from(folder, first), found),
            Part::Recorded => {
                let mut children = self.tree.children(folder);
                self.recorded(folder, &mut children, found)?;
                let firsts = children.step_by(PIECE);
                found.extend(firsts.map(|(first, ..)| Piece { folder, part: Part::From(first) }));
                Ok(())
            }
        }
    }

    /// Compares the next of the recorded `children` of a directory.
    fn recorded(&mut self, path: &RootPath, children: &mut Children<'t>, found: &mut Vec<Piece<'t>>) -> Result<()> {
        let Some(folder) = self.cursor.folder(path)? else {
            self.findings.add_tree(path);
            return Ok(());
        };
        let hides = self.root.holds_protected(path);
        for (path, name, old) in children.take(PIECE) {
            if hides && self.root.is_protected(path) {
                continue;
            }
            match self.findings.glance(&folder, name)? {
                Some(seen) => self.findings.compare(path, old, &seen, found),
                None => self.findings.add(path),
            }
        }
        Ok(())
    }

    /// Nominates what is in a directory and not in the record.
    fn new_names(&mut self, folder: &RootPath) -> Result<()> {
        let hides = self.root.holds_protected(folder);
        for path in self.cursor.read_dir(folder)?.iter().map(|name| folder.join_name(name)) {
            if self.tree.get(&path).is_none() && !(hides && self.root.is_protected(&path)) {
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

    /// Nominates `path` unless it is as recorded. If it is still the directory of the record, it is to be entered.
    fn compare<'t>(&mut self, path: &'t RootPath, old: &Node, seen: &Glance, found: &mut Vec<Piece<'t>>) {
        let (alike, by_name) = (self.is_alike(old, seen), self.options.attributes.is_of_kaniko());
        let stays = old.entry.is_directory() && seen.is_directory() && (by_name || old.inode == seen.inode());
        match (alike, seen.is_directory() && !stays) {
            (true, _) => {}
            (false, true) => self.add_tree(path),
            (false, false) => self.add(path),
        }
        if stays {
            found.push(Piece { folder: path, part: Part::Recorded });
        }
        if stays && (by_name || !alike) {
            found.push(Piece { folder: path, part: Part::New });
        }
    }

    fn is_alike(&self, old: &Node, seen: &Glance) -> bool {
        let SweepOptions { attributes, racy, tick, .. } = self.options;
        let older = || !(racy && is_racy(old.ctime, self.since, tick));
        match attributes {
            Attributes::All => seen.agrees_with(old) && tick.of(old.ctime) == tick.of(seen.ctime()) && older(),
            Attributes::AllButCtime => seen.agrees_with(old) && older(),
            Attributes::Redo => seen.looks_like(&old.entry),
            Attributes::Time => seen.mtime() == old.entry.mtime && seen.is_directory() == old.entry.is_directory(),
        }
    }

    fn add(&mut self, path: &RootPath) {
        self.swept.nominated.paths.insert(path.clone().into());
    }

    fn add_tree(&mut self, path: &RootPath) {
        self.swept.nominated.trees.insert(path.clone().into());
    }
}
