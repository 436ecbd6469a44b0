//! Every kind of entry, and each kind in place of each other.

use std::fs;
use std::os::unix::fs::MetadataExt;

use tar_core::EntryType;

use crate::rootfs::fixture::{Fixture, Layer, Trickle, assert_agrees, path};
use crate::rootfs::{Kind, Unpacker};

fn add(layer: Layer, name: &str, kind: &str) -> Layer {
    match kind {
        "file" => layer.file(name, "content"),
        "dir" => layer.dir(name).file(&format!("{name}/child"), "c").file(&format!("{name}/sub/child"), "c"),
        "symlink" => layer.symlink(name, "/elsewhere"),
        "link" => layer.file("original", "linked").link(name, "original"),
        "char" => layer.add(name, EntryType::Char, b"", |e| e.device(1, 3).expect("device")),
        "block" => layer.add(name, EntryType::Block, b"", |e| e.device(259, 70000).expect("device")),
        _ => layer.add(name, EntryType::Fifo, b"", |e| e),
    }
}

fn kind_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::File { size: 7, digest: Some(_) } => "file",
        Kind::File { size: 6, digest: Some(_) } => "link",
        Kind::Directory => "dir",
        Kind::Symlink(target) if &target[..] == b"/elsewhere" => "symlink",
        Kind::CharDevice { major: 1, minor: 3 } => "char",
        Kind::BlockDevice { major: 259, minor: 70000 } => "block",
        Kind::Fifo => "fifo",
        _ => "something else",
    }
}

#[test]
fn every_kind_replaces_every_kind_from_a_lower_layer_and_in_the_same() {
    let kinds = ["file", "dir", "symlink", "link", "char", "block", "fifo"];
    for old in kinds {
        for new in kinds {
            let (lower, upper) = (add(Layer::new(), "p", old), add(Layer::new(), "p", new));
            for layers in [vec![lower.clone(), upper], vec![add(lower, "p", new)]] {
                let fixture = Fixture::new();
                let tree = fixture.unpack(&layers).unwrap_or_else(|e| panic!("{old} → {new}: {e}"));
                assert_eq!(kind_of(&tree.get(&path("p")).expect("p").entry.kind), new, "{old} → {new}");
                let children = if new == "dir" { 3 } else { 0 };
                assert_eq!(tree.below(&path("p")).count(), children, "{old} → {new}");
            }
        }
    }
}

#[test]
fn the_last_of_two_equal_names_counts() {
    let fixture = Fixture::new();
    let tree = fixture.unpack(&[Layer::new().file("a", "first").file("./a", "second, longer")]).expect("unpacks");
    assert_eq!(fs::read(fixture.on_disk("a")).expect("a"), b"second, longer");
    assert_eq!(tree.len(), 2);
}

#[test]
fn hard_links_share_inode_and_digest() {
    let fixture = Fixture::new();
    let lower = Layer::new().file("a", "shared").file("alone", "x");
    let upper = Layer::new().link("b", "a").link("d/c", "/a").symlink("s", "a").link("t", "./s");
    let tree = fixture.unpack(&[lower, upper]).expect("unpacks");
    let node = |name| tree.get(&path(name)).expect("recorded");
    assert_eq!((node("a").nlink, node("b").nlink, node("d/c").nlink), (3, 3, 3));
    assert!(node("a") == node("b") && node("b") == node("d/c"));
    assert_eq!(node("t"), node("s"), "a link to a symlink is the symlink itself");
    assert_eq!(node("alone").nlink, 1);
}

/// Replacing one name of a file leaves the others as they were, and their record up to date.
#[test]
fn a_replaced_name_leaves_the_other_names() {
    let fixture = Fixture::new();
    let lower = Layer::new().file("a", "old").link("b", "a").link("c", "a");
    let upper = Layer::new().file("a", "new").file(".wh.c", "");
    let tree = fixture.unpack(&[lower, upper]).expect("unpacks");
    assert_eq!(fs::read(fixture.on_disk("b")).expect("b"), b"old");
    assert_eq!(tree.get(&path("b")).expect("b").nlink, 1);
    assert!(tree.get(&path("c")).is_none());
}

