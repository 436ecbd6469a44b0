//! Copies files and trees from one root (a build context, a finished stage, another image) into another, as COPY does.
//!
//! A directory's contents are copied, not the directory itself; what stands in a subdirectory's place keeps its other
//! entries and takes the source's attributes. Symlinks are copied as they are and never followed, on either side: the
//! caller resolves the first source and the destination, inside their roots. Files with several names in one source stay
//! one file; what has one name is written by several threads. Modification times, `user.*` attributes and file capabilities are kept; FIFOs and devices are made anew;
//! sockets are left out. With [`Onto::Fresh`] the result is that of a copy into an empty root that is then laid over this
//! one. It does not know patterns, ignore files or instructions.

mod files;

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};

use silt_watcher::Inode;

use self::files::{Batch, Writer};
use super::extract::{ExtractError, extract};
use super::{Cursor, Entry, Error, Kind, Made, Node, Result, Root, RootPath, Timestamp, users, walk};
use crate::crew;

/// The mode of a directory that only the way to the destination needs.
const IMPLIED_MODE: u32 = 0o755;

/// The most files that wait to be written together, which bounds the memory that they take.
const WAITING: usize = 16_384;
/// Fewer files than this are not worth a thread.
const SHARE: usize = 64;

/// Who owns the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Whoever owns the source; directories that have none belong to root.
    Kept,
    /// Somebody else.
    Given(users::Owner),
}

/// What becomes of permission bits, and whether they are a directory's.
pub type Remode<'a> = &'a (dyn Fn(u32, bool) -> u32 + 'a);

/// What the copies have that the sources may not have.
#[derive(Clone, Copy)]
pub struct Stamp<'a> {
    /// Their owner.
    pub owner: Owner,
    /// What becomes of the permission bits, of files and directories alike; `None` keeps the source's.
    pub mode: Option<Remode<'a>>,
}

/// What the destination's own directories have to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// They stay as they are, and what is no directory is not replaced by one.
    Standing,
    /// Nothing (`--link`): on the way to the destination every directory gets the attributes of a new one, and what else
    /// stands there gives way.
    Fresh,
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
    /// Looks at `to`, and forgets a directory that gives way.
    there: Cursor<'a>,
    stamp: Stamp<'a>,
    onto: Onto,
    /// With [`Onto::Fresh`]: the directories that are as this copy made them.
    fresh: BTreeSet<RootPath>,
    /// The first copy of each file with several names, within one source.
    copies: HashMap<Inode, RootPath>,
    /// The directories between the source and what is being copied, outermost first.
    open: Vec<OpenDirectory>,
    /// Files that are still to be written, in directories that are there.
    waiting: Vec<Batch>,
    /// How many those are.
    waiting_files: usize,
    /// Directories whose attributes are set when all that belongs into them is there, inner ones first.
    late: Vec<(RootPath, Entry)>,
    /// The root and the directory copied into: a source that holds them is not copied into itself.
    own: Vec<Inode>,
    /// Some perhaps more than once.
    touched: Vec<RootPath>,
    noticed: Cell<Noticed>,
}

