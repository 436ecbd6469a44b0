//! The streaming end: entries go in one by one; out come the bytes of a tar, its digest and the contents' digests.
//!
//! Nothing is kept but what the digests need. A writer that met an error must be dropped: what it wrote is no layer.

use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::header::{BLOCK, Flag, Header};
use super::measured::Measured;
use crate::oci::{Descriptor, DiffId};
use crate::rootfs::{ContentDigest, Entry, Kind, RootPath, Timestamp};
use crate::snapshot::Contents;

/// A layer that has been written.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The blob: compressed bytes, named by their digest. Its type is of the OCI format.
    pub descriptor: Descriptor,
    /// The digest of the tar.
    pub diff_id: DiffId,
    /// Bytes of the tar.
    pub uncompressed_size: u64,
    /// The digest of each file that is in it, by its first name.
    pub contents: Contents,
}

/// What is known of a layer once its tar is written, compressed or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Tar {
    /// Its digest.
    pub diff_id: DiffId,
    /// Its bytes.
    pub size: u64,
    /// The digest of each file that is in it, by its first name.
    pub contents: Contents,
}

impl Layer {
    pub(super) fn of(tar: Tar, descriptor: Descriptor) -> Layer {
        Layer { descriptor, diff_id: tar.diff_id, uncompressed_size: tar.size, contents: tar.contents }
    }
}

/// Writes the tar of one layer to a sink.
pub(super) struct TarWriter<W: Write> {
    tar: Measured<W>,
    clamp_mtime: Option<i64>,
    contents: Contents,
    buffer: Vec<u8>,
}

impl<W: Write> TarWriter<W> {
    /// A writer of an empty layer, in which no mtime will be later than `clamp_mtime`.
    pub(super) fn new(sink: W, clamp_mtime: Option<i64>) -> Self {
        TarWriter { tar: Measured::new(sink), clamp_mtime, contents: Contents::new(), buffer: vec![0; 128 * 1024] }
    }

    /// Adds `path` as `entry` says; of a regular file only the header, which [`TarWriter::content`] must follow.
    pub(super) fn put(&mut self, path: &RootPath, entry: &Entry) -> Result<()> {
        let name = tar_name(path, entry.is_directory());
        let mut header = Header {
            name: &name,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: self.clamped(entry.mtime),
            xattrs: Some(&entry.xattrs),
            ..Header::default()
        };
        (header.flag, header.device) = match &entry.kind {
            Kind::File { size, .. } => {
                header.size = *size;
                (Flag::File, (0, 0))
            }
            Kind::Symlink(target) => {
                header.link = target;
                (Flag::Symlink, (0, 0))
            }
            Kind::Directory => (Flag::Directory, (0, 0)),
            Kind::Fifo => (Flag::Fifo, (0, 0)),
            Kind::CharDevice { major, minor } => (Flag::CharDevice, (*major, *minor)),
            Kind::BlockDevice { major, minor } => (Flag::BlockDevice, (*major, *minor)),
            Kind::Socket => bail!("{path} is a socket, which no layer can carry"),
        };
        self.header(&header, path)
    }

    /// The content of the file that was put last: exactly `size` bytes of `content`, from which its digest is taken.
    pub(super) fn content(&mut self, path: &RootPath, size: u64, content: &mut impl Read) -> Result<ContentDigest> {
        let mut hash = Sha256::new();
        let mut left = size;
        while left > 0 {
            let wanted = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = content.read(&mut self.buffer[..wanted]).with_context(|| format!("read {path}"))?;
            if got == 0 {
                bail!("{path} became shorter while it was read");
            }
            hash.update(&self.buffer[..got]);
            self.tar.write_all(&self.buffer[..got]).with_context(|| format!("write the layer at {path}"))?;
            left -= got as u64;
        }
        self.pad().with_context(|| format!("write the layer at {path}"))?;
        let digest: ContentDigest = hash.finalize().into();
        self.contents.insert(path.clone(), digest);
        Ok(digest)
    }

    /// Adds `path` as another name of `first`, which was put before and has the attributes of `entry`.
    pub(super) fn link(&mut self, path: &RootPath, first: &RootPath, entry: &Entry) -> Result<()> {
        let header = Header {
            name: path.as_bytes(),
            flag: Flag::HardLink,
            link: first.as_bytes(),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: self.clamped(entry.mtime),
            xattrs: Some(&entry.xattrs),
            ..Header::default()
        };
        self.header(&header, path)
    }

    /// Adds a removal under its name in the tar, `.wh.` included.
    pub(super) fn whiteout(&mut self, name: &RootPath) -> Result<()> {
        self.header(&Header { name: name.as_bytes(), ..Header::default() }, name)
    }

    /// Ends the tar.
    pub(super) fn finish(mut self) -> Result<Tar> {
        self.tar.write_all(&[0; 2 * BLOCK]).context("write the end of the layer")?;
        let (_, diff_id, size) = self.tar.finish();
        Ok(Tar { diff_id: DiffId(diff_id), size, contents: self.contents })
    }

    fn header(&mut self, header: &Header<'_>, path: &RootPath) -> Result<()> {
        let blocks = header.encode().with_context(|| path.to_string())?;
        self.tar.write_all(&blocks).with_context(|| format!("write the layer at {path}"))
    }

    fn pad(&mut self) -> std::io::Result<()> {
        let over = usize::try_from(self.tar.bytes() % BLOCK as u64).unwrap_or(0);
        self.tar.write_all(&[0; BLOCK][..(BLOCK - over) % BLOCK])
    }

    fn clamped(&self, mtime: Timestamp) -> Timestamp {
        match self.clamp_mtime {
            Some(sec) => mtime.min(Timestamp { sec, nsec: 0 }),
            None => mtime,
        }
    }
}

/// The name of an entry: a directory's ends with a slash; the root is `./`.
fn tar_name(path: &RootPath, directory: bool) -> Vec<u8> {
    match (path.is_root(), directory) {
        (true, _) => b"./".to_vec(),
        (_, true) => [path.as_bytes(), b"/"].concat(),
        (_, false) => path.as_bytes().to_vec(),
    }
}
