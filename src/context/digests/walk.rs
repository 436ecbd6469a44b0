//! What stands in a tree, with the digests of contents, looked at by several threads. Links are not followed, and nothing
//! is changed.
//!
//! A piece of work is some names of one directory, or some of its files to read, so that threads share a directory of any
//! size. What vanishes meanwhile is not there, as for a copy.

use super::eye::{Eye, Unread};
use super::memo::{Book, Record};
use super::row::Found;
use super::{Error, Includes, Owners, Work};
use crate::crew;
use crate::ctime::Guard;
use crate::rootfs::{Cursor, Root, RootPath};

/// The most names that are one piece of work.
const NAMES: usize = 1_024;

/// Where a walk goes, and what is known before.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) tree: &'a Root,
    pub(super) owners: Owners,
    pub(super) includes: Includes<'a>,
    pub(super) known: Option<&'a Book>,
    pub(super) threads: usize,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) found: Vec<Found>,
    /// What was read and can be told again by its stamp.
    pub(super) learned: Vec<Record>,
    pub(super) work: Work,
}

/// What is to be done in a directory.
pub(super) struct Piece {
    pub(super) folder: RootPath,
    pub(super) task: Task,
}

pub(super) enum Task {
    /// All of it.
    List,
    /// These names.
    Look(Vec<Vec<u8>>),
    /// These files.
    Read(Vec<Unread>),
}

/// All that the filter lets through at and below `top`, and the directories on the way to it.
pub(super) fn walk(way: &Way<'_>, top: &RootPath) -> Result<Walked, Error> {
    // Before anything is looked at: what changes from now on gets a stamp that is not older.
    let since = Guard::now().since;
    let worker = || Walker { cursor: Cursor::new(way.tree), eye: Eye::new(way, since) };
    let mut first = worker();
    let todo = first.top(top)?;
    let threads = if todo.is_empty() { 1 } else { way.threads };
    let walkers = crew::share(threads, todo, worker, Walker::piece)?;
    Ok(walkers.into_iter().map(|walker| walker.eye.finish()).fold(first.eye.finish(), Walked::and))
}

/// One thread's part.
struct Walker<'a> {
    cursor: Cursor<'a>,
    eye: Eye<'a>,
}

impl Walker<'_> {
    /// What stands at `top`, and what is to be done below it.
    fn top(&mut self, top: &RootPath) -> Result<Vec<Piece>, Error> {
        let missing = || Error::Missing(top.clone());
        let node = self.cursor.observe(top)?.ok_or_else(missing)?;
        if node.entry.is_directory() {
            self.eye.see(top.clone(), &node);
            return Ok(vec![Piece { folder: top.clone(), task: Task::List }]);
        }
        let (folder, name) = top.split().ok_or_else(missing)?;
        let folder = self.cursor.folder(&folder)?.ok_or_else(missing)?;
        match self.eye.alone(&folder, name)? {
            true => Ok(Vec::new()),
            false => Err(missing()),
        }
    }

    /// Does one piece; those that follow from it go to `more`.
    fn piece(&mut self, piece: Piece, more: &mut Vec<Piece>) -> Result<(), Error> {
        let Piece { folder: path, task } = piece;
        let Some(folder) = self.cursor.folder(&path)? else { return Ok(()) };
        match task {
            Task::List => {
                self.eye.lists();
                let names = folder.names()?;
                let tasks = names.chunks(NAMES).rev().map(|names| Task::Look(names.to_vec()));
                more.extend(tasks.map(|task| Piece { folder: path.clone(), task }));
                Ok(())
            }
            Task::Look(names) => self.eye.look(&folder, &names, more),
            Task::Read(files) => files.iter().try_for_each(|file| self.eye.read(&folder, file)),
        }
    }
}

impl Walked {
    fn and(mut self, other: Walked) -> Walked {
        self.found.extend(other.found);
        self.learned.extend(other.learned);
        self.work += other.work;
        self
    }
}
