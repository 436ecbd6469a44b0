//! Copies into a root where something is protected or stands in the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;

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

/// `d0` to `d9` of 50 files each, one of them large; a file, a link and two names of one file at the top.
fn many() -> (tempfile::TempDir, Root) {
    let source = tempfile::tempdir().expect("a temporary directory");
    let at = |name: String| source.path().join(name);
    for number in 0..500 {
        fs::create_dir_all(at(format!("d{}", number % 10))).expect("mkdir");
        let name = at(format!("d{}/f{number}", number % 10));
        fs::write(&name, format!("{number}").repeat(number * number)).expect("write");
        fs::set_permissions(name, fs::Permissions::from_mode(0o600 + number as u32 % 64)).expect("chmod");
    }
    fs::write(at("empty".into()), "").expect("write");
    fs::write(at("n1".into()), "n").expect("write");
    fs::hard_link(at("n1".into()), at("n2".into())).expect("link");
    std::os::unix::fs::symlink("d1", at("l".into())).expect("symlink");
    rustix::fs::setxattr(at("d1/f1".into()), "user.a", b"b", rustix::fs::XattrFlags::empty()).expect("setxattr");
    for number in 0..10 {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000 + number);
        fs::File::open(at(format!("d{number}"))).expect("open").set_modified(time).expect("touch");
    }
    let root = Root::open(source.path()).expect("the source");
    (source, root)
}

/// All that stands in a root: without what the disk decides, but with contents.
fn all_of(root: &Root) -> Vec<(RootPath, Entry)> {
    let mut found = Vec::new();
    walk(root, &RootPath::root(), |path, node| {
        let mut entry = Entry::clone(&node.entry);
        if let Kind::File { digest, .. } = &mut entry.kind {
            *digest = Some(root.digest(path)?);
        }
        found.push((path.clone(), entry));
        Ok::<(), io::Error>(())
    })
    .expect("a walk");
    found.into_iter().filter(|(path, _)| !path.is_root()).collect()
}

#[test]
fn many_files_are_copied_as_they_are() {
    let (_source, from) = many();
    let fixture = Fixture::new();
    let mut copier = Copier::new(&from, &fixture.root, STAMP, Onto::Standing);
    copier.copy(&RootPath::root(), &RootPath::root(), TAKE_ALL).expect("copies");
    let copied = all_of(&fixture.root);
    assert_eq!(copied, all_of(&from));
    assert_eq!(copier.noticed(), Noticed { replaced_owner: None, attributes: true, links: true });
    let touched: Vec<RootPath> = copied.into_iter().map(|(path, _)| path).collect();
    assert_eq!(copier.into_touched().into_iter().collect::<BTreeSet<_>>(), touched.into_iter().collect());
    fixture.assert_outside_untouched();
}

#[test]
fn what_stands_in_the_place_of_one_of_many_is_replaced() {
    let (_source, from) = many();
    let fixture = Fixture::new();
    fs::create_dir(fixture.on_disk("d1")).expect("mkdir");
    fs::write(fixture.on_disk("d1/f1"), "old").expect("write");
    fs::write(fixture.on_disk("d1/other"), "other").expect("write");
    std::os::unix::fs::symlink(fixture.outside().join("canary"), fixture.on_disk("d1/f11")).expect("symlink");
    let mut copier = Copier::new(&from, &fixture.root, STAMP, Onto::Standing);
    copier.copy(&RootPath::root(), &RootPath::root(), TAKE_ALL).expect("copies");
    let mut copied = all_of(&fixture.root);
    copied.retain(|(name, _)| *name != path("d1/other"));
    assert_eq!(copied, all_of(&from));
    fixture.assert_outside_untouched();
    fs::remove_file(fixture.on_disk("d1/f1")).expect("unlink");
    fs::create_dir(fixture.on_disk("d1/f1")).expect("mkdir");
    let mut copier = Copier::new(&from, &fixture.root, STAMP, Onto::Standing);
    let error = copier.copy(&RootPath::root(), &RootPath::root(), TAKE_ALL).expect_err("a directory stays");
    assert!(error.to_string().contains("/d1/f1 is a directory"), "{error}");
}

#[test]
fn a_directory_that_is_only_a_way_is_made_only_for_what_is_in_it() {
    let (_source, from) = many();
    let fixture = Fixture::new();
    fs::create_dir(fixture.on_disk("d3")).expect("mkdir");
    fs::write(fixture.on_disk("d3/f3"), "old").expect("write");
    let wanted = [path("d3/f3"), path("d5/f5")];
    let filter = |path: &RootPath, is_directory: bool| match is_directory {
        true => Selection::Descend,
        false if wanted.contains(path) => Selection::Take,
        false => Selection::Skip,
    };
    let mut copier = Copier::new(&from, &fixture.root, STAMP, Onto::Standing);
    copier.copy(&RootPath::root(), &RootPath::root(), &filter).expect("copies");
    let names: Vec<RootPath> = all_of(&fixture.root).into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, [path("d3"), path("d3/f3"), path("d5"), path("d5/f5")]);
    assert_eq!(fs::read(fixture.on_disk("d3/f3")).expect("read"), b"333333333".map(|_| b'3'));
}
