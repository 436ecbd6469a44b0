//! Copies files and trees from one root (a build context, a finished stage, another image) into another, as COPY does.
//!
//! A directory's contents are copied, not the directory itself; what stands in a subdirectory's place keeps its other
//! entries and takes the source's attributes. Symlinks are copied as they are and never followed, on either side: the
//! caller resolves the first source and the destination, inside their roots. Files with several names in one source stay
//! one file. Modification times, `user.*` attributes and file capabilities are kept; FIFOs and devices are made anew;
//! sockets are left out. It does not know patterns, ignore files or instructions.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};

use silt_watcher::Inode;

use super::extract::{ExtractError, extract};
use super::{Cursor, Entry, Error, Kind, Made, Node, Result, Root, RootPath, users};

/// The mode of a directory that only the way to the destination needs.
const IMPLIED_MODE: u32 = 0o755;

/// Who owns the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Whoever owns the source; directories that have none belong to root.
    Kept,
    /// Somebody else.
    Given(users::Owner),
}

/// What the copies have that the sources may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Their owner.
    pub owner: Owner,
    /// Their permission bits, of files and directories alike; `None` keeps the source's.
    pub mode: Option<u32>,
}

/// What a filter says of a path of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// It is copied.
    Take,
    /// It is not, but something below it may be; then it is copied too, to hold that.
    Descend,
    /// Neither it nor anything below it is.
    Skip,
}

/// Says which paths of the source take part; the second argument is true for directories.
pub type Filter<'a> = &'a (dyn Fn(&RootPath, bool) -> Selection + 'a);

/// A copy in progress, from one root into another.
pub struct Copier<'a> {
    from: Cursor<'a>,
    to: &'a Root,
    /// Looks at `to`: a copy removes and moves no directory.
    there: Cursor<'a>,
    stamp: Stamp,
    filter: Filter<'a>,
    /// The first copy of each file with several names, within one source.
    copies: HashMap<Inode, RootPath>,
    /// The directories between the source and what is being copied, outermost first.
    open: Vec<OpenDirectory>,
    /// The root and the directory copied into: a source that holds them is not copied into itself.
    own: Vec<Inode>,
    touched: BTreeSet<RootPath>,
}

/// A directory whose contents are being copied.
struct OpenDirectory {
    target: RootPath,
    entry: Entry,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing in it was taken so far.
    NotYet,
    /// It stands at its target; its attributes are set when its contents are there.
    Made,
}

impl<'a> Copier<'a> {
    /// Starts a copy of what `filter` takes.
    pub fn new(from: &'a Root, to: &'a Root, stamp: Stamp, filter: Filter<'a>) -> Self {
        let (from, there) = (Cursor::new(from), Cursor::new(to));
        let (copies, open, own, touched) = Default::default();
        Copier { from, to, there, stamp, filter, copies, open, own, touched }
    }

    /// Makes `path` and the directories above it where they are missing, with the owner and the mode of the copies.
    pub fn directory(&mut self, path: &RootPath) -> Result<()> {
        let (uid, gid) = self.owner();
        let mode = self.stamp.mode.unwrap_or(IMPLIED_MODE);
        self.touched.extend(self.to.create_dir_all(path, mode, uid, gid)?);
        Ok(())
    }

    /// A destination must not be protected; what is below one and is, is left out.
    fn guard(&self, target: &RootPath) -> Result<()> {
        if self.to.is_protected(target) { Err(Error::Protected(target.clone())) } else { Ok(()) }
    }

    /// Whom directories belong to that have no source.
    fn owner(&self) -> (u32, u32) {
        match self.stamp.owner {
            Owner::Kept => (0, 0),
            Owner::Given(owner) => (owner.uid, owner.gid),
        }
    }

    /// Copies the contents of the directory `source`, or else `source` itself, to `target`. The filter is not asked about
    /// `source`; what is above `target` must be there.
    pub fn copy(&mut self, source: &RootPath, target: &RootPath) -> Result<()> {
        self.guard(target)?;
        self.copies.clear();
        let node = self.from.observe(source)?.ok_or_else(|| missing(source))?;
        if !node.entry.is_directory() {
            return self.item(source, &node, target);
        }
        self.directory(target)?;
        self.own.clear();
        for path in [target, &RootPath::root()] {
            self.own.extend(self.there.observe(path)?.map(|node| node.inode));
        }
        self.contents(source, target)
    }

