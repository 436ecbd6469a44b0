//! Looks at the disk: observes each candidate once and follows it to all that must be looked at with it.
//!
//! The closure: a candidate's parent; all names in the record of the inode that it was and of the inode that it is;
//! what the record and the disk hold below a directory that came, went or was replaced. A protected path is only asked
//! for its inode: a hard link there may have changed a file of the image.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, bail};

use super::{Baseline, Candidates};
use crate::rootfs::{Cursor, Node, Root, RootPath};
use silt_watcher::{Nominated, PathSet};

/// What stands at each path that was looked at; `None` where nothing does.
pub(super) type Seen = BTreeMap<RootPath, Option<Node>>;

pub(super) struct Survey<'a> {
    root: &'a Root,
    cursor: Cursor<'a>,
    baseline: &'a Baseline,
    seen: Seen,
    /// Directories whose entries have been listed.
    listed: HashSet<RootPath>,
    queue: Vec<(RootPath, Reach)>,
    stats: u64,
}

/// How far a candidate reaches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The path alone.
    Alone,
    /// The path and everything below it, in the record and on disk.
    Tree,
    /// It was listed: it must be there, and everything below it on disk too.
    Listed,
}

/// Observes all that `look_at` asks for and what follows from it; returns it with the number of paths stat-ed.
pub(super) fn survey(root: &Root, baseline: &Baseline, look_at: impl Borrow<Candidates>) -> Result<(Seen, u64)> {
    let mut survey = Survey {
        root,
        cursor: Cursor::new(root),
        baseline,
        seen: Seen::new(),
        listed: HashSet::new(),
        queue: Vec::new(),
        stats: 0,
    };
    match look_at.borrow() {
        Candidates::Everything => survey.queue.push((RootPath::root(), Reach::Tree)),
        Candidates::Only(nominated) => survey.nominate(nominated)?,
    }
    drop(look_at);
    while let Some((path, reach)) = survey.queue.pop() {
        survey.look(path, reach)?;
    }
    Ok((survey.seen, survey.stats))
}

impl Survey<'_> {
    fn nominate(&mut self, nominated: &Nominated) -> Result<()> {
        self.nominate_paths(&nominated.paths, Reach::Alone)?;
        self.nominate_paths(&nominated.trees, Reach::Tree)?;
        for inode in &nominated.inodes {
            self.queue.extend(self.baseline.names(*inode).iter().map(|name| (name.clone(), Reach::Alone)));
        }
        Ok(())
    }

    fn nominate_paths(&mut self, paths: &PathSet, reach: Reach) -> Result<()> {
        for bytes in paths {
            let path = RootPath::shared(bytes)
                .with_context(|| format!("the candidate {:?} is no path", String::from_utf8_lossy(bytes)))?;
            self.queue.push((path, reach));
        }
        Ok(())
    }

    fn look(&mut self, path: RootPath, reach: Reach) -> Result<()> {
        if self.root.is_protected(&path) {
            return if reach == Reach::Listed { Ok(()) } else { self.look_at_protected(&path) };
        }
        if !self.seen.contains_key(&path) {
            self.look_first(&path)?;
        }
        match reach {
            Reach::Alone => Ok(()),
            Reach::Tree => {
                self.whole(&path);
                Ok(())
            }
            Reach::Listed => self.list(path),
        }
    }

    /// Observes `path` and queues what must be looked at with it.
    fn look_first(&mut self, path: &RootPath) -> Result<()> {
        let new = self.observe(path)?;
        let old = self.baseline.tree().get(path);
        let parent = path.parent().filter(|parent| !self.seen.contains_key(parent));
        self.queue.extend(parent.map(|parent| (parent, Reach::Alone)));
        for inode in old.map(|n| n.inode).into_iter().chain(new.as_ref().map(|n| n.inode)) {
            let others = self.baseline.names(inode).iter().filter(|name| *name != path);
            self.queue.extend(others.map(|name| (name.clone(), Reach::Alone)));
        }
        if is_another_directory(old, new.as_ref()) {
            self.queue.push((path.clone(), Reach::Tree));
        }
        self.seen.insert(path.clone(), new);
        Ok(())
    }

    fn look_at_protected(&mut self, path: &RootPath) -> Result<()> {
        self.queue.extend(path.parent().filter(|p| !self.root.is_protected(p)).map(|parent| (parent, Reach::Alone)));
        if let Some(node) = self.observe(path)? {
            self.queue.extend(self.baseline.names(node.inode).iter().map(|name| (name.clone(), Reach::Alone)));
        }
        Ok(())
    }

    fn observe(&mut self, path: &RootPath) -> Result<Option<Node>> {
        self.stats += 1;
        Ok(self.cursor.observe(path)?)
    }

    /// Queues everything below `path`. The queue is taken from its end: the record's paths come first, so that what is
    /// seen shares their bytes, and in order, so that the cursor stays near.
    fn whole(&mut self, path: &RootPath) {
        if matches!(self.seen.get(path), Some(Some(node)) if node.entry.is_directory()) {
            self.queue.push((path.clone(), Reach::Listed));
        }
        let before = self.queue.len();
        let recorded = self.baseline.tree().below(path).filter(|(p, _)| !self.root.is_protected(p));
        self.queue.extend(recorded.map(|(p, _)| (p.clone(), Reach::Alone)));
        self.queue[before..].reverse();
    }

    fn list(&mut self, path: RootPath) -> Result<()> {
        let Some(Some(node)) = self.seen.get(&path) else { bail!("{path} vanished while it was looked at") };
        if !node.entry.is_directory() || !self.listed.insert(path.clone()) {
            return Ok(());
        }
        let names = self.cursor.read_dir(&path)?;
        self.queue.extend(names.iter().rev().map(|name| (path.join_name(name), Reach::Listed)));
        Ok(())
    }
}

/// Whether a directory came, went or was replaced, so that all below it may be new or gone without an event of its own.
fn is_another_directory(old: Option<&Node>, new: Option<&Node>) -> bool {
    let directory = |node: Option<&Node>| node.filter(|n| n.entry.is_directory()).map(|n| n.inode);
    directory(old) != directory(new)
}
