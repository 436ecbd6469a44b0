//! A root that changes step by step, and a copy of it that is made of layers alone: after each step both must be equal.

use std::collections::BTreeMap;
use std::path::Path;

use silt::codec;
use silt::layer;

use silt::rootfs::{Entry, Kind, Node, Root, RootPath, Timestamp, Tree, Unpacker, scan};
use silt::snapshot::{Baseline, Candidates, Change, ChangeSet, Diff, diff};

use crate::operations::{Operation, Random};
use crate::world::World;
use silt_watcher::Inode;

pub struct Replay {
    pub world: World,
    pub root: Root,
    pub baseline: Baseline,
    copy: Root,
    copied: Tree,
    layers: Vec<(layer::Layer, Vec<u8>)>,
}

/// Why a sequence is not as it must be.
pub type Verdict = Result<(), String>;

impl Replay {
    /// A root below `dir` and a copy in the empty directory `copy`.
    pub fn new(dir: &Path, copy: &Path) -> Self {
        let world = World::new(dir);
        let root = Root::open(world.root()).expect("root");
        let copy = Root::open(copy).expect("copy");
        let (baseline, copied) = (Baseline::default(), Tree::default());
        Replay { world, root, baseline, copy, copied, layers: Vec::new() }
    }

    /// Goes over to a root below another `dir`; it must be begun there.
    pub fn enter(&mut self, dir: &Path) {
        self.world.enter(dir);
        self.root = Root::open(self.world.root()).expect("root");
    }

    /// The layers since it was begun, the base's first, with their bytes.
    pub fn layers(&self) -> &[(layer::Layer, Vec<u8>)] {
        &self.layers
    }

    /// Begins anew with what `base` builds as the base.
    pub fn begin(&mut self, base: &[Operation]) {
        self.world.clear();
        self.world.run(base);
        self.begin_as_it_is();
    }

    /// Begins anew with what stands in the root as the base.
    pub fn begin_as_it_is(&mut self) {
        self.world.note("-- base");
        self.layers.clear();
        silt::rootfs::clear(&self.copy).expect("clear");
        self.copied = Unpacker::new(&self.copy).expect("unpacker").finish().expect("empty");
        self.baseline = Baseline::default();
        let first = self.diff(&Candidates::Everything);
        self.follow(first).expect("the base is sound");
    }

    /// Begins anew as `begin`, but some of the base, chosen by `random`, stood there before and is in no layer.
    pub fn begin_partly_foreign(&mut self, base: &[Operation], random: &mut Random) {
        self.begin(base);
        let mut tree = self.baseline.tree().clone();
        let chosen: Vec<RootPath> =
            tree.iter().map(|(path, _)| path.clone()).filter(|_| random.below(5) == 0).collect();
        for path in chosen.iter().filter(|path| !path.is_root()) {
            let below: Vec<Inode> = tree.at_or_below(path).map(|(_, node)| node.inode).collect();
            for name in below.iter().flat_map(|inode| self.baseline.names(*inode)) {
                make_foreign(tree.get_mut(name).expect("a name in the record"));
            }
        }
        self.baseline = Baseline::new(tree);
        silt::rootfs::clear(&self.copy).expect("clear");
        self.copied = Unpacker::new(&self.copy).expect("unpacker").finish().expect("empty");
        self.put_on_copy(&self.carried()).expect("the base is sound");
    }

    /// The changes that make all of the record that is not foreign out of nothing.
    fn carried(&self) -> ChangeSet {
        let nodes = self.baseline.tree().iter().filter(|(path, node)| !path.is_root() && !node.foreign);
        let nodes = nodes.filter(|(_, node)| node.entry.kind != Kind::Socket);
        let change = |path: &RootPath, node: &Node| match &self.baseline.names(node.inode)[0] {
            first if first != path => Change::Link(first.clone()),
            _ => Change::Put(node.entry.clone()),
        };
        nodes.map(|(path, node)| (path.clone(), change(path, node))).collect()
    }

    /// Whether the layers so far have something at `path`.
    fn is_carried(&self, path: &RootPath) -> bool {
        let carried = |node: &Node| !node.foreign && node.entry.kind != Kind::Socket;
        self.baseline.tree().at_or_below(path).any(|(_, node)| carried(node))
    }

