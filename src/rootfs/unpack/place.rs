//! Where an entry belongs: its parents, with symlinks followed inside the root, on the record alone.

use std::collections::VecDeque;

use super::{Refusal, UnpackError, Unpacker, implied_directory};
use crate::rootfs::resolve::LINKS;
use crate::rootfs::{Error, Kind, RootPath};

/// What to do about a parent that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make it, 0755 of root.
    Make,
    /// Say that the place does not exist.
    Leave,
}

/// One step of a look-up on the record.
enum Step {
    Directory,
    Link(Box<[u8]>),
    Other,
    Nothing,
}

impl Unpacker<'_> {
    /// The exact path of the directory that `parents` lead to; `None` if there is none and none is to be made. A protected
    /// directory is not looked at: the path below it is protected too.
    pub(super) fn place(&mut self, parents: &[&[u8]], missing: Missing) -> Result<Option<RootPath>, Placing> {
        let written = parents.join(&b'/');
        if let Some((last, place)) = &self.last_parent
            && *last == written
        {
            return Ok(Some(place.clone()));
        }
        let place = self.follow(parents, missing)?;
        self.last_parent = place.clone().map(|place| (written, place));
        Ok(place)
    }

    fn follow(&mut self, parents: &[&[u8]], missing: Missing) -> Result<Option<RootPath>, Placing> {
        let mut todo: VecDeque<Vec<u8>> = parents.iter().map(|name| name.to_vec()).collect();
        let (mut at, mut links) = (RootPath::root(), 0);
        while let Some(name) = todo.pop_front() {
            if name == b".." {
                at = at.parent().unwrap_or(at);
                continue;
            }
            let next = at.join_name(&name);
            match self.step(&next) {
                Step::Directory => at = next,
                Step::Link(_) if links == LINKS => return Err(Refusal::Loop.into()),
                Step::Link(target) => {
                    links += 1;
                    if target.starts_with(b"/") {
                        at = RootPath::root();
                    }
                    let names = target.split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".");
                    names.rev().for_each(|name| todo.push_front(name.to_vec()));
                }
                Step::Other if missing == Missing::Make => return Err(Refusal::Parent.into()),
                Step::Nothing if missing == Missing::Make => {
                    self.imply(&next)?;
                    at = next;
                }
                Step::Other | Step::Nothing => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    fn step(&self, path: &RootPath) -> Step {
        if self.root.is_protected(path) {
            return Step::Directory;
        }
        match self.tree.get(path) {
            None => Step::Nothing,
            Some(node) => match &node.entry.kind {
                Kind::Directory => Step::Directory,
                _ if node.foreign => Step::Nothing,
                Kind::Symlink(target) => Step::Link(target.clone()),
                _ => Step::Other,
            },
        }
    }

    fn imply(&mut self, path: &RootPath) -> Result<(), Placing> {
        if self.tree.get(path).is_some() {
            self.remove(path)?;
        }
        self.make_directory(path, &implied_directory())?;
        Ok(())
    }
}

/// Why an entry has no place.
#[derive(Debug)]
pub(super) enum Placing {
    Refused(Refusal),
    Failed(Error),
}

impl From<Refusal> for Placing {
    fn from(refusal: Refusal) -> Self {
        Placing::Refused(refusal)
    }
}

impl<E: Into<Error>> From<E> for Placing {
    fn from(error: E) -> Self {
        Placing::Failed(error.into())
    }
}

impl Placing {
    /// The error with the name of the entry.
    pub(super) fn named(self, name: &[u8]) -> UnpackError {
        let name = String::from_utf8_lossy(name).into_owned();
        match self {
            Placing::Refused(refusal) => UnpackError::Refused { name, refusal },
            Placing::Failed(source) => UnpackError::Write { name, source },
        }
    }
}
