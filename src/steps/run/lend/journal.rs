//! What is in place and how it goes back, as a file in our own directory: for the build after one that was killed.
//!
//! A record is written before anything is done. What stood at the target has been moved away exactly if it is in the attic,
//! so a record can be undone from any point on the way, and more than once.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, renameat, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{After, MEMORY, What, discard, is_link_to, open_directory, path_through};

const NAME: &str = "lent.json";

/// One target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The directory, by its path on this machine.
    parent: OsString,
    name: OsString,
    /// Where what stood there is; `None` if nothing did.
    shadow: Option<Attic>,
    /// Where what was lent came from and goes back to.
    origin: Option<OsString>,
    /// Whether it goes back.
    is_kept: bool,
    /// The file in memory that a link leads to.
    memory: Option<OsString>,
    /// Directories that were made on the way, outermost first.
    stubs: Vec<OsString>,
    /// Where a directory goes that nobody needs any more.
    trash: OsString,
}

/// Where something waits until the step is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Attic {
    /// In our directory, by its path.
    Ours(OsString),
    /// Beside the target, under this name: our directory is on another file system.
    Beside(OsString),
}

impl Attic {
    /// The directory and the name in it, where `parent` is that of the target.
    fn at<'a>(&'a self, parent: BorrowedFd<'a>) -> (BorrowedFd<'a>, &'a OsStr) {
        match self {
            Attic::Ours(path) => (CWD, path),
            Attic::Beside(name) => (parent, name),
        }
    }
}

impl Record {
    /// Nothing stands at `name` in `parent` so far.
    pub(super) fn new(parent: PathBuf, name: OsString, stubs: Vec<PathBuf>, trash: PathBuf) -> Self {
        let stubs = stubs.into_iter().map(PathBuf::into_os_string).collect();
        let (origin, is_kept, memory, shadow) = (None, false, None, None);
        Record { parent: parent.into(), name, shadow, origin, is_kept, memory, stubs, trash: trash.into() }
    }

    /// Something stands there, and goes to `attic` meanwhile.
    pub(super) fn shadows(&mut self, attic: Attic) {
        self.shadow = Some(attic);
    }

