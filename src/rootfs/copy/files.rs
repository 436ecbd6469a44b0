//! The bulk of a copy: regular files of one name, written by several threads, a directory's files by one at a time.
//!
//! Nothing is replaced here: a file in whose place something stands is handed back. Attributes of directories are set by the
//! caller afterwards, since what is made in a directory moves its time.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::copy_file_range;
use rustix::io::Errno;

use super::{missing, report};
use crate::rootfs::error::failed;
use crate::rootfs::{Cursor, Entry, Kind, Result, Root, RootPath, make, xattrs};

/// The most files of one piece of work.
const FILES: usize = 64;
/// Smaller files are read and written; the kernel copies larger ones, and where it can shares their blocks.
const LARGE: u64 = 128 << 10;
const BUFFER: usize = 128 << 10;
/// The most bytes that the kernel is asked to copy in one call.
const RANGE: usize = 1 << 30;

/// Files of one directory. Their entries lack the extended attributes, which are read with the content.
pub(super) struct Batch {
    source: RootPath,
    target: RootPath,
    files: Vec<(Box<[u8]>, Entry)>,
}

impl Batch {
    /// With the file `name` of `source`, to be copied to `target`; nothing if that is the root itself.
    pub(super) fn new(source: &RootPath, name: &[u8], entry: Entry, target: &RootPath) -> Option<Batch> {
        let target = target.parent()?;
        Some(Batch { source: source.clone(), target, files: vec![(name.into(), entry)] })
    }

    /// Whether a further file of the directory `source` goes in.
    pub(super) fn takes(&self, source: &RootPath) -> bool {
        self.source == *source && self.files.len() < FILES
    }

    pub(super) fn add(&mut self, name: &[u8], entry: Entry) {
        self.files.push((name.into(), entry));
    }
}

/// One thread's part.
pub(super) struct Writer<'a> {
    from: Cursor<'a>,
    there: Cursor<'a>,
    buffer: Vec<u8>,
    /// Source and target of what was not copied, because something stands at the target.
    standing: Vec<(RootPath, RootPath)>,
    saw_attributes: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(from: &'a Root, to: &'a Root) -> Self {
        let (from, there) = (Cursor::new(from), Cursor::new(to));
        Writer { from, there, buffer: Vec::new(), standing: Vec::new(), saw_attributes: false }
    }

    /// What is left to the caller.
    pub(super) fn finish(self) -> Vec<(RootPath, RootPath)> {
        self.standing
    }

    /// Whether a source had extended attributes.
    pub(super) fn saw_attributes(&self) -> bool {
        self.saw_attributes
    }

    /// Copies the files of one directory.
    pub(super) fn write(&mut self, batch: Batch) -> Result<()> {
        let Batch { source, target, files } = batch;
        let folder = self.from.folder(&source)?.ok_or_else(|| missing(&source))?;
        let parent = self.there.directory(&target).map_err(|e| failed("open", &target, e))?;
        self.buffer.resize(BUFFER, 0);
        for (name, mut entry) in files {
            let path = target.join_name(&name);
            let mut content = folder.open_file(&name)?;
            let mut file = match make::create(parent, &name, &entry) {
                Err(Errno::EXIST) => {
                    self.standing.push((source.join_name(&name), path));
                    continue;
                }
                result => result.map_err(|e| failed("write", &path, e))?,
            };
            entry.xattrs = xattrs(&content).map_err(|e| failed("listxattr", &source.join_name(&name), e))?;
            self.saw_attributes |= !entry.xattrs.is_empty();
            let copied = copy(&mut content, &mut file, &entry.kind, &mut self.buffer);
            let made = copied.and_then(|()| Ok(make::finish(&file, &entry)?));
            report(&path, &made.map_err(|e| failed("write", &path, e))?);
        }
        Ok(())
    }
}

/// Copies what `from` has of the size that was seen; all, if that is nothing, as with files that the kernel makes up.
fn copy(from: &mut File, to: &mut File, kind: &Kind, buffer: &mut [u8]) -> io::Result<()> {
    let Kind::File { size, .. } = *kind else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut left = if size == 0 { u64::MAX } else { size };
    while size > 0 && left >= LARGE {
        let wanted = usize::try_from(left).unwrap_or(RANGE).min(RANGE);
        match copy_file_range(&*from, None, &*to, None, wanted) {
            // Whatever the reason, reading and writing goes on from where this ended, or meets it again.
            Ok(0) | Err(_) => break,
            Ok(copied) => left -= copied as u64,
        }
    }
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match from.read(&mut buffer[..wanted]) {
            Ok(0) => break,
            Ok(n) => {
                to.write_all(&buffer[..n])?;
                left -= n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
