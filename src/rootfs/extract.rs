//! Extracts a tar archive into a directory of the root, as ADD does: no name in it is a whiteout.
//!
//! The directory is the top of the world for the archive: an absolute name or link starts there, a link cannot leave it, and
//! a name that climbs above it is refused. A member replaces what stands in its place, whole trees too; only directories
//! merge. Directories that the archive does not name belong to root and have mode 0755.

use std::collections::BTreeSet;
use std::io::{self, Read};

use super::archive::{self, Chunk, Member, Reader, What};
use super::copy::Owner;
use super::error::Error;
use super::{Entry, Kind, Result, Root, RootPath};

const IMPLIED_MODE: u32 = 0o755;
/// As many links as the kernel follows on one path.
const LINKS: usize = 40;

/// Why an archive could not be extracted.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// It is malformed.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// A name leads out of the destination.
    #[error("{0:?} is outside of the destination")]
    Outside(String),
    /// The root could not be changed.
    #[error(transparent)]
    Root(#[from] Error),
}

/// Extracts the uncompressed archive `tar` into the directory at the exact `path`, which must exist. Owners are those of the
/// archive where `owner` keeps them. Adds what it wrote to `touched`.
pub fn extract(
    root: &Root,
    path: &RootPath,
    tar: impl Read,
    owner: Owner,
    touched: &mut BTreeSet<RootPath>,
) -> std::result::Result<(), ExtractError> {
    let mut reader = Reader::new(tar);
    let mut extraction = Extraction { root, top: path, owner, directories: Vec::new(), touched };
    while let Some(Member { name, what }) = reader.next_member()? {
        match local(&name)? {
            name if name.is_root() => {}
            name => extraction.member(&name, what, &mut reader)?,
        }
    }
    extraction.finish()?;
    Ok(())
}

/// The name as a path below the destination; an absolute one is taken from there.
fn local(name: &[u8]) -> std::result::Result<RootPath, ExtractError> {
    let outside = || ExtractError::Outside(String::from_utf8_lossy(name).into_owned());
    let mut depth = 0usize;
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => depth = depth.checked_sub(1).ok_or_else(outside)?,
            _ => depth += 1,
        }
    }
    RootPath::clean(name).ok_or_else(outside)
}

struct Extraction<'a> {
    root: &'a Root,
    top: &'a RootPath,
    owner: Owner,
    /// Whose attributes are set at the end, when nothing in them changes any more.
    directories: Vec<(RootPath, Entry)>,
    touched: &'a mut BTreeSet<RootPath>,
}

impl Extraction<'_> {
    fn member<R: Read>(
        &mut self,
        name: &RootPath,
        what: What,
        reader: &mut Reader<R>,
    ) -> std::result::Result<(), ExtractError> {
        let path = match &what {
            What::New(entry) if entry.is_directory() => self.resolve(name, Last::Follow)?,
            _ => self.resolve(name, Last::Keep)?,
        };
        if self.root.is_protected(&path) {
            tracing::warn!("{path} belongs to this machine and is not extracted");
            return Ok(());
        }
        self.parents(&path)?;
        match what {
            What::Link(target) => self.link(&path, &self.resolve(&local(&target)?, Last::Keep)?)?,
            What::New(entry) => self.make(&path, self.owned(entry), reader)?,
        }
        self.touched.insert(path);
        Ok(())
    }

    fn make<R: Read>(&mut self, path: &RootPath, entry: Entry, reader: &mut Reader<R>) -> Result<()> {
        let made = match entry.kind {
            Kind::Directory => return self.directory(path, entry),
            Kind::File { .. } => {
                self.root.remove_tree(path)?;
                self.root.write_file(path, &mut Contents::new(reader), &entry)?
            }
            _ => {
                self.root.remove_tree(path)?;
                self.root.make_node(path, &entry)?
            }
        };
        super::copy::report(path, &made);
        Ok(())
    }

    fn directory(&mut self, path: &RootPath, entry: Entry) -> Result<()> {
        let stands = self.root.observe(path)?.is_some_and(|node| node.entry.is_directory());
        if !stands {
            self.root.remove_tree(path)?;
            self.root.create_dir(path, 0o700, 0, 0)?;
        }
        self.directories.push((path.clone(), entry));
        Ok(())
    }

    fn link(&self, path: &RootPath, target: &RootPath) -> Result<()> {
        if path == target {
            return Ok(());
        }
        self.root.remove_tree(path)?;
        self.root.hard_link(path, target)
    }

    fn parents(&mut self, path: &RootPath) -> Result<()> {
        if let Some(parent) = path.parent() {
            self.touched.extend(self.root.create_dir_all(&parent, IMPLIED_MODE, 0, 0)?);
        }
        Ok(())
    }

    /// The exact path of `name`, links followed inside the destination. The tail may be missing.
    fn resolve(&self, name: &RootPath, last: Last) -> Result<RootPath> {
        let mut todo: Vec<Vec<u8>> = parts(name.as_bytes());
        let mut at = RootPath::root();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                at = at.parent().unwrap_or(at);
                continue;
            }
            let next = at.join_name(&part);
            let link = match self.root.observe(&self.top.join(&next))?.map(|node| node.entry.kind) {
                Some(Kind::Symlink(link)) if last == Last::Follow || !todo.is_empty() => link,
                _ => {
                    at = next;
                    continue;
                }
            };
            links += 1;
            if links > LINKS {
                let error = io::Error::new(io::ErrorKind::InvalidInput, format!("{name}: too many links"));
                return Err(error.into());
            }
            if link.starts_with(b"/") {
                at = RootPath::root();
            }
            todo.extend(parts(&link));
        }
        Ok(self.top.join(&at))
    }

    fn owned(&self, mut entry: Entry) -> Entry {
        if let Owner::Given(owner) = self.owner {
            (entry.uid, entry.gid) = (owner.uid, owner.gid);
        }
        entry
    }

    fn finish(self) -> Result<()> {
        for (path, entry) in self.directories.iter().rev() {
            // A later member may have replaced it.
            if self.root.observe(path)?.is_some_and(|node| node.entry.is_directory()) {
                super::copy::report(path, &self.root.set_attributes(path, entry)?);
            }
        }
        Ok(())
    }
}

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Follow,
    Keep,
}

/// The components of a path, last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.rev().map(<[u8]>::to_vec).collect()
}

/// The content of the current member, holes as zeros.
struct Contents<'r, R> {
    reader: &'r mut Reader<R>,
    /// What is left of the last chunk: bytes, or so many zeros.
    bytes: Vec<u8>,
    at: usize,
    zeros: u64,
}

impl<'r, R: Read> Contents<'r, R> {
    fn new(reader: &'r mut Reader<R>) -> Self {
        Contents { reader, bytes: Vec::new(), at: 0, zeros: 0 }
    }
}

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.bytes.len() && self.zeros == 0 {
            self.at = 0;
            self.bytes.clear();
            match self.reader.next_chunk().map_err(io::Error::other)? {
                None => return Ok(0),
                Some(Chunk::Data(data)) => self.bytes.extend_from_slice(data),
                Some(Chunk::Hole(length)) => self.zeros = length,
            }
        }
        if self.zeros > 0 {
            let length = usize::try_from(self.zeros).unwrap_or(usize::MAX).min(buffer.len());
            buffer[..length].fill(0);
            self.zeros -= length as u64;
            return Ok(length);
        }
        let length = (self.bytes.len() - self.at).min(buffer.len());
        buffer[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
