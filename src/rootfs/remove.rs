//! Removing trees. It never crosses into another mount, never follows a link, and leaves protected paths with the
//! directories that lead to them.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, OFlags, RenameFlags, renameat_with, unlinkat};
use rustix::io::{Errno, Result as SysResult};

use super::error::failed;
use super::observe::names;
use super::open::{Mounts, Opener};
use super::{Error, Result, Root, RootPath};
use crate::crew;

/// Directories deeper than this are first moved up, so that a hostile tree can exhaust neither the stack nor descriptors.
const DEEPEST: usize = 64;

/// So many threads for each entry of the root at most: in few there is little to remove.
const THREADS: usize = 4;

/// What is left of a removed path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// Protected paths, and the directories on the way to them.
    Protected,
}

impl Root {
    /// Removes what stands at the exact `path`, with everything below; nothing there is fine. Refuses a path that is
    /// protected or holds a protected one.
    pub fn remove_tree(&self, path: &RootPath) -> Result<()> {
        let inside = self.protected().iter().find(|p| path.is_at_or_below(p) || p.is_at_or_below(path));
        if let Some(protected) = inside {
            return Err(Error::Protected(protected.clone()));
        }
        self.remove_unprotected(path).map(|_| ()).map_err(Error::Io)
    }

    /// The same, but leaves what is protected.
    pub(super) fn remove_unprotected(&self, path: &RootPath) -> io::Result<Left> {
        let Some((parent, name)) = path.split() else { return clear(self).map(|()| Left::Protected) };
        match self.open_exact(&parent, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(fd) => remove(self, fd.as_fd(), name, path).map_err(|e| failed("remove", path, e)),
            Err(errno) if super::error::means_absent(errno) => Ok(Left::Nothing),
            Err(errno) => Err(failed("open", &parent, errno)),
        }
    }
}

/// Empties the root of all but protected paths and the directories on the way to them.
pub fn clear(root: &Root) -> io::Result<()> {
    let top = RootPath::root();
    let names = root.read_dir(&top)?;
    thin_out(root, &names);
    for name in names {
        let path = top.join_name(&name);
        remove(root, root.fd(), &name, &path).map_err(|e| failed("remove", &path, e))?;
    }
    Ok(())
}

/// A directory of which nothing need stay.
struct Crowded {
    parent: Arc<OwnedFd>,
    name: Vec<u8>,
    depth: usize,
}

/// Removes what is no directory below those of `names` that hold nothing protected, by several threads. What fails here is met
/// again by whoever removes the rest.
fn thin_out(root: &Root, names: &[Vec<u8>]) {
    let Ok(top) = root.fd().try_clone_to_owned().map(Arc::new) else { return };
    let path = |name: &&Vec<u8>| RootPath::root().join_name(name);
    let free = names.iter().filter(|name| !root.is_protected(&path(name)) && !root.holds_protected(&path(name)));
    let todo: Vec<_> = free.map(|name| Crowded { parent: Arc::clone(&top), name: name.clone(), depth: 0 }).collect();
    let threads = crew::threads().min(todo.len().saturating_mul(THREADS));
    let work = |(): &mut (), crowded: Crowded, more: &mut Vec<Crowded>| {
        // What is no directory, a mount, or gone.
        let _ = crowded.thin_out(root.opener(), more);
        Ok::<(), Infallible>(())
    };
    let Ok(_) = crew::share(threads, todo, || (), work);
}

impl Crowded {
    fn thin_out(self, opener: Opener, more: &mut Vec<Crowded>) -> SysResult<()> {
        let directory = Arc::new(open(opener, self.parent.as_fd(), &self.name)?);
        for name in names(&directory)? {
            if unlink(directory.as_fd(), &name)? == Unlinked::IsDirectory && self.depth < DEEPEST {
                more.push(Crowded { parent: Arc::clone(&directory), name, depth: self.depth + 1 });
            }
        }
        Ok(())
    }
}

fn remove(root: &Root, parent: BorrowedFd<'_>, name: &[u8], path: &RootPath) -> SysResult<Left> {
    if root.is_protected(path) {
        return Ok(Left::Protected);
    }
    if unlink(parent, name)? == Unlinked::Yes {
        return Ok(Left::Nothing);
    }
    let directory = open(root.opener(), parent, name)?;
    if !root.holds_protected(path) {
        empty(root.opener(), &directory)?;
        unlinkat(parent, name, AtFlags::REMOVEDIR)?;
        return Ok(Left::Nothing);
    }
    for child in names(&directory)? {
        remove(root, directory.as_fd(), &child, &path.join_name(&child))?;
    }
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Left::Protected),
        result => result.map(|()| Left::Nothing),
    }
}

#[derive(PartialEq, Eq)]
enum Unlinked {
    Yes,
    IsDirectory,
}

fn unlink(parent: BorrowedFd<'_>, name: &[u8]) -> SysResult<Unlinked> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(Unlinked::Yes),
        Err(Errno::ISDIR) => Ok(Unlinked::IsDirectory),
        Err(errno) => Err(errno),
    }
}

fn open(opener: Opener, parent: BorrowedFd<'_>, name: &[u8]) -> SysResult<OwnedFd> {
    opener.open(parent, name, OFlags::RDONLY | OFlags::DIRECTORY, Mounts::Refuse)
}

/// Empties `top`, round by round: a round moves what lies too deep up into `top`, for the next one.
fn empty(opener: Opener, top: &OwnedFd) -> SysResult<()> {
    let mut moved = 0;
    loop {
        let names = names(top)?;
        if names.is_empty() {
            return Ok(());
        }
        empty_below(opener, top, top, &names, &mut moved, 0)?;
    }
}

fn empty_below(
    opener: Opener,
    top: &OwnedFd,
    directory: &OwnedFd,
    children: &[Vec<u8>],
    moved: &mut u64,
    depth: usize,
) -> SysResult<()> {
    for name in children {
        if unlink(directory.as_fd(), name)? == Unlinked::Yes
            || (depth >= DEEPEST && move_up(top, directory, name, moved))
        {
            continue;
        }
        let child = open(opener, directory.as_fd(), name)?;
        empty_below(opener, top, &child, &names(&child)?, moved, depth + 1)?;
        unlinkat(directory, &name[..], AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Whether it could be moved; overlayfs moves no directory that lies in a lower layer.
fn move_up(top: &OwnedFd, directory: &OwnedFd, name: &[u8], moved: &mut u64) -> bool {
    loop {
        *moved += 1;
        let new = format!(".moved-up-{moved}");
        match renameat_with(directory, name, top, new.as_bytes(), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            result => return result.is_ok(),
        }
    }
}
