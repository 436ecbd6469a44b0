//! Plain files, written by several threads while the entries after them are read.
//!
//! What comes here is decided already: new files in directories that stand. Whoever changes a path that may be under way, or
//! needs to know which file it became, waits for the writers first. Memory is bounded by a few batches.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fd::BorrowedFd;
use sha2::{Digest, Sha256};

use crate::rootfs::error::failed;
use crate::rootfs::make::{self, Made};
use crate::rootfs::{Cursor, Entry, Root, RootPath};

/// Files of more bytes are not held to be written by others.
pub(super) const SMALL: u64 = 256 << 10;
/// The most files of a batch, and the bytes that end one.
const FILES: usize = 64;
const BYTES: usize = 512 << 10;
/// More batches than this do not wait.
const WAITING: usize = 4;
/// More threads than this do not make files faster.
pub(super) const MOST: usize = 4;

/// New files of one directory.
#[derive(Debug)]
pub(super) struct Batch {
    directory: RootPath,
    /// How often something had been removed when it was begun.
    era: u64,
    files: Vec<Planned>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Planned {
    path: RootPath,
    entry: Arc<Entry>,
    length: usize,
}

/// A file that was written, as the disk holds it.
pub(super) type Written = (RootPath, Made);

/// What the reader of a layer and its writers share.
#[derive(Debug, Default)]
pub(super) struct Writers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Batch>,
    /// Batches that wait or are being written.
    under_way: usize,
    written: Vec<Written>,
    failure: Option<(RootPath, io::Error)>,
    is_closed: bool,
}

impl Batch {
    /// Of `directory`, with nothing in it.
    pub(super) fn new(directory: RootPath, era: u64) -> Self {
        Batch { directory, era, files: Vec::new(), bytes: Vec::new() }
    }

    /// Whether a further file at `path` goes in.
    pub(super) fn takes(&self, path: &RootPath) -> bool {
        let parent = path.as_bytes().len() - path.name().map_or(0, <[u8]>::len);
        let is_here = match self.directory.as_bytes() {
            [] => parent == 0,
            directory => path.as_bytes()[..parent].strip_suffix(b"/") == Some(directory),
        };
        is_here && self.files.len() < FILES && self.bytes.len() < BYTES
    }

    /// Adds a file, whose content `fill` appends.
    pub(super) fn add<E>(
        &mut self,
        path: RootPath,
        entry: Arc<Entry>,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = self.bytes.len();
        fill(&mut self.bytes).inspect_err(|_| self.bytes.truncate(before))?;
        self.files.push(Planned { path, entry, length: self.bytes.len() - before });
        Ok(())
    }
}

/// See [`Writers::closing`].
pub(super) struct Closing<'w>(&'w Writers);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Writers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'s>(&self, state: MutexGuard<'s, State>, is_early: impl Fn(&State) -> bool) -> MutexGuard<'s, State> {
        self.changed.wait_while(state, |state| is_early(state)).unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `batch` written, and returns what was written meanwhile.
    ///
    /// # Errors
    /// A writer failed: see [`Writers::take_failure`].
    pub(super) fn hand_over(&self, batch: Batch) -> io::Result<Vec<Written>> {
        let mut state = self.wait_while(self.lock(), |it| it.waiting.len() >= WAITING && it.failure.is_none());
        if !batch.files.is_empty() {
            state.waiting.push_back(batch);
            state.under_way += 1;
            self.changed.notify_all();
        }
        state.outcome()
    }

    /// Waits until nothing is under way, and returns what was written.
    ///
    /// # Errors
    /// As [`Writers::hand_over`].
    pub(super) fn settle(&self) -> io::Result<Vec<Written>> {
        self.wait_while(self.lock(), |it| it.under_way > 0 && it.failure.is_none()).outcome()
    }

    /// What went wrong first, and with which file.
    pub(super) fn take_failure(&self) -> Option<(RootPath, io::Error)> {
        self.lock().failure.take()
    }

    /// Has the writers end when the value is dropped, a panic included: nobody would wake them afterwards. What still waits then is
    /// not written.
    pub(super) fn closing(&self) -> Closing<'_> {
        Closing(self)
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Writes batches until the end.
    pub(super) fn work(&self, root: &Root) {
        let (mut cursor, mut era) = (Cursor::new(root), 0);
        while let Some(batch) = self.next() {
            let under_way = UnderWay(self);
            if batch.era != era {
                // A directory of that name may be another one now.
                (cursor, era) = (Cursor::new(root), batch.era);
            }
            let mut written = Vec::with_capacity(batch.files.len());
            let outcome = write(&mut cursor, batch, &mut written);
            let mut state = self.lock();
            state.written.append(&mut written);
            if let Err(failure) = outcome {
                state.failure.get_or_insert(failure);
            }
            drop(state);
            drop(under_way);
        }
    }

    fn next(&self) -> Option<Batch> {
        let mut state = self.wait_while(self.lock(), |it| it.waiting.is_empty() && !it.is_closed);
        if state.is_closed { None } else { state.waiting.pop_front() }
    }
}

impl State {
    fn outcome(&mut self) -> io::Result<Vec<Written>> {
        match self.failure {
            Some(_) => Err(io::Error::other("a file could not be written")),
            None => Ok(std::mem::take(&mut self.written)),
        }
    }
}

/// A batch that is being written, until it is, however that ends.
struct UnderWay<'w>(&'w Writers);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.under_way -= 1;
        if std::thread::panicking() {
            state.failure.get_or_insert((RootPath::root(), io::Error::other("a thread that writes files panicked")));
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

fn write(cursor: &mut Cursor<'_>, batch: Batch, written: &mut Vec<Written>) -> Result<(), (RootPath, io::Error)> {
    let Batch { directory, files, bytes, .. } = batch;
    let parent = match cursor.directory(&directory) {
        Ok(parent) => parent,
        Err(errno) => return Err((directory.clone(), failed("open", &directory, errno))),
    };
    let mut rest = &bytes[..];
    for Planned { path, entry, length } in files {
        let (content, after) = rest.split_at(length);
        rest = after;
        match write_file(parent, &path, &entry, content) {
            Ok(made) => written.push((path, made)),
            Err(error) => return Err((path.clone(), failed("write", &path, error))),
        }
    }
    Ok(())
}

fn write_file(parent: BorrowedFd<'_>, path: &RootPath, entry: &Entry, content: &[u8]) -> io::Result<Made> {
    make::file(parent, path.name().unwrap_or_default(), entry, |file| {
        file.write_all(content)?;
        Ok(Sha256::digest(content).into())
    })
}