    /// Says what will stand there; `memory` is the number of the file in memory, if there can be one.
    pub(super) fn promise(&mut self, what: &What, memory: Option<usize>) {
        match what {
            What::Lent { source, after, .. } => {
                self.origin = Some(source.clone());
                self.is_kept = *after == After::Kept;
            }
            What::Secret { .. } => {
                let name = |number| format!("{MEMORY}/silt-{}-{number}", std::process::id()).into();
                self.memory = memory.map(name);
            }
            What::Memory { .. } | What::Script(_) => {}
        }
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    pub(super) fn memory(&self) -> Option<&Path> {
        self.memory.as_deref().map(Path::new)
    }

    /// For messages.
    pub(super) fn path(&self) -> PathBuf {
        Path::new(&self.parent).join(&self.name)
    }

    /// Moves away what stands there, within its file system if it cannot go to the attic.
    pub(super) fn set_aside(&self, parent: BorrowedFd<'_>) -> io::Result<()> {
        let Some((dir, name)) = self.shadow.as_ref().map(|attic| attic.at(parent)) else { return Ok(()) };
        renameat(parent, self.name(), dir, name).map_err(|why| {
            let why = io::Error::from(why);
            io::Error::new(why.kind(), format!("what stands there cannot be moved away: {why}"))
        })
    }

    /// Everything as it was.
    pub(super) fn undo(&self, parent: BorrowedFd<'_>) -> io::Result<()> {
        if let Some(memory) = self.memory() {
            remove_file(memory)?;
        }
        let shadow = self.shadow.as_ref().map(|attic| attic.at(parent));
        if shadow.is_some_and(|(dir, name)| statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_err()) {
            return Ok(());
        }
        self.take(parent)?;
        match shadow {
            Some((dir, name)) => match renameat(dir, name, parent, self.name()) {
                // The step removed the directory.
                Err(Errno::NOENT) => Ok(()),
                restored => Ok(restored?),
            },
            None => Ok(()),
        }
    }

    /// Takes away what we put there: back to where it belongs, or for good.
    fn take(&self, parent: BorrowedFd<'_>) -> io::Result<()> {
        let back = self.origin.as_deref().map(Path::new).filter(|origin| {
            self.is_kept && !is_link_to(parent, self.name(), origin) && fs::symlink_metadata(origin).is_err()
        });
        if let Some(back) = back {
            match renameat(parent, self.name(), CWD, back) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // The step put something from elsewhere in its place.
                Err(Errno::XDEV) => {}
                Err(why) => return Err(why.into()),
            }
        }
        discard(parent, self.name(), Path::new(&self.trash))
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

/// The file, and what it says so far.
pub(super) struct Journal {
    own: PathBuf,
    records: Vec<Record>,
}

impl Journal {
    pub(super) fn new(own: &Path) -> Self {
        Journal { own: own.to_owned(), records: Vec::new() }
    }

    /// Where the `number`th target's old content goes: to our directory if that is on the file system of the target's `parent`,
    /// otherwise beside it.
    pub(super) fn attic(&self, number: usize, parent: &OwnedFd) -> io::Result<Attic> {
        let is_ours = fs::metadata(&self.own)?.dev() == fs::metadata(path_through(parent))?.dev();
        Ok(match is_ours {
            true => Attic::Ours(self.own.join(format!("shadow-{number}")).into()),
            false => Attic::Beside(format!(".silt-shadow-{number}").into()),
        })
    }

    /// Where what stands in its place at the end goes, if it is a directory.
    pub(super) fn trash(&self, number: usize) -> PathBuf {
        self.own.join(format!("gone-{number}"))
    }

    /// Adds a record; it is on the disk when this returns.
    pub(super) fn add(&mut self, record: &Record) -> io::Result<()> {
        self.records.push(record.clone());
        let new = self.own.join("lent.new");
        fs::write(&new, serde_json::to_vec(&self.records)?)?;
        fs::rename(new, self.own.join(NAME))
    }

    pub(super) fn remove(self) -> io::Result<()> {
        remove_file(&self.own.join(NAME))
    }
}

/// Puts back what a build that was killed left in place, as the journal in its directory `own` says. Nothing to do is fine.
/// What cannot be put back is returned in words, one line each.
pub fn recover(own: &Path) -> io::Result<Vec<String>> {
    let text = match fs::read(own.join(NAME)) {
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        text => text?,
    };
    let records: Vec<Record> = serde_json::from_slice(&text)?;
    let mut problems = Vec::new();
    for record in records.iter().rev() {
        if let Err(why) = recover_one(record) {
            problems.push(format!("{}: {why}", record.path().display()));
        }
    }
    remove_file(&own.join(NAME))?;
    Ok(problems)
}

fn recover_one(record: &Record) -> io::Result<()> {
    match open_directory(Path::new(&record.parent)) {
        Ok(parent) => record.undo(parent.as_fd())?,
        // The step put a link there, or nothing.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => record.memory().map_or(Ok(()), remove_file)?,
        Err(why) => return Err(why.into()),
    }
    record.stubs.iter().rev().for_each(|stub| remove_stub(Path::new(stub)));
    Ok(())
}

/// Removes a directory that was made on the way. One that holds something else by now stays, and so does what is behind a link.
fn remove_stub(stub: &Path) {
    if let (Some(parent), Some(name)) = (stub.parent(), stub.file_name())
        && let Ok(parent) = open_directory(parent)
    {
        let _ = unlinkat(parent, name, AtFlags::REMOVEDIR);
    }
}

/// Whether anything is in place, for tests of what is left.
#[cfg(test)]
pub(super) fn is_there(own: &Path) -> bool {
    own.join(NAME).exists()
}
