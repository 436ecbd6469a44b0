//! Changing the root at exact paths. Every change refuses protected paths, and goes through handles of parents that were
//! opened without following a link.

use std::io::{self, Read};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, OFlags, RawMode, Statx, linkat, unlinkat};
use rustix::io::Errno;

use super::error::failed;
use super::make::{self, Made};
use super::observe::{node, quietly, stat_at};
use super::{Entry, Error, Kind, Result, Root, RootPath, Timestamp, Xattrs};

impl Root {
    /// Makes one directory, modified now. Its parent must exist; the path must not.
    pub fn create_dir(&self, path: &RootPath, mode: u32, uid: u32, gid: u32) -> Result<()> {
        let (parent, name) = self.open_parent(path)?;
        let entry = Entry { kind: Kind::Directory, mode, uid, gid, mtime: Timestamp::now(), xattrs: Xattrs::new() };
        make::directory(parent.as_fd(), name, &entry).map_err(|e| failed("mkdir", path, e))?;
        Ok(())
    }

    /// Makes the directory `path` and all that are missing above it, and returns those that it made, the highest first.
    /// Existing directories stay as they are; anything else in the way is [`io::ErrorKind::NotADirectory`].
    pub fn create_dir_all(&self, path: &RootPath, mode: u32, uid: u32, gid: u32) -> Result<Vec<RootPath>> {
        let mut missing = Vec::new();
        for path in std::iter::once(path.clone()).chain(path.ancestors()) {
            match self.open_exact(&path, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(_) => break,
                Err(Errno::NOENT) => missing.push(path),
                Err(errno) => return Err(failed("mkdir", &path, errno).into()),
            }
        }
        missing.reverse();
        for path in &missing {
            self.create_dir(path, mode, uid, gid)?;
        }
        Ok(missing)
    }

    /// Writes a new file with all that `content` gives and the attributes of `entry`; its kind is not looked at. Whatever
    /// stood there is removed first and not written through, unless it is a directory: [`io::ErrorKind::IsADirectory`].
    pub fn write_file(&self, path: &RootPath, content: &mut dyn Read, entry: &Entry) -> Result<Made> {
        let (parent, name) = self.vacated(path)?;
        let made = make::file(parent.as_fd(), name, entry, |file| make::copy(content, file));
        Ok(made.map_err(|e| failed("write", path, e))?)
    }

    /// Makes the symlink, device or named pipe that `entry` describes, in place of anything but a directory.
    pub fn make_node(&self, path: &RootPath, entry: &Entry) -> Result<Made> {
        let (parent, name) = self.vacated(path)?;
        Ok(make::special(parent.as_fd(), name, entry).map_err(|e| failed("mknod", path, e))?)
    }

    /// Makes `path` a further name of what stands at the exact path `target`, itself not followed if it is a symlink, in
    /// place of anything but a directory.
    pub fn hard_link(&self, path: &RootPath, target: &RootPath) -> Result<()> {
        self.guard(target)?;
        let (from, old) = self.open_parent(target)?;
        let (parent, name) = self.vacated(path)?;
        let linked = linkat(&from, old, &parent, name, AtFlags::empty());
        Ok(linked.map_err(|e| failed("link", path, e))?)
    }

    /// Gives what stands at the exact `path` the owner, mode, time and extended attributes of `entry`; its kind is not
    /// looked at. Symlinks are not followed and have no mode.
    pub fn set_attributes(&self, path: &RootPath, entry: &Entry) -> Result<Made> {
        self.guard(path)?;
        let (parent, name) = self.open_parent_of_any(path)?;
        let stat = stat_at(parent.as_fd(), name).map_err(|e| failed("statx", path, e))?;
        let made = match FileType::from_raw_mode(RawMode::from(stat.stx_mode)) {
            FileType::RegularFile | FileType::Directory => self.set_opened(path, entry),
            _ => set_special(&parent, name, entry, &stat),
        };
        Ok(made.map_err(|e| failed("set attributes", path, e))?)
    }

    fn set_opened(&self, path: &RootPath, entry: &Entry) -> rustix::io::Result<Made> {
        let fd = quietly(|quiet| self.open_exact(path, OFlags::RDONLY | OFlags::NONBLOCK | quiet))?;
        make::replace_attributes(fd.as_fd(), entry)
    }

    fn guard(&self, path: &RootPath) -> Result<()> {
        if self.is_protected(path) { Err(Error::Protected(path.clone())) } else { Ok(()) }
    }

    /// The parent of a path that may be written.
    fn open_parent<'p>(&self, path: &'p RootPath) -> Result<(OwnedFd, &'p [u8])> {
        self.guard(path)?;
        match path.split() {
            None => Err(failed("open", path, io::Error::from(io::ErrorKind::AlreadyExists)).into()),
            Some(_) => self.open_parent_of_any(path),
        }
    }

    fn open_parent_of_any<'p>(&self, path: &'p RootPath) -> Result<(OwnedFd, &'p [u8])> {
        let (parent, name) = path.split().unwrap_or((RootPath::root(), b""));
        let fd = self.open_exact(&parent, OFlags::PATH | OFlags::DIRECTORY);
        Ok((fd.map_err(|e| failed("open", &parent, e))?, name))
    }

    /// The parent of a path at which nothing stands any more.
    fn vacated<'p>(&self, path: &'p RootPath) -> Result<(OwnedFd, &'p [u8])> {
        let (parent, name) = self.open_parent(path)?;
        match unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok((parent, name)),
            Err(errno) => Err(failed("unlink", path, errno).into()),
        }
    }
}

fn set_special(parent: &OwnedFd, name: &[u8], entry: &Entry, stat: &Statx) -> rustix::io::Result<Made> {
    let stat = make::set_special(parent.as_fd(), name, entry, stat)?;
    let link = match FileType::from_raw_mode(RawMode::from(stat.stx_mode)) {
        FileType::Symlink => Some(rustix::fs::readlinkat(parent, name, Vec::new())?.into_bytes()),
        _ => None,
    };
    Ok(Made { node: node(&stat, link, Xattrs::new()), lost: Vec::new() })
}
