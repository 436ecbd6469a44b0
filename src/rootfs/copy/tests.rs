//! Copies into a root where something is protected or stands in the way.

use std::fs;

use super::*;
use crate::rootfs::fixture::{Fixture, path};

const TAKE_ALL: Filter<'static> = &|_, _| Selection::Take;
const STAMP: Stamp<'static> = Stamp { owner: Owner::Kept, mode: None };

/// A source with `d/mount/x` and `d/y`, and a root where `d/mount` is protected.
fn protected() -> (tempfile::TempDir, Root, Fixture) {
    let source = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir_all(source.path().join("d/mount")).expect("mkdir");
    fs::write(source.path().join("d/mount/x"), "x").expect("write");
    fs::write(source.path().join("d/y"), "y").expect("write");
    let mut fixture = Fixture::new();
    fixture.root.create_dir_all(&path("d/mount"), 0o711, 0, 0).expect("mkdir");
    fixture.root.protect(path("d/mount"));
    let root = Root::open(source.path()).expect("the source");
    (source, root, fixture)
}

#[test]
fn what_is_protected_is_left_out_of_a_tree() {
    let (_source, from, fixture) = protected();
    let mut copier = Copier::new(&from, &fixture.root, STAMP, Onto::Standing);
    copier.copy(&RootPath::root(), &RootPath::root(), TAKE_ALL).expect("copies the rest");
    assert_eq!(copier.into_touched(), BTreeSet::from([path("d"), path("d/y")]));
    assert_eq!(fs::read_dir(fixture.on_disk("d/mount")).expect("list").count(), 0);
}

#[test]
fn what_is_protected_is_no_destination() {
    let (_source, from, fixture) = protected();
    for (source, target) in [("d/y", "d/mount"), ("d/y", "d/mount/z"), ("d", "d/mount"), ("d", "d/mount/e")] {
        let mut copier = Copier::new(&from, &fixture.root, STAMP, Onto::Standing);
        let result = copier.copy(&path(source), &path(target), TAKE_ALL);
        assert!(matches!(result, Err(Error::Protected(_))), "{source} to {target}: {result:?}");
    }
    assert_eq!(fs::read_dir(fixture.on_disk("d/mount")).expect("list").count(), 0);
}

#[test]
fn names_of_one_file_stay_together_only_within_a_source() {
    let source = tempfile::tempdir().expect("a temporary directory");
    fs::write(source.path().join("a"), "1").expect("write");
    fs::hard_link(source.path().join("a"), source.path().join("b")).expect("link");
    let from = Root::open(source.path()).expect("the source");
    let fixture = Fixture::new();
    let mut copier = Copier::new(&from, &fixture.root, STAMP, Onto::Standing);
    copier.copy(&RootPath::root(), &path("tree"), TAKE_ALL).expect("copies");
    copier.copy(&path("a"), &path("x"), TAKE_ALL).expect("copies");
    copier.copy(&path("b"), &path("y"), TAKE_ALL).expect("copies");
    let inode = |name: &str| fixture.root.observe(&path(name)).expect("statx").map(|node| node.inode);
    assert_eq!(inode("tree/a"), inode("tree/b"));
    assert_ne!(inode("x"), inode("y"));
    fixture.assert_outside_untouched();
}
