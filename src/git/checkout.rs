//! A tree as files: written into an empty directory of ours, every name relative to an open directory that we made.
//!
//! Files are 0644 or 0755, directories 0755, whatever the umask. Nothing is replaced and no link is followed, so two entries of
//! one name are an error, and what a hostile tree does with links stays in its directory.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use gix_hash::ObjectId;
use gix_object::Kind;
use gix_object::tree::EntryKind;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, fchmod, futimens, mkdirat, openat, symlinkat,
    utimensat,
};

use super::bounds::{self, Room};
use super::objects::{Entry, Objects, entries};

const DIRECTORY: u32 = 0o755;

/// Where a commit of another repository belongs.
pub(super) struct Gitlink {
    /// Relative to the top.
    pub path: Vec<u8>,
    pub commit: ObjectId,
}

/// A checkout in progress.
pub(super) struct Checkout<'a> {
    objects: &'a Objects,
    room: &'a mut Room,
    mtime: Option<i64>,
    path: Vec<u8>,
    submodules: Vec<Gitlink>,
    content: Vec<u8>,
}

impl<'a> Checkout<'a> {
    /// A checkout whose files were modified at `mtime`, in seconds since the epoch; `None` is now.
    pub(super) fn new(objects: &'a Objects, room: &'a mut Room, mtime: Option<i64>) -> Self {
        Checkout { objects, room, mtime, path: Vec::new(), submodules: Vec::new(), content: Vec::new() }
    }

    /// Writes `tree` into the directory `into`.
    pub(super) fn write(&mut self, tree: ObjectId, into: &OwnedFd) -> Result<()> {
        self.tree(tree, into, 0)
    }

    /// The submodules that were met, whose directories are empty.
    pub(super) fn into_submodules(self) -> Vec<Gitlink> {
        self.submodules
    }

    fn tree(&mut self, id: ObjectId, into: &OwnedFd, depth: usize) -> Result<()> {
        ensure!(depth < bounds::DEPTH, "its directories are more than {} deep", bounds::DEPTH);
        let mut buffer = Vec::new();
        self.objects.read(&id, Kind::Tree, &mut buffer)?;
        for entry in entries(&buffer)? {
            let length = self.path.len();
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&entry.name);
            let written = self.entry(&entry, into, depth);
            written.with_context(|| format!("{:?}", String::from_utf8_lossy(&self.path)))?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, into: &OwnedFd, depth: usize) -> Result<()> {
        match entry.kind {
            EntryKind::Tree | EntryKind::Commit => {
                self.room.take(0)?;
                let directory = make_directory(into, &entry.name)?;
                if entry.kind == EntryKind::Tree {
                    self.tree(entry.id, &directory, depth + 1)?;
                } else {
                    self.submodules.push(Gitlink { path: self.path.clone(), commit: entry.id });
                }
                stamp(&directory, self.mtime)
            }
            EntryKind::Blob => self.file(entry, into, 0o644),
            EntryKind::BlobExecutable => self.file(entry, into, 0o755),
            EntryKind::Link => self.link(entry, into),
        }
    }

    fn file(&mut self, entry: &Entry, into: &OwnedFd, mode: u32) -> Result<()> {
        self.objects.read(&entry.id, Kind::Blob, &mut self.content)?;
        self.room.take(self.content.len())?;
        let mut file = create(into, &entry.name, mode)?;
        file.write_all(&self.content)?;
        stamp(&file, self.mtime)
    }

    fn link(&mut self, entry: &Entry, into: &OwnedFd) -> Result<()> {
        self.objects.read(&entry.id, Kind::Blob, &mut self.content)?;
        self.room.take(self.content.len())?;
        let target = &self.content;
        let is_good = !target.is_empty() && target.len() <= bounds::LINK && !target.contains(&0);
        ensure!(is_good, "no symbolic link can have this target");
        symlinkat(target.as_slice(), into, entry.name.as_slice())?;
        utimensat(into, entry.name.as_slice(), &times(self.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }
}

/// Opens a directory of ours.
pub(super) fn open(path: &Path) -> Result<OwnedFd> {
    Ok(openat(CWD, path, DIRECTORY_FLAGS, Mode::empty())?)
}

/// Opens the directory at `path` below another, through no link.
pub(super) fn below(top: &OwnedFd, path: &[u8]) -> Result<OwnedFd> {
    let mut directory = top.try_clone()?;
    for name in path.split(|byte| *byte == b'/') {
        directory = openat(&directory, name, DIRECTORY_FLAGS | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(directory)
}

/// Makes a directory that was not there and opens it.
pub(super) fn make_directory(into: &OwnedFd, name: &[u8]) -> Result<OwnedFd> {
    mkdirat(into, name, Mode::from_raw_mode(DIRECTORY))?;
    let directory = openat(into, name, DIRECTORY_FLAGS | OFlags::NOFOLLOW, Mode::empty())?;
    fchmod(&directory, Mode::from_raw_mode(DIRECTORY))?;
    Ok(directory)
}

/// Makes a file that was not there.
pub(super) fn create(into: &OwnedFd, name: &[u8], mode: u32) -> Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(into, name, flags, Mode::from_raw_mode(0o600))?;
    fchmod(&file, Mode::from_raw_mode(mode))?;
    Ok(File::from(file))
}

/// Says when a file or a directory was modified.
pub(super) fn stamp(file: impl AsFd, mtime: Option<i64>) -> Result<()> {
    Ok(futimens(file, &times(mtime))?)
}

fn times(mtime: Option<i64>) -> Timestamps {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let time = mtime.map_or(now, |tv_sec| Timespec { tv_sec, tv_nsec: 0 });
    Timestamps { last_access: time, last_modification: time }
}

const DIRECTORY_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
