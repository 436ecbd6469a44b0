//! The same archives unpacked by others: GNU tar, and umoci for layers with whiteouts.

use std::path::Path;
use std::process::Command;

use tar_core::EntryType;

use crate::rootfs::fixture::{Fixture, Layer, assert_agrees};
use crate::rootfs::{Entry, Kind, Root, RootPath, Unpacker, walk};

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Everything that an image says of a tree: attributes, contents, and which names are one file.
fn contents(root: &Root) -> Vec<(RootPath, Entry, Option<RootPath>)> {
    let mut first_names = std::collections::BTreeMap::new();
    let mut all = Vec::new();
    walk(root, &RootPath::root(), |path, mut node| {
        if let Kind::File { digest, .. } = &mut node.entry_mut().kind {
            *digest = Some(root.digest(path)?);
        }
        let linked = node.nlink > 1 && !node.entry.is_directory();
        let first = linked.then(|| first_names.entry(node.inode).or_insert_with(|| path.clone()).clone());
        all.push((path.clone(), Entry::clone(&node.entry), first));
        Ok::<(), std::io::Error>(())
    })
    .expect("a walk");
    all
}

fn assert_same(ours: &Root, theirs: &Path, what: &str) {
    let theirs = Root::open(theirs).expect("their root");
    let (ours, theirs) = (contents(ours), contents(&theirs));
    for (our, their) in ours.iter().zip(&theirs) {
        assert_eq!(our, their, "{what}");
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
    assert!(ours.len() > 3, "{what}");
}

/// A tree with what GNU tar can archive, packed in each of its formats.
#[test]
fn gnu_tar_unpacks_its_archives_to_the_same_tree() {
    let source = Fixture::new();
    let layer = Layer::new()
        .dir("./")
        .dir("d")
        .file(&format!("d/{}/{}", "n".repeat(200), "m".repeat(200)), "long")
        .add("d/su", EntryType::Regular, b"elf", |e| {
            e.mode(0o4755).and_then(|e| e.uid(1000)).and_then(|e| e.gid(3_000_000)).expect("fields")
        })
        .link("d/su2", "d/su")
        .symlink("l", &"../t".repeat(50))
        .add("p", EntryType::Fifo, b"", |e| e)
        .add("null", EntryType::Char, b"", |e| e.device(1, 3).expect("device"))
        .add(b"raw\xff", EntryType::Regular, b"x", |e| e);
    source.unpack(&[layer]).expect("unpacks");
    let sparse = std::fs::File::create(source.on_disk("sparse")).expect("create");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 3_000_000).expect("write");
    sparse.set_len(5_000_000).expect("truncate");
    let formats = [
        vec!["--format=gnu", "-S"],
        vec!["--format=pax", "--sparse-version=1.0", "-S"],
        vec!["--format=pax", "--sparse-version=0.1", "-S"],
        vec!["--format=pax", "--sparse-version=0.0", "-S"],
        vec!["--format=gnu"],
    ];
    for format in formats {
        let (ours, theirs) = (Fixture::new(), tempfile::tempdir().expect("a directory"));
        let archive = theirs.path().join("archive.tar");
        let unpacked = theirs.path().join("unpacked");
        std::fs::create_dir(&unpacked).expect("mkdir");
        run(Command::new("tar")
            .args(&format)
            .arg("--numeric-owner")
            .arg("-C")
            .arg(source.root.path())
            .arg("-cf")
            .arg(&archive)
            .arg("."));
        run(Command::new("tar")
            .args(["--numeric-owner", "--same-owner", "-p", "-C"])
            .arg(&unpacked)
            .arg("-xf")
            .arg(&archive));
        let mut unpacker = Unpacker::new(&ours.root).expect("a root");
        unpacker
            .layer(std::fs::File::open(&archive).expect("the archive"))
            .unwrap_or_else(|e| panic!("{format:?}: {e}"));
        assert_agrees(&ours.root, &unpacker.finish().expect("finishes"));
        assert_same(&ours.root, &unpacked, &format!("{format:?}"));
    }
}

#[test]
fn umoci_unpacks_layers_to_the_same_tree() {
    let directory = |layer: Layer, name: &str| {
        layer.add(name, EntryType::Directory, b"", |e| e.mode(0o755).and_then(|e| e.mtime(500)).expect("fields"))
    };
    let lower = ["./", "etc/", "etc/old/", "usr/", "usr/lib/", "opq/", "opq/sub/"]
        .iter()
        .fold(Layer::new(), |layer, name| directory(layer, name));
    let lower = lower
        .file("etc/a", "1")
        .file("etc/old/b", "2")
        .file("usr/lib/so", "3")
        .symlink("lib", "usr/lib")
        .file("opq/x", "")
        .file("opq/sub/y", "")
        .link("etc/c", "etc/a");
    let upper = directory(directory(Layer::new(), "./"), "opq/")
        .file("opq/.wh..wh..opq", "")
        .file("opq/new", "n")
        .file("etc/.wh.old", "");
    let upper = directory(upper, "etc/")
        .file("etc/a", "changed")
        .add("usr/lib/cap", EntryType::Regular, b"c", |e| e.add_pax("SCHILY.xattr.user.k", b"v\n"));
    let upper = directory(directory(upper, "usr/lib/"), "usr/");
    let layers = [lower, upper];
    let ours = Fixture::new();
    ours.unpack(&layers).expect("unpacks");

    let theirs = tempfile::tempdir().expect("a directory");
    let image = format!("{}:t", theirs.path().join("layout").display());
    run(Command::new("umoci").arg("init").arg("--layout").arg(theirs.path().join("layout")));
    run(Command::new("umoci").args(["new", "--image", &image]));
    for (number, layer) in layers.iter().enumerate() {
        let file = theirs.path().join(format!("{number}.tar"));
        std::fs::write(&file, layer.bytes()).expect("write");
        run(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(file));
    }
    run(Command::new("umoci").args(["raw", "unpack", "--image", &image]).arg(theirs.path().join("unpacked")));
    assert_same(&ours.root, &theirs.path().join("unpacked"), "umoci");
}
