//! Looking at what is in an open directory: one statx(2) for each name, and more only where nobody knows the rest.
//!
//! What was read of a file is what stood there: its stamp after is the one before, or it is read again, and an error if it
//! will not stand still. Stamps that a later change may have too are never told to the memo.

use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::memo::{Book, Record, Stamp};
use super::row::{Body, Found, Part, Sort, digest};
use super::walk::{Piece, Task, Walked, Way};
use super::{Error, Includes, Owners};
use crate::ctime::{Tick, is_racy};
use crate::rootfs::{ContentDigest, Folder, Glance, Kind, Node, RootPath, Selection, Timestamp, Xattrs, xattrs};

/// The most files and bytes that are one piece of reading, unless one file has more.
const FILES: usize = 32;
const BYTES: u64 = 4 << 20;
/// How often a file is read that changes meanwhile: a context may hold the log of the build.
const ATTEMPTS: usize = 5;
const BUFFER: usize = 128 * 1024;

/// A regular file whose body nobody knows, as it was seen.
pub(super) struct Unread {
    name: Vec<u8>,
    node: Node,
}

/// One thread's look at a tree.
pub(super) struct Eye<'a> {
    owners: Owners,
    includes: Includes<'a>,
    known: Option<&'a Book>,
    /// When the walk began.
    since: Timestamp,
    walked: Walked,
    buffer: Vec<u8>,
}

/// Files to read, handed on in pieces.
#[derive(Default)]
struct Batch {
    files: Vec<Unread>,
    bytes: u64,
}

impl<'a> Eye<'a> {
    pub(super) fn new(way: &Way<'a>, since: Timestamp) -> Self {
        let Way { owners, includes, known, .. } = *way;
        Eye { owners, includes, known, since, walked: Walked::default(), buffer: Vec::new() }
    }

    pub(super) fn finish(self) -> Walked {
        self.walked
    }

    /// A directory is about to be listed.
    pub(super) fn lists(&mut self) {
        self.walked.work.listed += 1;
    }

    /// Notes what was observed at `path`, which is no regular file.
    pub(super) fn see(&mut self, path: RootPath, node: &Node) {
        self.walked.work.stats += 1;
        self.add(path, node, Body::of(&node.entry), Part::Taken);
    }

    /// Looks at `name`, which is no directory and takes part; says whether it is there.
    pub(super) fn alone(&mut self, folder: &Folder<'_>, name: &[u8]) -> Result<bool, Error> {
        let Some(node) = self.glance(folder, name)? else { return Ok(false) };
        match (self.known.and_then(|book| book.body(&node)), &node.entry.kind) {
            (Some(body), _) => self.add(folder.path().join_name(name), &node, body, Part::Taken),
            (None, Kind::File { .. }) => self.read(folder, &Unread { name: name.to_vec(), node })?,
            (None, _) => self.other(folder, name, Part::Taken)?,
        }
        Ok(true)
    }

    /// Looks at `names`. Directories to enter and files to read go to `more`.
    pub(super) fn look(&mut self, folder: &Folder<'_>, names: &[Vec<u8>], more: &mut Vec<Piece>) -> Result<(), Error> {
        let mut batch = Batch::default();
        for name in names {
            let Some(node) = self.glance(folder, name)? else { continue };
            let (path, is_directory) = (folder.path().join_name(name), node.entry.is_directory());
            let part = match (self.includes)(&path, is_directory) {
                Selection::Take => Part::Taken,
                Selection::Descend if is_directory => Part::Way,
                Selection::Descend | Selection::Skip => continue,
            };
            if is_directory {
                more.push(Piece { folder: path.clone(), task: Task::List });
            }
            match (self.known.and_then(|book| book.body(&node)), &node.entry.kind) {
                (Some(body), _) => self.add(path, &node, body, part),
                (None, Kind::File { size, .. }) => {
                    let size = *size;
                    batch.add(Unread { name: name.clone(), node }, size, folder.path(), more);
                }
                (None, _) => self.other(folder, name, part)?,
            }
        }
        batch.flush(folder.path(), more);
        Ok(())
    }

