//! Applying one entry: making what it describes in place of what stood there.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use rustix::io::Errno;
use sha2::{Digest, Sha256};
use silt_watcher::Inode;

use super::name::Name;
use super::place::{Missing, Placing};
use super::writers::{self, Batch, Written};
use super::{Refusal, Skipped, UnpackError, Unpacker};
use crate::rootfs::archive::{self, Chunk, Member, Reader, What};
use crate::rootfs::error::failed;
use crate::rootfs::make::{self, Made};
use crate::rootfs::remove::Left;
use crate::rootfs::{ContentDigest, Entry, Kind, Node, RootPath, Timestamp};

/// The link count of a file that is recorded and not written yet.
pub(super) const UNDER_WAY: u32 = 0;

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Whether an entry may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// Nothing stands there, or a directory that stays.
    Free,
    /// Something stands there that must stay.
    Kept,
}

impl Unpacker<'_> {
    /// Applies the entry that `reader` is at.
    pub(super) fn member(&mut self, member: &Member, reader: &mut Reader<impl Read>) -> Result<(), UnpackError> {
        let named = |error: Placing| error.named(&member.name);
        match Name::parse(&member.name).map_err(|refusal| named(refusal.into()))? {
            Name::Bookkeeping => Ok(()),
            Name::Root => self.root_entry(&member.what).map_err(named),
            Name::Whiteout(parents, hidden) => self.whiteout(&parents, hidden).map_err(named),
            Name::Opaque(parents) => self.opaque(&parents).map_err(named),
            Name::Path(parents, name) => match self.place(&parents, Missing::Make).map_err(named)? {
                Some(parent) => self.path_entry(parent.join_name(name), member, reader).map_err(named),
                None => Ok(()),
            },
        }
    }

    fn root_entry(&mut self, what: &What) -> Result<(), Placing> {
        match what {
            What::New(entry) if entry.is_directory() => Ok(self.set_directory(&RootPath::root(), entry)?),
            _ => Err(Refusal::RootKind.into()),
        }
    }

    fn path_entry(&mut self, path: RootPath, member: &Member, reader: &mut Reader<impl Read>) -> Result<(), Placing> {
        match &member.what {
            What::Link(target) => self.hard_link(path, target),
            What::New(entry) => {
                if self.make_way(&path, entry)? == Ground::Free {
                    self.put(&path, entry, reader)?;
                }
                Ok(())
            }
        }
    }

    fn put(&mut self, path: &RootPath, entry: &Entry, reader: &mut Reader<impl Read>) -> Result<(), Placing> {
        match entry.kind {
            Kind::Directory if self.tree.get(path).is_some() => Ok(self.set_directory(path, entry)?),
            Kind::Directory => Ok(self.make_directory(path, entry)?),
            Kind::File { .. } => match reader.rest().filter(|rest| *rest <= writers::SMALL) {
                Some(_) if self.writers.is_some() => Ok(self.make_later(path, entry, reader)?),
                _ => Ok(self.make_file(path, entry, reader)?),
            },
            _ => Ok(self.make_special(path, entry)?),
        }
    }

    /// Removes what `entry` replaces at `path`.
    pub(super) fn make_way(&mut self, path: &RootPath, entry: &Entry) -> io::Result<Ground> {
        let blocked = self.root.is_protected(path) || (!entry.is_directory() && self.root.holds_protected(path));
        if blocked {
            let is_itself = !entry.is_directory() && self.root.protected().contains(path);
            let skipped = if is_itself { Skipped::Replacement } else { Skipped::Protected };
            self.skipped.push(skipped(path.clone()));
            return Ok(Ground::Kept);
        }
        match self.tree.get(path) {
            Some(node) if !(node.entry.is_directory() && entry.is_directory()) => self.remove(path),
            _ => Ok(()),
        }?;
        Ok(Ground::Free)
    }

    /// Removes `path` and everything below from the disk and from the record, but for what is protected.
    pub(super) fn remove(&mut self, path: &RootPath) -> io::Result<()> {
        self.settle()?;
        self.era += 1;
        self.cursor.forget(path);
        self.last_parent = None;
        let left = self.root.remove_unprotected(path)?;
        for (gone, node) in self.tree.remove_tree(path) {
            if node.nlink > 1 {
                self.relinked.insert(node.inode);
            }
            self.layer.remove(&gone);
        }
        if left == Left::Protected {
            self.record_left(path)?;
        }
        Ok(())
    }

    /// Records the directories that stand only because they lead to protected paths.
    fn record_left(&mut self, path: &RootPath) -> io::Result<()> {
        let protected = self.root.protected().iter().filter(|p| p.is_at_or_below(path));
        let on_the_way: Vec<RootPath> =
            protected.flat_map(|p| p.ancestors()).filter(|p| p.is_at_or_below(path)).collect();
        for path in on_the_way {
            if let Some(node) = self.cursor.observe(&path)? {
                self.tree.insert(path, crate::rootfs::Node { foreign: true, ..node });
            }
        }
        Ok(())
    }

    /// Records what was made, and as part of this layer.
    pub(super) fn record(&mut self, path: &RootPath, made: Made) {
        let lost = made.lost.into_iter().map(|name| Skipped::Xattr { path: path.clone(), name });
        self.skipped.extend(lost);
        self.tree.insert(path.clone(), made.node);
        self.layer.insert(path.clone());
    }

    /// Makes a directory; its time is set at the end.
    pub(super) fn make_directory(&mut self, path: &RootPath, entry: &Entry) -> io::Result<()> {
        let made = self.cursor.parent(path).and_then(|(parent, name)| make::directory_untimed(parent, name, entry));
        self.record_directory(path, entry, made.map_err(|e| failed("mkdir", path, e))?);
        Ok(())
    }

    /// Gives an existing directory new attributes; its time is set at the end.
    pub(super) fn set_directory(&mut self, path: &RootPath, entry: &Entry) -> io::Result<()> {
        let made = self.cursor.parent(path).and_then(|(parent, name)| make::set_directory(parent, name, entry));
        self.record_directory(path, entry, made.map_err(|e| failed("set attributes", path, e))?);
        Ok(())
    }

    fn record_directory(&mut self, path: &RootPath, entry: &Entry, mut made: Made) {
        made.node.entry_mut().mtime = entry.mtime;
        self.record(path, made);
    }

    fn make_file(&mut self, path: &RootPath, entry: &Entry, reader: &mut Reader<impl Read>) -> io::Result<()> {
        let (parent, name) = self.cursor.parent(path).map_err(|e| failed("open", path, e))?;
        let made = make::file(parent, name, entry, |file| fill(file, reader));
        self.record(path, made.map_err(|e| failed("write", path, e))?);
        Ok(())
    }

    /// Records a file that others will write.
    fn make_later(&mut self, path: &RootPath, entry: &Entry, reader: &mut Reader<impl Read>) -> io::Result<()> {
        if !self.batch.takes(path) {
            self.hand_over(path.parent().unwrap_or_else(RootPath::root))?;
        }
        let entry = Arc::new(entry.clone());
        self.batch.add(path.clone(), Arc::clone(&entry), |bytes| read_rest(reader, bytes))?;
        let (inode, ctime) = (Inode { dev: 0, ino: 0 }, Timestamp::default());
        self.tree.insert(path.clone(), Node { entry, inode, nlink: UNDER_WAY, ctime, foreign: false });
        self.layer.insert(path.clone());
        Ok(())
    }

    /// Gives what waits to the writers; what comes next is in `directory`.
    fn hand_over(&mut self, directory: RootPath) -> io::Result<()> {
        let batch = std::mem::replace(&mut self.batch, Batch::new(directory, self.era));
        if let Some(writers) = self.writers.clone() {
            let written = writers.hand_over(batch)?;
            self.record_all(written);
        }
        Ok(())
    }

    /// Waits until all files that are recorded are written.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if let Some(writers) = self.writers.clone() {
            self.hand_over(RootPath::root())?;
            let written = writers.settle()?;
            self.record_all(written);
        }
        Ok(())
    }

    fn record_all(&mut self, written: Vec<Written>) {
        written.into_iter().for_each(|(path, made)| self.record(&path, made));
    }

    fn make_special(&mut self, path: &RootPath, entry: &Entry) -> io::Result<()> {
        let is_device = matches!(entry.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. });
        match self.cursor.parent(path).and_then(|(parent, name)| make::special(parent, name, entry)) {
            Err(Errno::PERM) if is_device => self.skipped.push(Skipped::Device(path.clone())),
            made => self.record(path, made.map_err(|e| failed("mknod", path, e))?),
        }
        Ok(())
    }
}

