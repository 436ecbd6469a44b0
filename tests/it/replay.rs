//! A root that changes step by step, and a copy of it that is made of layers alone: after each step both must be equal.

use std::collections::BTreeMap;
use std::path::Path;

use silt::codec;
use silt::layer;

use silt::rootfs::{Entry, Kind, Root, RootPath, Timestamp, Tree, Unpacker, scan};
use silt::snapshot::{Baseline, Candidates, ChangeSet, Diff, diff};

use crate::operations::{Operation, World};

pub struct Replay {
    pub world: World,
    pub root: Root,
    pub baseline: Baseline,
    copy: Root,
    copied: Tree,
}

/// Why a sequence is not as it must be.
pub type Verdict = Result<(), String>;

impl Replay {
    /// A root below `dir`, with nothing in it, and a copy in the empty directory `copy`.
    pub fn new(dir: &Path, copy: &Path) -> Self {
        let world = World::new(dir);
        let root = Root::open(world.root()).expect("root");
        let copy = Root::open(copy).expect("copy");
        let (baseline, copied) = (Baseline::default(), Tree::default());
        Replay { world, root, baseline, copy, copied }
    }

    /// Begins anew with what `base` builds as the base.
    pub fn begin(&mut self, base: &[Operation]) {
        self.world.clear();
        self.world.run(base);
        self.world.note("-- base");
        silt::rootfs::clear(&self.copy).expect("clear");
        self.copied = Unpacker::new(&self.copy).expect("unpacker").finish().expect("empty");
        self.baseline = Baseline::default();
        let first = self.diff(&Candidates::Everything);
        self.follow(first).expect("the base is sound");
    }

    pub fn diff(&self, look_at: &Candidates) -> Diff {
        diff(&self.root, &self.baseline, look_at).expect("diff")
    }

    /// Writes the layer of `diff`, puts it on the copy and lets the record follow. Then base + layer = tree, and the record
    /// is what a walk would find.
    pub fn follow(&mut self, diff: Diff) -> Verdict {
        let layer = self.put_on_copy(&diff.changes).map_err(|error| format!("{error:#}"))?;
        self.baseline.apply(diff, &layer.contents);
        let (tree, copy) = (shown(&self.root), shown(&self.copy));
        same("the tree and the layers", &tree, &copy)?;
        let found = walked(&self.root);
        same("the record and the disk", &by_path(self.baseline.tree()), &by_path(found.tree()))?;
        if self.baseline == found { Ok(()) } else { Err("the record has other inodes than the disk".into()) }
    }

    fn put_on_copy(&mut self, changes: &ChangeSet) -> anyhow::Result<layer::Layer> {
        let options = layer::Options { level: codec::Level::new(1).expect("a level"), ..layer::Options::default() };
        let mut blob = Vec::new();
        let layer = layer::write(&self.root, changes, &options, &mut blob)?;
        layer::check(codec::decode(&blob[..])?)?;
        let mut unpacker = Unpacker::over(&self.copy, std::mem::take(&mut self.copied));
        unpacker.layer(codec::decode(&blob[..])?)?;
        self.copied = unpacker.finish()?;
        Ok(layer)
    }
}

/// Fails with the paths that are not the same on both sides.
fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    left: &BTreeMap<RootPath, T>,
    right: &BTreeMap<RootPath, T>,
) -> Verdict {
    let paths: std::collections::BTreeSet<&RootPath> = left.keys().chain(right.keys()).collect();
    let other = |path: &&&RootPath| left.get(**path) != right.get(**path);
    let lines: Vec<String> =
        paths.iter().filter(other).map(|p| format!("{p}:\n  {:?}\n  {:?}", left.get(*p), right.get(*p))).collect();
    if lines.is_empty() { Ok(()) } else { Err(format!("{what} differ at\n{}", lines.join("\n"))) }
}

fn by_path(tree: &Tree) -> BTreeMap<RootPath, silt::rootfs::Node> {
    tree.iter().map(|(path, node)| (path.clone(), node.clone())).collect()
}

/// The record that a walk makes.
fn walked(root: &Root) -> Baseline {
    let nodes = scan(root).expect("scan").into_iter().map(|(path, mut node)| {
        node.foreign = false;
        if let Kind::File { digest, .. } = &mut node.entry.kind {
            *digest = Some(root.digest(&path).expect("digest"));
        }
        (path, node)
    });
    Baseline::new(nodes.collect())
}

/// What an image shows of a tree: entries without sockets and without the times of directories, and which names are one.
fn shown(root: &Root) -> BTreeMap<RootPath, (Entry, RootPath)> {
    let found = walked(root);
    let carried = found.tree().iter().filter(|(_, node)| node.entry.kind != Kind::Socket);
    let entry = |entry: &Entry| match entry.kind {
        Kind::Directory => Entry { mtime: Timestamp::default(), ..entry.clone() },
        _ => entry.clone(),
    };
    carried.map(|(path, node)| (path.clone(), (entry(&node.entry), found.names(node.inode)[0].clone()))).collect()
}