    fn glance(&mut self, folder: &Folder<'_>, name: &[u8]) -> io::Result<Option<Node>> {
        self.walked.work.stats += 1;
        Ok(folder.glance(name)?.map(|glance| glance.bare()))
    }

    /// Notes what is no regular file and of which only a glance was had.
    fn other(&mut self, folder: &Folder<'_>, name: &[u8], part: Part) -> Result<(), Error> {
        self.walked.work.observed += 1;
        let Some(node) = folder.observe(name)? else { return Ok(()) };
        let path = folder.path().join_name(name);
        if let Kind::File { .. } = node.entry.kind {
            return Err(Error::Changed(path));
        }
        let body = Body::of(&node.entry);
        self.learn(&node, body);
        self.add(path, &node, body, part);
        Ok(())
    }

    /// Reads a file and notes it.
    pub(super) fn read(&mut self, folder: &Folder<'_>, file: &Unread) -> Result<(), Error> {
        let path = folder.path().join_name(&file.name);
        let mut expected = file.node.clone();
        for _ in 0..ATTEMPTS {
            let opened = match folder.open_file(&file.name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                result => result?,
            };
            let (content, attributes) = self.content(&opened, &path, &expected)?;
            let after = Glance::of(&opened)?.bare();
            if Stamp::of(&after) == Stamp::of(&expected) && after.inode == expected.inode {
                let body = Body::file(&content, &attributes);
                self.learn(&after, body);
                self.add(path, &after, body, Part::Taken);
                return Ok(());
            }
            expected = after;
        }
        Err(Error::Changed(path))
    }

    /// The digest of what an open file holds, up to the size that is expected, and its attributes.
    fn content(&mut self, mut file: &File, path: &RootPath, expected: &Node) -> io::Result<(ContentDigest, Xattrs)> {
        let Kind::File { size, .. } = expected.entry.kind else { return Err(io::ErrorKind::InvalidInput.into()) };
        self.walked.work.read_files += 1;
        self.buffer.resize(BUFFER, 0);
        let (mut hasher, mut left) = (Sha256::new(), size);
        while left > 0 {
            let most = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match file.read(&mut self.buffer[..most]) {
                // It became shorter; its stamp will say so.
                Ok(0) => break,
                Ok(n) => {
                    hasher.update(&self.buffer[..n]);
                    left -= n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(io::Error::new(e.kind(), format!("{path}: read: {e}"))),
            }
        }
        self.walked.work.read_bytes += size - left;
        let attributes = xattrs(file).map_err(|e| io::Error::new(e.kind(), format!("{path}: listxattr: {e}")))?;
        Ok((hasher.finalize().into(), attributes))
    }

    /// Keeps `body` for the stamp of `node`, unless a change that is still to come may leave that stamp as it is.
    fn learn(&mut self, node: &Node, body: Body) {
        if self.known.is_some_and(|book| book.covers(node)) && !is_racy(node.ctime, self.since, Tick(1)) {
            self.walked.learned.push(Record { stamp: Stamp::of(node), body });
        }
    }

    fn add(&mut self, path: RootPath, node: &Node, body: Body, part: Part) {
        let entry = &node.entry;
        let Some(sort) = Sort::of(&entry.kind) else { return };
        let shared = (sort == Sort::File && node.nlink > 1).then_some(node.inode);
        let owner = (entry.uid, entry.gid);
        let mut found = Found { path, sort, mode: entry.mode, owner, body, shared, part, digest: None };
        found.digest = Some(digest(&found, self.owners, None));
        self.walked.found.push(found);
    }
}

impl Batch {
    fn add(&mut self, file: Unread, size: u64, folder: &RootPath, more: &mut Vec<Piece>) {
        self.files.push(file);
        self.bytes += size;
        if self.files.len() >= FILES || self.bytes >= BYTES {
            self.flush(folder, more);
        }
    }

    fn flush(&mut self, folder: &RootPath, more: &mut Vec<Piece>) {
        let Batch { files, .. } = std::mem::take(self);
        if !files.is_empty() {
            more.push(Piece { folder: folder.clone(), task: Task::Read(files) });
        }
    }
}
