//! The decision: what of all that was looked at is a change, and what the record must learn of the rest.
//!
//! A directory whose only difference is its mtime is no change. A file is read only when its attributes and links are
//! those of the base. Foreign nodes (never in a layer) are told by inode and ctime; the build writes them when either
//! moved, or when something below them changes.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Result, bail};
use silt_watcher::Inode;

use super::groups::{self, Group};
use super::survey::{Seen, survey};
use super::{Baseline, Candidates, Change, ChangeSet, content};
use crate::rootfs::{ContentDigest, Entry, Kind, Node, Root, RootPath, Timestamp};
use crate::sys;

/// From so many paths on it is worth to look for free memory.
const MANY: usize = 10_000;

/// The outcome of [`diff`].
#[derive(Debug)]
pub struct Diff {
    /// What a layer must hold.
    pub changes: ChangeSet,
    /// Sockets that came or changed since the last step. No layer can carry them; what they replaced is removed.
    pub sockets: Vec<RootPath>,
    /// How many paths were stat-ed.
    pub stats: u64,
    /// How many bytes of file contents were read to compare them.
    pub read_bytes: u64,
    /// What the disk holds where it is not what the record says, changes included; `None` where nothing is.
    pub(super) learned: Seen,
}

impl Diff {
    /// The directories that the record is about to learn of: new ones, and those that are not as they were recorded.
    pub fn directories(&self) -> impl Iterator<Item = (&RootPath, Inode)> {
        let directory = |node: &&Node| node.entry.is_directory();
        self.learned.iter().filter_map(move |(path, node)| Some((path, node.as_ref().filter(directory)?.inode)))
    }
}

/// Compares what `look_at` asks for with `baseline`. Nothing may write below the root meanwhile: a file that vanishes or
/// changes is an error that names it. So is a real file whose name a layer reserves (`.wh.*`).
/// What is given away of `look_at` is dropped on the way.
pub fn diff(root: &Root, baseline: &Baseline, look_at: impl Borrow<Candidates>) -> Result<Diff> {
    let (seen, stats) = survey(root, baseline, look_at)?;
    give_back(&seen);
    let mut judge =
        Judge { root, baseline, changes: Vec::new(), sockets: Vec::new(), contents: Vec::new(), read_bytes: 0 };
    judge.directories(&seen);
    let found = groups::files(&seen);
    for group in groups::groups(&found) {
        judge.group(&group, &seen)?;
    }
    drop(found);
    judge.removals(&seen);
    // Collected at once, and in order, they take little more than half the room.
    judge.changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut changes: ChangeSet = std::mem::take(&mut judge.changes).into_iter().collect();
    for (path, entry) in judge.foreign_parents(&changes, &seen) {
        changes.insert(path, Change::Put(entry));
    }
    refuse_reserved_names(&changes)?;
    judge.sockets.sort();
    let Judge { sockets, contents, read_bytes, .. } = judge;
    let learned = learn(seen, baseline, &changes, contents);
    give_back(&learned);
    Ok(Diff { changes, sockets, stats, read_bytes, learned })
}

/// Gives back what a look at many paths left free, before more is built from it.
fn give_back(seen: &Seen) {
    if seen.len() > MANY {
        sys::release_memory();
    }
}

struct Judge<'a> {
    root: &'a Root,
    baseline: &'a Baseline,
    /// One for each path.
    changes: Vec<(RootPath, Change)>,
    sockets: Vec<RootPath>,
    /// Digests of what had to be read.
    contents: Vec<(RootPath, ContentDigest)>,
    read_bytes: u64,
}

