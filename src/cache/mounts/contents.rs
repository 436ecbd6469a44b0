//! The contents of a cache and its layer: packed as layers are, unpacked as they are, within a limit.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use tracing::warn;

use super::artifact::About;
use crate::codec::{self, Bounded, Packing, ZstdLevel};
use crate::layer::{self, Layer};
use crate::rootfs::{Entry, Kind, Node, Root, RootPath, Skipped, Timestamp, Tree, Unpacker, Xattrs};
use crate::snapshot::{Change, ChangeSet};
use crate::store::BlobDir;

/// All that stands in the directory of a cache.
pub(super) fn scan(root: &Root) -> Result<Tree> {
    crate::rootfs::scan(root).context("look at it")
}

/// Whether nothing happened between two looks. Contents are not read: the time of a change tells, as it does for a sweep, and where it
/// does not, what was saved last stays.
pub(super) fn is_same(before: &Tree, now: &Tree) -> bool {
    let below = |tree: &Tree| tree.iter().filter(|(path, _)| !path.is_root()).count();
    let is_same =
        |(path, node): (&RootPath, &Node)| before.get(path).is_some_and(|old| is_as_it_was(old, node, path.is_root()));
    below(before) == below(now) && now.iter().all(is_same)
}

fn is_as_it_was(old: &Node, new: &Node, is_root: bool) -> bool {
    let kind = |node: &Node| match &node.entry.kind {
        Kind::File { size, .. } => Kind::File { size: *size, digest: None },
        kind => kind.clone(),
    };
    let attributes = |node: &Node| (node.entry.mode, node.entry.uid, node.entry.gid, kind(node));
    // The directory itself is moved to its place where nothing can be mounted.
    let identity = |node: &Node| (node.inode, node.nlink, node.ctime, node.entry.mtime);
    attributes(old) == attributes(new) && (is_root || identity(old) == identity(new))
}

/// The bytes of all files, each counted once.
pub(super) fn size(tree: &Tree) -> u64 {
    let mut seen = std::collections::HashSet::new();
    let files = tree.iter().filter_map(|(_, node)| match node.entry.kind {
        Kind::File { size, .. } if node.nlink < 2 || seen.insert(node.inode) => Some(size),
        _ => None,
    });
    files.fold(0, u64::saturating_add)
}

/// Writes the layer of a whole cache into `blobs`. Sockets are left out.
pub(super) fn pack(root: &Root, tree: &Tree, blobs: &BlobDir) -> Result<Layer> {
    let mut blob = blobs.writer()?;
    let mut sink = BufWriter::with_capacity(1 << 17, &mut blob);
    let options = layer::Options { packing: Packing::Zstd(ZstdLevel::default()), ..layer::Options::default() };
    let layer = layer::write(root, &changes(tree), &options, &mut sink)?;
    sink.flush()?;
    drop(sink);
    blob.finish(Some(&layer.descriptor.digest))?;
    Ok(layer)
}

fn changes(tree: &Tree) -> ChangeSet {
    let mut first: HashMap<silt_watcher::Inode, RootPath> = HashMap::new();
    let change = |(path, node): (&RootPath, &Node)| {
        if path.is_root() || node.entry.kind == Kind::Socket {
            return None;
        }
        if node.nlink > 1 && !node.entry.is_directory() {
            match first.get(&node.inode) {
                Some(first) => return Some((path.clone(), Change::Link(first.clone()))),
                None => drop(first.insert(node.inode, path.clone())),
            }
        }
        Some((path.clone(), Change::Put(node.entry.clone())))
    };
    tree.iter().filter_map(change).collect()
}

/// Makes the directory `to` with what the layer `blob` holds, and returns the record of it.
///
/// # Errors
/// What no layer may hold, more than `most` bytes of tar, and those of writing. `to` is in between then.
pub(super) fn unpack(blob: File, to: &Path, about: &About, most: u64) -> Result<Tree> {
    std::fs::create_dir(to).with_context(|| format!("create {}", to.display()))?;
    let root = Root::open(to)?;
    let own = Entry {
        kind: Kind::Directory,
        mode: about.mode & 0o7777,
        uid: about.uid,
        gid: about.gid,
        mtime: Timestamp::now(),
        xattrs: Xattrs::new(),
    };
    root.set_attributes(&RootPath::root(), &own)?;
    let tree = crate::rootfs::scan(&root)?;
    let mut unpacker = Unpacker::over(&root, tree);
    let plain = codec::decode(BufReader::with_capacity(1 << 17, blob))?;
    unpacker.layer(Bounded::new(plain, most, "it is larger than --cache-mount-max-size"))?;
    for skipped in unpacker.skipped() {
        if let Skipped::Device(path) | Skipped::Xattr { path, .. } = skipped {
            warn!("{path} of a cache mount cannot be made here as it was");
        }
    }
    Ok(unpacker.finish()?)
}