    /// Extracts the uncompressed archive `tar` into `target`, which is made if it is missing. An archive says its own modes,
    /// and where `owner` keeps them its own owners.
    pub fn extract(
        &mut self,
        tar: impl Read,
        target: &RootPath,
        owner: Owner,
    ) -> std::result::Result<(), ExtractError> {
        self.guard(target)?;
        let (uid, gid) = self.owner();
        self.touched.extend(self.to.create_dir_all(target, IMPLIED_MODE, uid, gid)?);
        extract(self.to, target, tar, owner, &mut self.touched)
    }

    /// What was written: files, directories whose attributes were set, and directories made on the way.
    pub fn into_touched(self) -> BTreeSet<RootPath> {
        self.touched
    }

    fn contents(&mut self, source: &RootPath, target: &RootPath) -> Result<()> {
        for name in self.from.read_dir(source)? {
            let child = source.join_name(&name);
            let Some(node) = self.from.observe(&child)? else { continue };
            let target = target.join_name(&name);
            let is_directory = node.entry.is_directory();
            match (self.filter)(&child, is_directory) {
                Selection::Skip => {}
                _ if is_directory && self.own.contains(&node.inode) => {}
                _ if self.to.is_protected(&target) => {
                    tracing::warn!("{target} belongs to this machine and is not copied");
                }
                selection if is_directory => self.tree(&child, &node, target, selection)?,
                Selection::Take => self.item(&child, &node, &target)?,
                Selection::Descend => {}
            }
        }
        Ok(())
    }

    /// Copies a directory below the source, if it is taken or anything in it is.
    fn tree(&mut self, source: &RootPath, node: &Node, target: RootPath, selection: Selection) -> Result<()> {
        self.open.push(OpenDirectory {
            target: target.clone(),
            entry: self.stamped(&node.entry),
            state: State::NotYet,
        });
        if selection == Selection::Take {
            self.make_open()?;
        }
        self.contents(source, &target)?;
        match self.open.pop() {
            Some(OpenDirectory { target, entry, state: State::Made }) => set(self.to, &target, &entry),
            _ => Ok(()),
        }
    }

    /// Makes the open directories that are not there yet.
    fn make_open(&mut self) -> Result<()> {
        for directory in self.open.iter_mut().filter(|directory| directory.state == State::NotYet) {
            match self.there.observe(&directory.target)? {
                Some(node) if node.entry.is_directory() => {}
                Some(_) => return Err(in_the_way(&directory.target, io::ErrorKind::NotADirectory).into()),
                None => self.to.create_dir(&directory.target, 0o700, 0, 0)?,
            }
            directory.state = State::Made;
            self.touched.insert(directory.target.clone());
        }
        Ok(())
    }

    /// Copies something that is no directory.
    fn item(&mut self, source: &RootPath, node: &Node, target: &RootPath) -> Result<()> {
        if node.entry.kind == Kind::Socket {
            tracing::warn!("{source} is a socket and is not copied");
            return Ok(());
        }
        self.make_open()?;
        self.touched.insert(target.clone());
        match self.there.observe(target)? {
            Some(old) if old.inode == node.inode => return set(self.to, target, &self.stamped(&node.entry)),
            Some(old) if old.entry.is_directory() => return Err(in_the_way(target, io::ErrorKind::IsADirectory).into()),
            _ => {}
        }
        if let Some(first) = self.copies.get(&node.inode) {
            return self.to.hard_link(target, first);
        }
        if node.nlink > 1 && matches!(node.entry.kind, Kind::File { .. }) {
            self.copies.insert(node.inode, target.clone());
        }
        self.make(source, &self.stamped(&node.entry), target)
    }

    fn make(&mut self, source: &RootPath, entry: &Entry, target: &RootPath) -> Result<()> {
        let made = match &entry.kind {
            Kind::File { .. } => self.to.write_file(target, &mut self.from.open_file(source)?, entry)?,
            _ => self.to.make_node(target, entry)?,
        };
        report(target, &made);
        Ok(())
    }

