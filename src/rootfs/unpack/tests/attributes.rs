//! What an entry says of its path is what the path has.

use std::fs;

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use tar_core::EntryType;

use crate::rootfs::fixture::{Fixture, Layer, assert_agrees, path};
use crate::rootfs::{Kind, Timestamp, Tree};

fn entry<'t>(tree: &'t Tree, at: &str) -> &'t crate::rootfs::Entry {
    &tree.get(&path(at)).unwrap_or_else(|| panic!("{at} is missing")).entry
}

#[test]
fn modes_owners_and_times() {
    let fixture = Fixture::new();
    let layer = Layer::new()
        .add("bin/", EntryType::Directory, b"", |e| {
            e.mode(0o1777).and_then(|e| e.uid(5)).and_then(|e| e.mtime(77)).expect("fields")
        })
        .add("bin/su", EntryType::Regular, b"elf", |e| {
            e.mode(0o6755).and_then(|e| e.uid(1000)).and_then(|e| e.gid(70000)).expect("fields");
            e.add_pax("mtime", "1350244992.023960108")
        })
        .add("bin/old", EntryType::Regular, b"", |e| e.add_pax("mtime", "-1.25"))
        .add("bin/wide", EntryType::Regular, b"", |e| e.mode(0o777).expect("mode"))
        .add("bin/none", EntryType::Regular, b"", |e| e.mode(0).expect("mode"))
        .add("bin/huge-id", EntryType::Regular, b"", |e| e.uid(4_294_967_294).expect("uid"));
    let tree = fixture.unpack(&[layer]).expect("unpacks");
    let su = entry(&tree, "bin/su");
    assert_eq!((su.mode, su.uid, su.gid), (0o6755, 1000, 70000));
    assert_eq!(su.mtime, Timestamp { sec: 1350244992, nsec: 23960108 });
    assert_eq!(entry(&tree, "bin/old").mtime, Timestamp { sec: -2, nsec: 750_000_000 });
    assert_eq!((entry(&tree, "bin").mode, entry(&tree, "bin").uid), (0o1777, 5));
    assert_eq!(entry(&tree, "bin").mtime, Timestamp { sec: 77, nsec: 0 }, "set after all that was made in it");
    assert_eq!(entry(&tree, "bin/wide").mode, 0o777);
    assert_eq!(entry(&tree, "bin/none").mode, 0);
    assert_eq!(entry(&tree, "bin/huge-id").uid, 4_294_967_294);
}

/// A lower layer's directory keeps its time though an upper layer, which does not name it, makes files in it.
#[test]
fn times_of_directories_survive_later_layers() {
    let fixture = Fixture::new();
    let lower = Layer::new().add("etc", EntryType::Directory, b"", |e| e.mtime(42).expect("mtime"));
    let upper = Layer::new().file("etc/conf", "x").file("etc/deep/er", "y");
    let tree = fixture.unpack(&[lower, upper]).expect("unpacks");
    assert_eq!(entry(&tree, "etc").mtime.sec, 42);
    let implied = entry(&tree, "etc/deep");
    assert_eq!((implied.mode, implied.uid, implied.mtime), (0o755, 0, Timestamp::default()));
}

#[test]
fn a_setgid_directory_hands_nothing_down() {
    let fixture = Fixture::new();
    let layer = Layer::new()
        .add("g", EntryType::Directory, b"", |e| e.mode(0o2755).and_then(|e| e.gid(50)).expect("fields"))
        .dir("g/d")
        .file("g/f", "x")
        .symlink("g/l", "f")
        .add("g/p", EntryType::Fifo, b"", |e| e);
    let tree = fixture.unpack(&[layer]).expect("unpacks");
    assert_eq!((entry(&tree, "g").mode, entry(&tree, "g").gid), (0o2755, 50));
    for (name, mode) in [("g/d", 0o755), ("g/f", 0o644), ("g/l", 0o777), ("g/p", 0o644)] {
        assert_eq!((entry(&tree, name).mode, entry(&tree, name).gid), (mode, 0), "{name}");
    }
}