/// What the sources of a copy turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// The user and the group of the first one whose copy belongs to somebody else.
    pub replaced_owner: Option<(u32, u32)>,
    /// One had extended attributes.
    pub attributes: bool,
    /// Two names were one file.
    pub links: bool,
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
    /// Starts copies out of `from`.
    pub fn new(from: &'a Root, to: &'a Root, stamp: Stamp<'a>, onto: Onto) -> Self {
        let (from, there) = (Cursor::new(from), Cursor::new(to));
        let (fresh, copies, open, own, touched) = Default::default();
        let (waiting, waiting_files, late, noticed) = (Vec::new(), 0, Vec::new(), Cell::default());
        Copier {
            from,
            to,
            there,
            stamp,
            onto,
            fresh,
            copies,
            open,
            waiting,
            waiting_files,
            late,
            own,
            touched,
            noticed,
        }
    }

    /// Goes on with copies out of `from`.
    pub fn turn_to(&mut self, from: &'a Root) {
        self.from = Cursor::new(from);
    }

    /// Makes `path` and the directories above it where they are missing, with the owner and the mode of the copies.
    pub fn directory(&mut self, path: &RootPath) -> Result<()> {
        let mode = self.mode(IMPLIED_MODE, true);
        self.directory_of(path, mode)
    }

    fn directory_of(&mut self, path: &RootPath, mode: u32) -> Result<()> {
        let (uid, gid) = self.owner();
        if self.onto == Onto::Standing {
            self.touched.extend(self.to.create_dir_all(path, mode, uid, gid)?);
            return Ok(());
        }
        let mut way: Vec<RootPath> = std::iter::once(path.clone()).chain(path.ancestors()).collect();
        way.retain(|path| !path.is_root() && !self.fresh.contains(path));
        for path in way.into_iter().rev() {
            if !self.vacate_for_directory(&path)? {
                self.to.create_dir(&path, mode, uid, gid)?;
            }
            let xattrs = Default::default();
            set(self.to, &path, &Entry { kind: Kind::Directory, mode, uid, gid, mtime: Timestamp::now(), xattrs })?;
            self.touched.push(path.clone());
            self.fresh.insert(path);
        }
        Ok(())
    }

    /// Makes way for a directory; says whether one stands there already.
    fn vacate_for_directory(&mut self, path: &RootPath) -> Result<bool> {
        match self.there.observe(path)? {
            Some(node) if node.entry.is_directory() => Ok(true),
            Some(_) => self.vacate(path).map(|()| false),
            None => Ok(false),
        }
    }

    /// What the sources so far turned out to be.
    pub fn noticed(&self) -> Noticed {
        self.noticed.get()
    }

    fn notice(&self, change: impl FnOnce(&mut Noticed)) {
        let mut noticed = self.noticed.get();
        change(&mut noticed);
        self.noticed.set(noticed);
    }

    fn vacate(&mut self, path: &RootPath) -> Result<()> {
        self.there.forget(path);
        vacate(self.to, path, &mut self.touched)
    }

    /// What becomes of the permission bits `mode`.
    fn mode(&self, mode: u32, is_directory: bool) -> u32 {
        self.stamp.mode.map_or(mode, |remode| remode(mode, is_directory))
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

    /// Copies the contents of the directory `source`, or else `source` itself, to `target`. The filter is asked about what
    /// is below `source`, by its path in the root, and not about `source` itself; what is above `target` must be there.
    pub fn copy(&mut self, source: &RootPath, target: &RootPath, filter: Filter<'_>) -> Result<()> {
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
        self.contents(source, target, filter)?;
        self.write_waiting()?;
        let late = std::mem::take(&mut self.late);
        late.iter().try_for_each(|(path, entry)| set(self.to, path, entry))
    }

    /// Writes a file that has no source in the tree; the stamp applies to what `entry` says.
    pub fn write(&mut self, target: &RootPath, content: &mut dyn Read, entry: &Entry) -> Result<()> {
        self.guard(target)?;
        self.clear_of_directory(target)?;
        self.touched.push(target.clone());
        let made = self.to.write_file(target, content, &self.stamped(entry))?;
        report(target, &made);
        Ok(())
    }

    /// A directory is not replaced by anything else, unless it stands for nothing.
    fn clear_of_directory(&mut self, target: &RootPath) -> Result<()> {
        match self.there.observe(target)? {
            Some(old) if old.entry.is_directory() && self.onto == Onto::Fresh && !self.fresh.contains(target) => {
                self.vacate(target)
            }
            Some(old) if old.entry.is_directory() => Err(in_the_way(target, io::ErrorKind::IsADirectory).into()),
            _ => Ok(()),
        }
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
        self.directory_of(target, IMPLIED_MODE)?;
        extract(self.to, target, tar, owner, &mut self.touched)
    }

    /// Whether `path` is a directory that this copy made in a fresh tree.
    pub fn has_made(&self, path: &RootPath) -> bool {
        self.fresh.contains(path)
    }

    /// What was written: files, directories whose attributes were set, and directories made on the way.
    pub fn into_touched(self) -> BTreeSet<RootPath> {
        self.touched.into_iter().collect()
    }

    fn contents(&mut self, source: &RootPath, target: &RootPath, filter: Filter<'_>) -> Result<()> {
        for name in self.from.read_dir(source)? {
            let child = source.join_name(&name);
            let glance = self.from.folder(source)?.map(|folder| folder.glance(&name)).transpose()?.flatten();
            let Some(seen) = glance.map(|glance| glance.bare()) else { continue };
            let target = target.join_name(&name);
            let is_directory = seen.entry.is_directory();
            match filter(&child, is_directory) {
                Selection::Skip => {}
                _ if is_directory && self.own.contains(&seen.inode) => {}
                _ if self.to.is_protected(&target) => {
                    tracing::warn!("{target} belongs to this machine and is not copied");
                }
                Selection::Descend if !is_directory => {}
                Selection::Take if seen.nlink == 1 && matches!(seen.entry.kind, Kind::File { .. }) => {
                    self.later(source, &name, &seen.entry, target)?;
                }
                selection => {
                    let Some(node) = self.from.observe(&child)? else { continue };
                    match node.entry.is_directory() {
                        true => self.tree(&child, &node, target, (selection, filter))?,
                        false => self.item(&child, &node, &target)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Copies a directory below the source, if it is taken or anything in it is.
    fn tree(
        &mut self,
        source: &RootPath,
        node: &Node,
        target: RootPath,
        (selection, filter): (Selection, Filter<'_>),
    ) -> Result<()> {
        self.open.push(OpenDirectory {
            target: target.clone(),
            entry: self.stamped(&node.entry),
            state: State::NotYet,
        });
        if selection == Selection::Take {
            self.make_open()?;
        }
        self.contents(source, &target, filter)?;
        if let Some(OpenDirectory { target, entry, state: State::Made }) = self.open.pop() {
            self.late.push((target, entry));
        }
        Ok(())
    }

    /// Notes a file of the directory `folder` that has one name: it is written with others.
    fn later(&mut self, folder: &RootPath, name: &[u8], entry: &Entry, target: RootPath) -> Result<()> {
        self.make_open()?;
        let entry = self.stamped(entry);
        match self.waiting.last_mut().filter(|batch| batch.takes(folder)) {
            Some(batch) => batch.add(name, entry),
            None => self.waiting.extend(Batch::new(folder, name, entry, &target)),
        }
        self.touched.push(target);
        self.waiting_files += 1;
        if self.waiting_files < WAITING { Ok(()) } else { self.write_waiting() }
    }

    /// Writes the files that wait; those in whose place something stands one by one.
    fn write_waiting(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let threads = crew::threads().min(1 + std::mem::take(&mut self.waiting_files) / SHARE);
        let (from, to) = (self.from.root(), self.to);
        let writers = crew::share(threads, waiting, || Writer::new(from, to), |writer, batch, _| writer.write(batch))?;
        self.notice(|it| it.attributes |= writers.iter().any(Writer::saw_attributes));
        for (source, target) in writers.into_iter().flat_map(Writer::finish) {
            let node = self.from.observe(&source)?.ok_or_else(|| missing(&source))?;
            self.place(&source, &node, &target)?;
        }
        Ok(())
    }

    /// Makes the open directories that are not there yet.
    fn make_open(&mut self) -> Result<()> {
        for at in 0..self.open.len() {
            if self.open[at].state == State::Made {
                continue;
            }
            let target = self.open[at].target.clone();
            match self.there.observe(&target)? {
                Some(node) if node.entry.is_directory() => {}
                Some(_) if self.onto == Onto::Fresh => {
                    self.vacate(&target)?;
                    self.to.create_dir(&target, 0o700, 0, 0)?;
                }
                Some(_) => return Err(in_the_way(&target, io::ErrorKind::NotADirectory).into()),
                None => self.to.create_dir(&target, 0o700, 0, 0)?,
            }
            self.open[at].state = State::Made;
            if self.onto == Onto::Fresh {
                self.fresh.insert(target.clone());
            }
            self.touched.push(target);
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
        self.place(source, node, target)
    }

    /// Copies it into a directory that is there, in place of what may stand there.
    fn place(&mut self, source: &RootPath, node: &Node, target: &RootPath) -> Result<()> {
        self.touched.push(target.clone());
        match self.there.observe(target)? {
            Some(old) if old.inode == node.inode => return set(self.to, target, &self.stamped(&node.entry)),
            _ => self.clear_of_directory(target)?,
        }
        if let Some(first) = self.copies.get(&node.inode) {
            self.notice(|it| it.links = true);
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
        self.notice(|it| it.attributes |= !entry.xattrs.is_empty());
        if let Owner::Given(owner) = self.stamp.owner {
            if (entry.uid, entry.gid) != (owner.uid, owner.gid) {
                self.notice(|it| it.replaced_owner = it.replaced_owner.or(Some((entry.uid, entry.gid))));
            }
            (entry.uid, entry.gid) = (owner.uid, owner.gid);
        }
        if !matches!(entry.kind, Kind::Symlink(_)) {
            entry.mode = self.mode(entry.mode, entry.is_directory());
        }
        entry
    }
}

fn set(root: &Root, path: &RootPath, entry: &Entry) -> Result<()> {
    report(path, &root.set_attributes(path, entry)?);
    Ok(())
}

/// Removes what stands at `path`, whatever it is. Each path that goes is told: a later directory in its place may have the
/// very inode number of the one that went, and would not look like another.
pub(super) fn vacate(root: &Root, path: &RootPath, touched: &mut Vec<RootPath>) -> Result<()> {
    walk(root, path, |gone, _| {
        touched.push(gone.clone());
        Ok::<(), io::Error>(())
    })?;
    root.remove_tree(path)
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
mod tests;
