//! Reading a file that must not change meanwhile: what was read is what stood there, or it is an error.
//!
//! `ctime` moves with every change but a store through a shared mapping on tmpfs, so no writer may be alive when this is
//! used; it guards against mistakes, not against races by design.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::rootfs::{ContentDigest, Node, Root, RootPath, Timestamp};

/// What tells whether an open file was changed: taken before and after reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// `st_ino`.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of anything.
    pub ctime: Timestamp,
}

impl Stamp {
    /// The stamp of an open file, by `fstat(2)`. `path` is for the message.
    pub fn of(file: &File, path: &RootPath) -> Result<Stamp> {
        let meta = file.metadata().with_context(|| format!("stat {path}"))?;
        Ok(Stamp {
            ino: meta.ino(),
            size: meta.size(),
            mtime: timestamp(meta.mtime(), meta.mtime_nsec()),
            ctime: timestamp(meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Fails, naming `path`, unless `file` still has this stamp.
    pub fn confirm(&self, file: &File, path: &RootPath) -> Result<()> {
        match Stamp::of(file, path)? == *self {
            true => Ok(()),
            false => bail!("{path} changed while it was read"),
        }
    }
}

fn timestamp(sec: i64, nsec: i64) -> Timestamp {
    Timestamp { sec, nsec: u32::try_from(nsec).unwrap_or_default() }
}

/// The digest of the content of the file at `path`, which must still be what `node` says.
pub fn digest(root: &Root, path: &RootPath, node: &Node) -> Result<ContentDigest> {
    let mut file = root.open_file(path)?;
    let stamp = Stamp::of(&file, path)?;
    if (stamp.ino, stamp.mtime, stamp.ctime) != (node.inode.ino, node.entry.mtime, node.ctime) {
        bail!("{path} changed while it was looked at");
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer).with_context(|| format!("read {path}"))? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    stamp.confirm(&file, path)?;
    Ok(hash.finalize().into())
}
