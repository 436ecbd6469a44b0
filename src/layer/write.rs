//! From change set to layer: reads what changed from the root and writes it, each file once.
//!
//! The bytes that are hashed are the bytes that are written. A file that is not what the change set says, or changes while
//! it is read, is an error; a pipe or device is never opened.

use std::io::Write;

use anyhow::{Result, bail};

use super::pack::Packer;
use super::plan::{Item, plan};
use super::writer::{Layer, Tar, TarWriter};
use crate::codec::Packing;
use crate::log::Transfer;
use crate::rootfs::{Cursor, Entry, Kind, Root, RootPath};
use crate::snapshot::{Change, ChangeSet, Stamp};

/// What the bytes of a layer depend on besides the changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// No mtime is later than this, in seconds since the epoch.
    pub clamp_mtime: Option<i64>,
    /// How the tar is compressed.
    pub packing: Packing,
}

/// Writes the layer for `changes` to `sink`, reading contents and unchanged parents from `root`.
pub fn write(root: &Root, changes: &ChangeSet, options: &Options, sink: impl Write) -> Result<Layer> {
    let mut packer = Packer::create(sink, options.packing)?;
    let tar = write_tar(root, changes, options.clamp_mtime, &mut packer)?;
    Ok(Layer::of(tar, packer.finish()?))
}

/// Writes a layer of nothing.
pub fn empty(options: &Options, sink: impl Write) -> Result<Layer> {
    let mut packer = Packer::create(sink, options.packing)?;
    let tar = TarWriter::new(&mut packer, options.clamp_mtime).finish()?;
    Ok(Layer::of(tar, packer.finish()?))
}

/// The same as [`write()`] as far as the tar, which is not compressed.
pub fn write_tar(root: &Root, changes: &ChangeSet, clamp_mtime: Option<i64>, sink: impl Write) -> Result<Tar> {
    let mut writer = TarWriter::new(sink, clamp_mtime);
    let mut cursor = Cursor::new(root);
    let shown = Transfer::begin("write layer", bytes(changes));
    let plan = plan(changes)?;
    for (name, item) in plan.items() {
        match item {
            Item::Parent => writer.put(name, &parent(root, name)?)?,
            Item::Put(entry) => put(&mut writer, &mut cursor, name, entry, &shown)?,
            Item::Link(first) => writer.link(name, first, linked(changes, first)?)?,
            Item::Whiteout => writer.whiteout(name)?,
        }
    }
    writer.finish()
}

fn parent(root: &Root, path: &RootPath) -> Result<Entry> {
    match root.observe(path)? {
        Some(node) if node.entry.is_directory() => Ok(Entry::clone(&node.entry)),
        _ => bail!("{path} is no directory any more"),
    }
}

fn linked<'a>(changes: &'a ChangeSet, first: &RootPath) -> Result<&'a Entry> {
    match changes.get(first) {
        Some(Change::Put(entry)) => Ok(entry),
        _ => bail!("{first} is not in the change set"),
    }
}

/// The bytes of all files that are put.
fn bytes(changes: &ChangeSet) -> u64 {
    let size = |change: &Change| match change {
        Change::Put(entry) => match entry.kind {
            Kind::File { size, .. } => size,
            _ => 0,
        },
        _ => 0,
    };
    changes.into_iter().map(|(_, change)| size(change)).sum()
}

fn put<W: Write>(
    writer: &mut TarWriter<W>,
    cursor: &mut Cursor<'_>,
    path: &RootPath,
    entry: &Entry,
    shown: &Transfer,
) -> Result<()> {
    let Kind::File { size, digest } = entry.kind else { return writer.put(path, entry) };
    let file = cursor.open_file(path)?;
    let stamp = Stamp::of(&file, path)?;
    if (stamp.size, stamp.mtime) != (size, entry.mtime) {
        bail!("{path} changed after it was compared");
    }
    writer.put(path, entry)?;
    let written = writer.content(path, size, &mut shown.reading(&file))?;
    stamp.confirm(&file, path)?;
    if digest.is_some_and(|digest| digest != written) {
        bail!("{path} changed after it was compared");
    }
    Ok(())
}