impl Judge<'_> {
    fn old(&self, path: &RootPath) -> Option<&Node> {
        self.baseline.tree().get(path)
    }

    fn directories(&mut self, seen: &Seen) {
        for (path, node) in seen {
            let Some(node) = node.as_ref().filter(|node| node.entry.is_directory()) else { continue };
            if self.is_directory_changed(path, node) {
                self.changes.push((path.clone(), Change::Put(Arc::clone(&node.entry))));
            }
        }
    }

    fn is_directory_changed(&self, path: &RootPath, node: &Node) -> bool {
        let Some(old) = self.old(path) else { return !path.is_root() };
        !same_attributes(&old.entry, &node.entry)
            || self.baseline.is_claimed(path)
            || (old.foreign && !path.is_root() && old.inode != node.inode)
    }

    fn group(&mut self, group: &Group<'_>, seen: &Seen) -> Result<()> {
        let (_, node) = group.first();
        if node.entry.kind == Kind::Socket {
            self.note_sockets(group);
            return Ok(());
        }
        if self.is_written(group) || group.is_linked_anew(self.baseline, seen) {
            self.put(group, None);
            return Ok(());
        }
        match self.read_again(group)? {
            Some(content) if !self.has_content(group, &content) => self.put(group, Some(content)),
            _ => {}
        }
        Ok(())
    }

    fn note_sockets(&mut self, group: &Group<'_>) {
        for (path, node) in &group.names {
            if self.old(path).is_none_or(|old| old.inode != node.inode || old.entry != node.entry) {
                self.sockets.push((*path).clone());
            }
        }
    }

    /// Whether a name of the group is other than recorded, as far as can be told without reading.
    fn is_written(&self, group: &Group<'_>) -> bool {
        group.names.iter().any(|(path, node)| match self.old(path) {
            None => true,
            Some(old) if !same_attributes(&old.entry, &node.entry) => true,
            Some(old) => is_unread(old) && (old.inode, old.ctime) != (node.inode, node.ctime),
        })
    }

    /// The content of the group's file, if the record knows what it was and it can have changed.
    fn read_again(&mut self, group: &Group<'_>) -> Result<Option<ContentDigest>> {
        let (path, node) = group.first();
        let Kind::File { size, .. } = node.entry.kind else { return Ok(None) };
        let known = group.names.iter().any(|(path, _)| self.old(path).is_some_and(|old| !is_unread(old)));
        if size == 0 || !known {
            return Ok(None);
        }
        self.read_bytes += size;
        content::digest(self.root, path, node).map(Some)
    }

    /// Whether every name of the group whose content is recorded has `content`.
    fn has_content(&self, group: &Group<'_>, content: &ContentDigest) -> bool {
        let differs = |path: &RootPath| {
            self.old(path).and_then(|old| digest_of(&old.entry)).is_some_and(|recorded| recorded != *content)
        };
        !group.names.iter().any(|(path, _)| differs(path))
    }

    /// All names of the group change: the first is the file, the others are links to it.
    fn put(&mut self, group: &Group<'_>, content: Option<ContentDigest>) {
        let (first, node) = group.first();
        let mut entry = Arc::clone(&node.entry);
        if let Some(content) = content {
            set_digest(&mut entry, Some(content));
            self.contents.extend(group.names.iter().map(|(path, _)| ((*path).clone(), content)));
        }
        self.changes.push((first.clone(), Change::Put(entry)));
        for (path, _) in &group.names[1..] {
            self.changes.push(((*path).clone(), Change::Link(first.clone())));
        }
    }

    /// What the image has and the disk has not goes, at its top-most path; below what is gone or is no directory any more
    /// there is nothing left to say.
    fn removals(&mut self, seen: &Seen) {
        for (path, node) in seen {
            let stays = node.as_ref().is_some_and(|node| node.entry.kind != Kind::Socket);
            let parent_stays = path.parent().is_some_and(|parent| is_directory(seen, &parent));
            if !stays && parent_stays && self.is_in_image(path) {
                self.changes.push((path.clone(), Change::Remove));
            }
        }
    }

    /// Whether a layer has the recorded node at `path`. A foreign directory is there if something below it is.
    fn is_in_image(&self, path: &RootPath) -> bool {
        let carried = |node: &Node| !node.foreign && node.entry.kind != Kind::Socket;
        self.baseline.tree().at_or_below(path).any(|(_, node)| carried(node))
    }

    /// A layer brings the parents of what it changes; foreign ones become part of the image thereby.
    fn foreign_parents(&self, changes: &ChangeSet, seen: &Seen) -> Vec<(RootPath, Arc<Entry>)> {
        let mut done: HashSet<RootPath> = HashSet::new();
        let mut found: Vec<(RootPath, Arc<Entry>)> = Vec::new();
        for (path, _) in changes {
            for parent in path.ancestors().filter(|parent| !parent.is_root()) {
                if !done.insert(parent.clone()) {
                    break;
                }
                let foreign = self.old(&parent).is_some_and(|old| old.foreign);
                match seen.get(&parent) {
                    Some(Some(node)) if foreign => found.push((parent, node.entry.clone())),
                    _ => {}
                }
            }
        }
        found
    }
}