/// Appends the content that `reader` is at, which has no holes.
fn read_rest(reader: &mut Reader<impl Read>, bytes: &mut Vec<u8>) -> io::Result<()> {
    while let Some(Chunk::Data(data)) = reader.next_chunk().map_err(as_io)? {
        bytes.extend_from_slice(data);
    }
    Ok(())
}

/// Writes the content that `reader` is at, holes left as holes, and returns its digest.
fn fill(file: &mut File, reader: &mut Reader<impl Read>) -> io::Result<ContentDigest> {
    let mut hasher = Sha256::new();
    let (mut at, mut written) = (0u64, 0u64);
    while let Some(chunk) = reader.next_chunk().map_err(as_io)? {
        match chunk {
            Chunk::Data(bytes) => {
                hasher.update(bytes);
                file.write_all(bytes)?;
                at += bytes.len() as u64;
                written = at;
            }
            Chunk::Hole(length) => {
                hash_zeros(&mut hasher, length);
                at += length;
                file.seek(SeekFrom::Start(at))?;
            }
        }
    }
    if written < at {
        file.set_len(at)?;
    }
    Ok(hasher.finalize().into())
}

fn hash_zeros(hasher: &mut Sha256, mut length: u64) {
    while length > 0 {
        let part = length.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..usize::try_from(part).unwrap_or(ZEROS.len())]);
        length -= part;
    }
}

fn as_io(error: archive::Error) -> io::Error {
    match error {
        archive::Error::Read(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