#[test]
fn extended_attributes() {
    let fixture = Fixture::new();
    // A capability with the byte that ends PAX records, and text that looks like one.
    let capability = b"\x01\x00\x00\x02\x0a\x04\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x00\x00\x00\x00\x00";
    let layer = Layer::new()
        .add("ping", EntryType::Regular, b"elf", |e| {
            e.uid(7).expect("uid");
            e.add_pax("SCHILY.xattr.security.capability", capability);
            e.add_pax("SCHILY.xattr.user.note", b"a\n20 linkpath=/etc/x\n");
            e.add_pax("SCHILY.xattr.user.empty", b"");
            e.add_pax("SCHILY.xattr.trusted.overlay.opaque", b"y");
            e.add_pax("SCHILY.xattr.security.selinux", b"system_u:object_r:bin_t:s0")
        })
        .add("d", EntryType::Directory, b"", |e| e.add_pax("SCHILY.xattr.user.dir", b"1"))
        .symlink("l", "ping");
    let tree = fixture.unpack(&[layer]).expect("unpacks");
    let xattrs = &entry(&tree, "ping").xattrs;
    let names: Vec<&[u8]> = xattrs.keys().map(|name| &name[..]).collect();
    assert_eq!(names, [&b"security.capability"[..], b"user.empty", b"user.note"]);
    assert_eq!(&xattrs[&b"security.capability"[..]][..], capability);
    assert_eq!(&xattrs[&b"user.note"[..]][..], b"a\n20 linkpath=/etc/x\n");
    assert_eq!(entry(&tree, "d").xattrs.len(), 1);
}

/// An upper layer that names a directory again takes its old attributes away.
#[test]
fn a_directory_named_again_has_only_the_new_attributes() {
    let fixture = Fixture::new();
    let lower = Layer::new()
        .add("d", EntryType::Directory, b"", |e| {
            e.uid(9).and_then(|e| e.mode(0o700)).expect("fields");
            e.add_pax("SCHILY.xattr.user.old", b"1")
        })
        .file("d/stays", "x");
    let upper = Layer::new()
        .add("d", EntryType::Directory, b"", |e| e.mode(0o711).expect("mode").add_pax("SCHILY.xattr.user.new", b"2"));
    let tree = fixture.unpack(&[lower, upper]).expect("unpacks");
    let d = entry(&tree, "d");
    assert_eq!((d.mode, d.uid), (0o711, 0));
    assert_eq!(d.xattrs.keys().map(|name| &name[..]).collect::<Vec<_>>(), [&b"user.new"[..]]);
    assert!(tree.get(&path("d/stays")).is_some());
}

#[test]
fn the_root_entry_sets_the_root() {
    for name in ["./", "/", "."] {
        let fixture = Fixture::new();
        let layer = Layer::new().file("a", "x").add(name, EntryType::Directory, b"", |e| {
            e.mode(0o711).and_then(|e| e.uid(3)).and_then(|e| e.mtime(9)).expect("fields")
        });
        let tree = fixture.unpack(&[layer]).expect("unpacks");
        let root = entry(&tree, "");
        assert_eq!((root.mode, root.uid, root.mtime.sec), (0o711, 3, 9), "{name:?}");
    }
    let fixture = Fixture::new();
    let tree = fixture.unpack(&[]).expect("no layer at all");
    assert_eq!((tree.len(), entry(&tree, "").mode), (1, 0o755));
}

#[test]
fn names_are_bytes_and_may_be_long() {
    let fixture = Fixture::new();
    let long = "n".repeat(255);
    let deep = ["dir"; 700].join("/");
    let layer = Layer::new()
        .add(b"\xff\xfe/\xff", EntryType::Regular, b"raw", |e| e)
        .file(&format!("{long}/{long}"), "long")
        .symlink("far", &"t".repeat(300))
        .file(&format!("{deep}/x"), "deep");
    let tree = fixture.unpack(&[layer]).expect("unpacks");
    let raw = crate::rootfs::RootPath::clean(b"\xff\xfe/\xff").expect("no NUL");
    assert_eq!(tree.get(&raw).expect("recorded").entry.kind, file("raw"));
    assert_eq!(entry(&tree, &format!("{long}/{long}")).kind, file("long"));
    assert_eq!(entry(&tree, &format!("{deep}/x")).kind, file("deep"));
    assert_eq!(entry(&tree, "far").kind, Kind::Symlink("t".repeat(300).into_bytes().into()));
}

/// The kind of a file with this content.
fn file(content: &str) -> Kind {
    use sha2::{Digest, Sha256};
    Kind::File { size: content.len() as u64, digest: Some(Sha256::digest(content).into()) }
}

#[test]
fn a_tree_deeper_than_any_path_is_observed_and_removed() {
    let fixture = Fixture::new();
    let mut at = fixture.root.fd().try_clone_to_owned().expect("a handle");
    for _ in 0..3000 {
        mkdirat(&at, "dd", Mode::RWXU).expect("mkdir");
        at = openat(&at, "dd", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).expect("open");
    }
    mkdirat(&at, "end", Mode::RWXU).expect("mkdir");
    let tree = crate::rootfs::scan(&fixture.root).expect("a scan");
    assert_eq!(tree.len(), 3002);
    assert_agrees(&fixture.root, &tree);
    crate::rootfs::clear(&fixture.root).expect("cleared");
    assert_eq!(fs::read_dir(fixture.root.path()).expect("readdir").count(), 0);
}
