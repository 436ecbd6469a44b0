//! Every kind of change, on every kind of file system, and each with what must be nominated. Whatever else a walk finds
//! changed must be covered too. Then the same with one source of knowledge taken away, which must miss something.

use std::fs;
use std::process::Command;

use silt_watcher::{EventClass, Nominated, Options, Recorder};

use crate::changes::Must::{Inode, Path as P, Tree as T};
use crate::changes::{OPERATIONS, Operation, append, build, deep};
use crate::disk::{Disk, Kind, run};
use crate::oracle::{Tree, complete};

/// Records one operation; what it changed that was not nominated.
fn record(recorder: &mut Recorder, disk: &Disk, operation: &Operation) -> Vec<String> {
    let (root, outside) = (disk.path("root"), disk.path("outside"));
    build(&root, &outside);
    let before = Tree::walk(&root);
    recorder.start().unwrap();
    (operation.1)(&root, &outside);
    let nominated = complete(recorder.take(&before));
    assert!(recorder.heard() > 0, "{}: nothing heard", operation.0);
    judge(operation, &before, &Tree::walk(&root), &nominated)
}

/// What `operation` made of `before` that was not nominated, and what must be and was not.
pub fn judge((what, _, must): &Operation, before: &Tree, after: &Tree, nominated: &Nominated) -> Vec<String> {
    assert!(*what == "link" || !before.changed(after).is_empty(), "{what}: changed nothing");
    let mut missed = before.missed(after, nominated);
    missed.extend(must.iter().filter_map(|must| {
        let there = match must {
            P(path) => nominated.paths.contains(path.as_bytes()),
            T(path) => nominated.trees.contains(path.as_bytes()),
            Inode(path) => nominated.inodes.contains(&before.inode(path)),
        };
        (!there).then(|| format!("{must:?}"))
    }));
    missed
}

/// Opens a recorder for the root of `disk`.
pub fn open(disk: &Disk, options: &Options) -> Recorder {
    Recorder::open(&disk.path("root"), &disk.path("scratch"), options).unwrap()
}

fn check_all(kind: Kind) {
    let disk = Disk::new(kind);
    let mut recorder = open(&disk, &Options::default());
    for operation in OPERATIONS {
        let missed = record(&mut recorder, &disk, operation);
        assert!(missed.is_empty(), "{kind:?}: {}: missed {missed:?}", operation.0);
    }
    assert_eq!(fs::read_dir(disk.path("scratch")).unwrap().count(), 0, "{kind:?}: scratch was left empty");
}

#[test]
fn every_operation_is_nominated_on_tmpfs() {
    check_all(Kind::Tmpfs);
}

#[test]
fn every_operation_is_nominated_on_ext4() {
    check_all(Kind::Ext4);
}

#[test]
fn every_operation_is_nominated_on_xfs() {
    check_all(Kind::Xfs);
}

#[test]
fn every_operation_is_nominated_on_btrfs() {
    check_all(Kind::Btrfs);
}

#[test]
fn every_operation_is_nominated_on_an_exported_overlay() {
    check_all(Kind::Overlay);
}

#[test]
fn files_of_a_lower_layer_are_nominated() {
    let disk = Disk::new(Kind::Overlay);
    let root = disk.path("root");
    let mut recorder = open(&disk, &Options::default());
    let check = |recorder: &mut Recorder, act: &dyn Fn(), path: &[u8]| {
        let before = Tree::walk(&root);
        recorder.start().unwrap();
        act();
        let nominated = complete(recorder.take(&before));
        assert!(nominated.paths.contains(path), "{}", path.escape_ascii());
        assert_eq!(before.missed(&Tree::walk(&root), &nominated), [""; 0]);
    };
    check(&mut recorder, &|| append(&root.join("low/file")), b"low/file");
    check(&mut recorder, &|| append(&root.join("low/file")), b"low/file");
    check(&mut recorder, &|| fs::remove_file(root.join("low/file")).unwrap(), b"low/file");
    check(&mut recorder, &|| fs::remove_dir(root.join("low")).unwrap(), b"low");
}

#[test]
fn files_in_a_subvolume_below_the_root_are_nominated() {
    let disk = Disk::new(Kind::Btrfs);
    let root = disk.path("root");
    for subvolume in [root.join("sub"), disk.path("outside/sub")] {
        run(Command::new("btrfs").args(["subvolume", "create"]).arg(&subvolume));
        deep(&subvolume.join("d"));
    }
    // Inode numbers count anew in each subvolume, so these meet.
    deep(&root.join("d"));
    let mut recorder = open(&disk, &Options::default());
    let check = |recorder: &mut Recorder, act: &dyn Fn(), expected: &[&str]| {
        let before = Tree::walk(&root);
        recorder.start().unwrap();
        act();
        let nominated = complete(recorder.take(&before));
        let expected: Vec<_> = expected.iter().map(|path| path.as_bytes().to_vec()).collect();
        assert_eq!(nominated.paths.iter().map(|path| path.to_vec()).collect::<Vec<_>>(), expected);
        assert_eq!(before.missed(&Tree::walk(&root), &nominated), [""; 0]);
    };
    check(&mut recorder, &|| append(&root.join("sub/d/n")), &["sub/d/n"]);
    check(&mut recorder, &|| append(&disk.path("outside/sub/d/n")), &[]);
    // What was in the directory goes with its tree: its handle is stale by now.
    check(&mut recorder, &|| fs::remove_dir_all(root.join("sub/d")).unwrap(), &["sub", "sub/d"]);
    let delete = || run(Command::new("btrfs").args(["subvolume", "delete"]).arg(root.join("sub")));
    check(&mut recorder, &delete, &["", "sub"]);
}

/// What is missed of the operation `what` under `options`.
fn missed_under(options: &Options, what: &str) -> Vec<String> {
    let disk = Disk::new(Kind::Tmpfs);
    let (root, outside) = (disk.path("root"), disk.path("outside"));
    let mut recorder = open(&disk, options);
    let (_, act, _) = OPERATIONS.iter().find(|operation| operation.0 == what).unwrap();
    build(&root, &outside);
    let before = Tree::walk(&root);
    recorder.start().unwrap();
    act(&root, &outside);
    let nominated = complete(recorder.take(&before));
    before.missed(&Tree::walk(&root), &nominated)
}

#[test]
fn no_class_of_events_can_be_left_out() {
    let check = |class, what: &str, missed: &[&str]| {
        let mut options = Options::default();
        options.events = options.events.without(class);
        assert_eq!(missed_under(&options, what), missed, "without {class:?}: {what}");
        assert_eq!(missed_under(&Options::default(), what), [""; 0], "with {class:?}: {what}");
    };
    check(EventClass::Create, "device", &["d", "d/n"]);
    check(EventClass::Delete, "remove a directory", &["", "empty"]);
    check(EventClass::Rename, "rename within a directory", &["d", "d/f", "d/n"]);
    check(EventClass::Attrib, "mode of a file", &["d/f"]);
    check(EventClass::Modify, "mtime of a file", &["d/f"]);
    check(EventClass::CloseWrite, "mapped store", &["d/f"]);
    check(EventClass::OnDir, "mode of a directory", &["d"]);
}

#[test]
fn the_inodes_of_targets_cannot_be_left_out() {
    let what = "transient link in a new directory";
    let without = Options { resolve_inodes: false, ..Options::default() };
    assert_eq!(missed_under(&without, what), ["d/f"]);
    assert_eq!(missed_under(&Options::default(), what), [""; 0]);
}