#[test]
fn a_link_to_itself_changes_nothing() {
    let fixture = Fixture::new();
    fixture.unpack(&[Layer::new().file("a", "kept").link("a", "a")]).expect("unpacks");
    assert_eq!(fs::read(fixture.on_disk("a")).expect("a"), b"kept");
}

/// Docker reads no content after these, whatever their size says.
#[test]
fn only_files_have_content() {
    let fixture = Fixture::new();
    let layer = Layer::new()
        .file("a", "x")
        .add("b", EntryType::Link, b"", |e| e.link_name("a").size(512).expect("size"))
        .add("d", EntryType::Directory, b"", |e| e.size(4096).expect("size"))
        .file("last", "y");
    assert_eq!(fixture.unpack(&[layer]).expect("unpacks").len(), 5);
}

#[test]
fn sparse_files_of_both_formats() {
    for gnu in [true, false] {
        let fixture = Fixture::new();
        let map: Vec<tar_core::SparseEntry> =
            (0..6).map(|i| tar_core::SparseEntry { offset: 10_000 * i + 5000, length: 512 }).collect();
        let data = [7u8; 6 * 512];
        let layer = Layer::new().add("sparse", EntryType::Regular, &data, |e| {
            if gnu {
                *e = tar_core::builder::EntryBuilder::new_gnu();
                e.path("sparse").mode(0o644).and_then(|e| e.size(data.len() as u64)).expect("fields");
            }
            e.sparse(&map, 1 << 20)
        });
        let tree = fixture.unpack(&[layer.file("after", "x")]).expect("unpacks");
        let Kind::File { size, digest: Some(_) } = tree.get(&path("sparse")).expect("sparse").entry.kind else {
            panic!()
        };
        assert_eq!(size, 1 << 20, "the digest is checked against the disk by the fixture");
        let content = fs::read(fixture.on_disk("sparse")).expect("content");
        assert_eq!(content.iter().filter(|b| **b == 7).count(), data.len());
        assert_eq!((content[4999], content[5000], content[55_511], content[55_512]), (0, 7, 7, 0));
        assert!(fs::metadata(fixture.on_disk("sparse")).expect("stat").blocks() * 512 < 100_000, "holes stay holes");
    }
}

#[test]
fn a_stream_that_trickles_and_one_without_an_end() {
    let big = "0123456789".repeat(100_000);
    let layer = Layer::new().file("a/b", "x").file("big", &big).symlink("l", &"t".repeat(200)).file("c", "y");
    for (bytes, step) in
        [(layer.bytes(), 1 << 20), (layer.bytes(), 511), (layer.bytes()[..layer.bytes().len() - 1024].to_vec(), 7000)]
    {
        let fixture = Fixture::new();
        let mut unpacker = Unpacker::new(&fixture.root).expect("a root");
        let mut stream = Trickle(&bytes, step);
        unpacker.layer(&mut stream).expect("unpacks");
        assert!(stream.0.is_empty(), "the whole stream is read");
        let tree = unpacker.finish().expect("finishes");
        assert_agrees(&fixture.root, &tree);
        assert_eq!(tree.len(), 6);
    }
}

#[test]
fn what_follows_the_end_of_the_archive_is_read_but_not_unpacked() {
    let fixture = Fixture::new();
    let bytes = [Layer::new().file("a", "x").bytes(), Layer::new().file("b", "y").bytes()].concat();
    let mut unpacker = Unpacker::new(&fixture.root).expect("a root");
    let mut stream = &bytes[..];
    unpacker.layer(&mut stream).expect("unpacks");
    assert!(stream.is_empty());
    assert_eq!(unpacker.finish().expect("finishes").len(), 2);
}