    pub fn diff(&self, look_at: &Candidates) -> Diff {
        diff(&self.root, &self.baseline, look_at).expect("diff")
    }

    /// Writes the layer of `diff`, puts it on the copy and lets the record follow. Then base + layer = tree, and the record
    /// is what a walk would find.
    pub fn follow(&mut self, diff: Diff) -> Verdict {
        self.put(diff)?;
        self.is_faithful()
    }

    /// The same where the disk may hold more than `diff` knows.
    pub fn put(&mut self, diff: Diff) -> Verdict {
        let layer = self.put_on_copy(&diff.changes).map_err(|error| format!("{error:#}"))?;
        self.baseline.apply(diff, &layer.contents);
        Ok(())
    }

    /// Whether the layers make the tree, and the record is what a walk would find.
    pub fn is_faithful(&self) -> Verdict {
        same("the tree and the layers", &self.carried_tree(), &shown(&walked(&self.copy)))?;
        let found = walked_beside(&self.root, self.baseline.tree());
        same("the record and the disk", &by_path(self.baseline.tree()), &by_path(found.tree()))?;
        if self.baseline == found { Ok(()) } else { Err("the record has other inodes than the disk".into()) }
    }

    /// Whether `other`, made of the layers by a program that leaves out attributes with an empty value, shows the tree.
    pub fn is_shown_by(&self, other: &Root) -> Verdict {
        let sparse = |mut tree: BTreeMap<RootPath, (Entry, RootPath)>| {
            tree.values_mut().for_each(|(entry, _)| entry.xattrs.retain(|_, value| !value.is_empty()));
            tree
        };
        same("the tree and the unpacked image", &sparse(self.carried_tree()), &sparse(shown(&walked(other))))
    }

    /// What the layers so far must show of the tree.
    fn carried_tree(&self) -> BTreeMap<RootPath, (Entry, RootPath)> {
        let mut tree = shown(&walked(&self.root));
        tree.retain(|path, _| self.is_carried(path));
        tree
    }

    fn put_on_copy(&mut self, changes: &ChangeSet) -> anyhow::Result<layer::Layer> {
        let packing = codec::Packing::Gzip(codec::Level::new(1).expect("a level"));
        let options = layer::Options { packing, ..layer::Options::default() };
        let mut blob = Vec::new();
        let layer = layer::write(&self.root, changes, &options, &mut blob)?;
        layer::check(codec::decode(&blob[..])?)?;
        let mut unpacker = Unpacker::over(&self.copy, std::mem::take(&mut self.copied));
        unpacker.layer(codec::decode(&blob[..])?)?;
        self.copied = unpacker.finish()?;
        self.layers.push((layer.clone(), blob));
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
        if let Kind::File { digest, .. } = &mut node.entry_mut().kind {
            *digest = Some(root.digest(&path).expect("digest"));
        }
        (path, node)
    });
    Baseline::new(nodes.collect())
}

/// The record that a walk makes, with those nodes foreign that `recorded` says are.
fn walked_beside(root: &Root, recorded: &Tree) -> Baseline {
    let mut tree = walked(root).tree().clone();
    for (path, _) in recorded.iter().filter(|(_, node)| node.foreign) {
        tree.get_mut(path).into_iter().for_each(make_foreign);
    }
    Baseline::new(tree)
}

fn make_foreign(node: &mut Node) {
    node.foreign = true;
    if let Kind::File { digest, .. } = &mut node.entry_mut().kind {
        *digest = None;
    }
}

/// What an image shows of a tree: entries without sockets and without the times of directories, and which names are one.
fn shown(found: &Baseline) -> BTreeMap<RootPath, (Entry, RootPath)> {
    let carried = found.tree().iter().filter(|(_, node)| node.entry.kind != Kind::Socket);
    let entry = |entry: &Entry| match entry.kind {
        Kind::Directory => Entry { mtime: Timestamp::default(), ..entry.clone() },
        _ => entry.clone(),
    };
    carried.map(|(path, node)| (path.clone(), (entry(&node.entry), found.names(node.inode)[0].clone()))).collect()
}