    /// What the copy of `entry` is to have.
    fn stamped(&self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        if let Owner::Given(owner) = self.stamp.owner {
            (entry.uid, entry.gid) = (owner.uid, owner.gid);
        }
        if let (Some(mode), false) = (self.stamp.mode, matches!(entry.kind, Kind::Symlink(_))) {
            entry.mode = mode;
        }
        entry
    }
}

fn set(root: &Root, path: &RootPath, entry: &Entry) -> Result<()> {
    report(path, &root.set_attributes(path, entry)?);
    Ok(())
}

/// Says what could not be kept: the file system or the kernel forbids it.
pub(super) fn report(path: &RootPath, made: &Made) {
    for name in &made.lost {
        tracing::warn!("{path} loses its attribute {} here", String::from_utf8_lossy(name));
    }
}

fn missing(path: &RootPath) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{path} is not there"))
}

fn in_the_way(target: &RootPath, kind: io::ErrorKind) -> io::Error {
    let reason = match kind {
        io::ErrorKind::IsADirectory => "is a directory and cannot be replaced by a file",
        _ => "is not a directory and cannot be replaced by one",
    };
    io::Error::new(kind, format!("{target} {reason}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::fixture::{Fixture, path};
    use super::*;

    const TAKE_ALL: Filter<'static> = &|_, _| Selection::Take;
    const STAMP: Stamp = Stamp { owner: Owner::Kept, mode: None };

    /// A source with `d/mount/x` and `d/y`, and a root where `d/mount` is protected.
    fn protected() -> (tempfile::TempDir, Root, Fixture) {
        let source = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(source.path().join("d/mount")).expect("mkdir");
        fs::write(source.path().join("d/mount/x"), "x").expect("write");
        fs::write(source.path().join("d/y"), "y").expect("write");
        let mut fixture = Fixture::new();
        fixture.root.create_dir_all(&path("d/mount"), 0o711, 0, 0).expect("mkdir");
        fixture.root.protect(path("d/mount"));
        let root = Root::open(source.path()).expect("the source");
        (source, root, fixture)
    }

    #[test]
    fn what_is_protected_is_left_out_of_a_tree() {
        let (_source, from, fixture) = protected();
        let mut copier = Copier::new(&from, &fixture.root, STAMP, TAKE_ALL);
        copier.copy(&RootPath::root(), &RootPath::root()).expect("copies the rest");
        assert_eq!(copier.into_touched(), BTreeSet::from([path("d"), path("d/y")]));
        assert_eq!(fs::read_dir(fixture.on_disk("d/mount")).expect("list").count(), 0);
    }

    #[test]
    fn what_is_protected_is_no_destination() {
        let (_source, from, fixture) = protected();
        for (source, target) in [("d/y", "d/mount"), ("d/y", "d/mount/z"), ("d", "d/mount"), ("d", "d/mount/e")] {
            let mut copier = Copier::new(&from, &fixture.root, STAMP, TAKE_ALL);
            let result = copier.copy(&path(source), &path(target));
            assert!(matches!(result, Err(Error::Protected(_))), "{source} to {target}: {result:?}");
        }
        assert_eq!(fs::read_dir(fixture.on_disk("d/mount")).expect("list").count(), 0);
    }

    #[test]
    fn names_of_one_file_stay_together_only_within_a_source() {
        let source = tempfile::tempdir().expect("a temporary directory");
        fs::write(source.path().join("a"), "1").expect("write");
        fs::hard_link(source.path().join("a"), source.path().join("b")).expect("link");
        let from = Root::open(source.path()).expect("the source");
        let fixture = Fixture::new();
        let mut copier = Copier::new(&from, &fixture.root, STAMP, TAKE_ALL);
        copier.copy(&RootPath::root(), &path("tree")).expect("copies");
        copier.copy(&path("a"), &path("x")).expect("copies");
        copier.copy(&path("b"), &path("y")).expect("copies");
        let inode = |name: &str| fixture.root.observe(&path(name)).expect("statx").map(|node| node.inode);
        assert_eq!(inode("tree/a"), inode("tree/b"));
        assert_ne!(inode("x"), inode("y"));
        fixture.assert_outside_untouched();
    }
}