/// Nobody has read its content: identity and ctime stand in for it.
fn is_unread(node: &Node) -> bool {
    node.foreign || matches!(node.entry.kind, Kind::File { digest: None, .. })
}

fn digest_of(entry: &Entry) -> Option<ContentDigest> {
    match entry.kind {
        Kind::File { digest, .. } => digest,
        _ => None,
    }
}

fn is_directory(seen: &Seen, path: &RootPath) -> bool {
    matches!(seen.get(path), Some(Some(node)) if node.entry.is_directory())
}

/// All that an image shows but content; of a directory without its mtime.
fn same_attributes(old: &Entry, new: &Entry) -> bool {
    let owner = |e: &Entry| (e.mode, e.uid, e.gid);
    let mtime = |e: &Entry| if e.is_directory() { Timestamp::default() } else { e.mtime };
    same_kind(&old.kind, &new.kind) && owner(old) == owner(new) && mtime(old) == mtime(new) && old.xattrs == new.xattrs
}

fn same_kind(old: &Kind, new: &Kind) -> bool {
    match (old, new) {
        (Kind::File { size: old, .. }, Kind::File { size: new, .. }) => old == new,
        _ => old == new,
    }
}

/// A layer says "removed" with a name that begins so; a real file of such a name would delete its neighbour.
fn refuse_reserved_names(changes: &ChangeSet) -> Result<()> {
    let reserved = |path: &RootPath| path.name().is_some_and(|name| name.starts_with(b".wh."));
    match changes.iter().find(|(path, change)| **change != Change::Remove && reserved(path)) {
        Some((path, _)) => bail!("{path} cannot be in an image: names that begin with .wh. mean a removal in a layer"),
        None => Ok(()),
    }
}

/// What was seen where it is not what is recorded, with the digests that are known.
fn learn(mut seen: Seen, baseline: &Baseline, changes: &ChangeSet, contents: Vec<(RootPath, ContentDigest)>) -> Seen {
    let contents: HashMap<RootPath, ContentDigest> = contents.into_iter().collect();
    seen.retain(|path, node| {
        let recorded = baseline.tree().get(path);
        if let Some(node) = node {
            let changed = changes.get(path).is_some_and(|change| *change != Change::Remove);
            complete(node, recorded.filter(|_| !changed), contents.get(path).copied());
        }
        node.as_ref() != recorded
    });
    seen
}

/// Gives `node` what the disk does not say: an unchanged one keeps its digest and where it came from.
fn complete(node: &mut Node, unchanged: Option<&Node>, content: Option<ContentDigest>) {
    let recorded = unchanged.and_then(|old| digest_of(&old.entry));
    set_digest(&mut node.entry, content.or(recorded));
    node.foreign = unchanged.is_some_and(|old| old.foreign);
}

/// Says what the content of a file is, in a copy of what others share.
fn set_digest(entry: &mut Arc<Entry>, content: Option<ContentDigest>) {
    if digest_of(entry) != content
        && let Kind::File { digest, .. } = &mut Arc::make_mut(entry).kind
    {
        *digest = content;
    }
}
