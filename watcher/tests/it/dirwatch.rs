//! Directory watches: the same operations and random writers as for the mark on a superblock. What they cannot hear is a
//! table too, and whatever is missed beyond it fails.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use rustix::fs::RenameFlags;
use silt_watcher::{DirWatch, EventClass, Inode, Lost, Nominated, Options, Recording, Refused};

use crate::changes::{NOT_HEARD, OPERATIONS, append, build, deep};
use crate::disk::{Disk, Kind};
use crate::operations::judge;
use crate::oracle::{Tree, partial};
use crate::random::{Linked, Links, STEPS, step};

/// Opens a recorder for the root of `disk`.
fn open(disk: &Disk, options: &Options) -> DirWatch {
    DirWatch::open(&disk.path("root"), &disk.path("scratch"), options).unwrap()
}

/// Begins a step on a tree that the recorder may not know yet.
fn begin(recorder: &mut DirWatch, tree: &Tree) {
    recorder.watch(tree.directories()).unwrap();
    recorder.start().unwrap();
}

/// Records what `act` does; what a caller would look at, and the tree after it. The directories that came are watched.
fn follow(recorder: &mut DirWatch, disk: &Disk, before: &Tree, act: impl FnOnce()) -> (Nominated, Tree) {
    recorder.start().unwrap();
    act();
    let nominated = partial(recorder.take(before));
    let after = Tree::walk(&disk.path("root"));
    recorder.watch(after.directories_in(&nominated)).unwrap();
    (before.close(&after, nominated), after)
}

/// Starts until so many directories are watched. A process that another test is just making may have a descriptor of ours,
/// until it executes its program, and so a directory that is removed may be there for a moment more.
fn settle(recorder: &mut DirWatch, expected: usize) {
    let begun = Instant::now();
    while recorder.watched() != expected && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(1));
        recorder.start().unwrap();
    }
    assert_eq!(recorder.watched(), expected);
}

fn paths(nominated: &Nominated) -> Vec<String> {
    nominated.paths.iter().map(|path| path.escape_ascii().to_string()).collect()
}

fn check_all(kind: Kind) {
    let disk = Disk::new(kind);
    let (root, outside) = (disk.path("root"), disk.path("outside"));
    let mut recorder = open(&disk, &Options::default());
    for operation in OPERATIONS {
        let what = operation.0;
        build(&root, &outside);
        let before = Tree::walk(&root);
        begin(&mut recorder, &before);
        settle(&mut recorder, before.directories().count());
        (operation.1)(&root, &outside);
        let nominated = partial(recorder.take(&before));
        assert!(recorder.heard() > 0 || what == "link from outside", "{what}: nothing heard");
        let after = Tree::walk(&root);
        let missed = judge(operation, &before, &after, &before.close(&after, nominated));
        let expected = NOT_HEARD.iter().find(|(other, _)| *other == what).map_or(&[][..], |(_, missed)| missed);
        assert_eq!(missed, expected, "{kind:?}: {what}");
    }
    assert_eq!(fs::read_dir(disk.path("scratch")).unwrap().count(), 0, "{kind:?}: scratch was left empty");
}

#[test]
fn every_operation_but_the_hole_is_heard_on_tmpfs() {
    check_all(Kind::Tmpfs);
}

#[test]
fn every_operation_but_the_hole_is_heard_on_ext4() {
    check_all(Kind::Ext4);
}

#[test]
fn every_operation_but_the_hole_is_heard_on_a_plain_overlay() {
    check_all(Kind::PlainOverlay);
}

#[test]
fn the_hole_is_a_part_of_the_table() {
    let known = |what| OPERATIONS.iter().any(|operation| operation.0 == what);
    assert!(NOT_HEARD.iter().all(|(what, _)| known(*what)));
}

/// Random writers; whatever is missed was written through a second name. The number of changes, and of those missed.
fn check_random(kind: Kind, seed: u64, links: Links) -> (usize, usize) {
    let disk = Disk::new(kind);
    let roots = [disk.path("root"), disk.path("outside")];
    build(&roots[0], &roots[1]);
    if links == Links::Avoided {
        fs::remove_file(roots[0].join("e/alias")).unwrap();
    }
    let mut recorder = open(&disk, &Options::default());
    let mut before = Tree::walk(&roots[0]);
    recorder.watch(before.directories()).unwrap();
    let mut linked = Linked::from([before.inode("d/h")]);
    let (mut changes, mut unheard) = (0, 0);
    for number in 0..STEPS {
        let (nominated, after) =
            follow(&mut recorder, &disk, &before, || linked.extend(step(seed + number * 2, &roots, links)));
        let missed = before.missed(&after, &nominated);
        let through_a_link = |path: &&String| linked.contains(&before.inode(path));
        let unexplained: Vec<_> = missed.iter().filter(|path| !through_a_link(path)).collect();
        assert!(unexplained.is_empty(), "{kind:?}, seed {seed}, step {number}: missed {unexplained:?}");
        changes += before.changed(&after).len();
        unheard += missed.len();
        before = after;
    }
    (changes, unheard)
}

#[test]
fn random_changes_are_heard() {
    for (kind, seed) in [(Kind::Tmpfs, 1), (Kind::Ext4, 1001), (Kind::PlainOverlay, 2001)] {
        let (changes, unheard) = check_random(kind, seed, Links::Avoided);
        assert!(changes > 100 && unheard == 0, "{kind:?}: {unheard} of {changes} changes missed");
    }
}

#[test]
fn random_changes_are_missed_only_through_links() {
    for (kind, seed) in [(Kind::Tmpfs, 1), (Kind::Ext4, 1001), (Kind::PlainOverlay, 2001)] {
        let (changes, unheard) = check_random(kind, seed, Links::Made);
        assert!(changes > 100 && unheard * 100 < changes, "{kind:?}: {unheard} of {changes} missed");
    }
}

#[test]
fn files_and_directories_of_a_lower_layer_are_heard() {
    let disk = Disk::new(Kind::PlainOverlay);
    let root = disk.path("root");
    let mut recorder = open(&disk, &Options::default());
    let mut tree = Tree::walk(&root);
    recorder.watch(tree.directories()).unwrap();
    let mut check = |act: &dyn Fn(), expected: &[&str]| {
        let (nominated, after) = follow(&mut recorder, &disk, &tree, act);
        assert_eq!(paths(&nominated), expected);
        assert_eq!(tree.missed(&after, &nominated), [""; 0]);
        tree = after;
    };
    check(&|| append(&root.join("low/file")), &["low/file"]);
    check(&|| append(&root.join("low/file")), &["low/file"]);
    check(&|| fs::write(root.join("low/new"), "x").unwrap(), &["low", "low/new"]);
    check(&|| fs::remove_file(root.join("low/file")).unwrap(), &["low", "low/file"]);
    check(&|| fs::remove_dir_all(root.join("low")).unwrap(), &["", "low", "low/new"]);
    check(&|| deep(&root.join("low")), &["", "low"]);
    check(&|| append(&root.join("low/n")), &["low/n"]);
}

#[test]
fn a_directory_that_moves_keeps_its_watch() {
    let disk = Disk::new(Kind::Ext4);
    let root = disk.path("root");
    deep(&root.join("d/sub"));
    let mut recorder = open(&disk, &Options::default());
    let mut tree = Tree::walk(&root);
    begin(&mut recorder, &tree);
    assert_eq!(recorder.watched(), 3);
    let mut check = |act: &dyn Fn(), expected: &[&str]| {
        let (nominated, after) = follow(&mut recorder, &disk, &tree, act);
        assert_eq!(paths(&nominated), expected);
        assert_eq!(recorder.watched(), 3);
        tree = after;
    };
    // In the step that moves it, what is done in it counts under the old path: the record is that of the start.
    let move_and_write = || {
        fs::rename(root.join("d"), root.join("e")).unwrap();
        append(&root.join("e/sub/n"));
    };
    check(&move_and_write, &["", "d", "d/sub/n", "e"]);
    check(&|| append(&root.join("e/sub/n")), &["e/sub/n"]);
    let exchange = || {
        let (cwd, file) = (rustix::fs::CWD, root.join("file"));
        fs::write(&file, "x").unwrap();
        rustix::fs::renameat_with(cwd, root.join("e/sub"), cwd, &file, RenameFlags::EXCHANGE).unwrap();
        append(&file.join("n"));
    };
    check(&exchange, &["", "e", "e/sub", "e/sub/n", "file"]);
    check(&|| append(&root.join("file/n")), &["file/n"]);
}

#[test]
fn a_directory_that_is_made_again_is_watched_again() {
    for kind in [Kind::Tmpfs, Kind::Ext4, Kind::PlainOverlay] {
        let disk = Disk::new(kind);
        let root = disk.path("root");
        deep(&root.join("d"));
        let mut recorder = open(&disk, &Options::default());
        let mut tree = Tree::walk(&root);
        recorder.watch(tree.directories()).unwrap();
        let directories = tree.directories().count();
        for _ in 0..10 {
            let again = || {
                fs::remove_dir_all(root.join("d")).unwrap();
                deep(&root.join("d"));
            };
            let (nominated, after) = follow(&mut recorder, &disk, &tree, again);
            assert!(nominated.trees.contains(&b"d"[..]));
            settle(&mut recorder, directories);
            let (nominated, after) = follow(&mut recorder, &disk, &after, || append(&root.join("d/n")));
            assert_eq!(paths(&nominated), ["d/n"]);
            tree = after;
        }
        let remove = || fs::remove_dir_all(root.join("d")).unwrap();
        follow(&mut recorder, &disk, &tree, remove);
        settle(&mut recorder, directories - 1);
    }
}

#[test]
fn takes_cost_what_was_heard() {
    const DIRECTORIES: usize = 3000;
    let disk = Disk::new(Kind::Tmpfs);
    let root = disk.path("root");
    for number in 0..DIRECTORIES {
        fs::create_dir(root.join(number.to_string())).unwrap();
    }
    let tree = Tree::walk(&root);
    let mut recorder = open(&disk, &Options::default());
    begin(&mut recorder, &tree);
    assert_eq!(recorder.watched(), DIRECTORIES + 1);
    assert_eq!(partial(recorder.take(&tree)), Nominated::default());
    let mut nominated = 0;
    for round in 0..200 {
        recorder.start().unwrap();
        let name = format!("{round}/file");
        fs::write(root.join(&name), "x").unwrap();
        let heard = partial(recorder.take(&tree));
        assert!(heard.paths.contains(name.as_bytes()));
        assert_eq!(recorder.heard(), 3, "made, written, closed");
        nominated += heard.paths.len() + heard.trees.len() + heard.inodes.len();
    }
    assert_eq!(tree.asked.get(), 200, "one directory a round");
    assert_eq!(nominated, 200 * 2, "file and directory a round");
}

#[test]
fn no_class_of_events_can_be_left_out() {
    let missed = |options: &Options, what: &str| {
        let disk = Disk::new(Kind::Tmpfs);
        let (root, outside) = (disk.path("root"), disk.path("outside"));
        build(&root, &outside);
        let before = Tree::walk(&root);
        let mut recorder = open(&disk, options);
        begin(&mut recorder, &before);
        let act = OPERATIONS.iter().find(|operation| operation.0 == what).unwrap().1;
        act(&root, &outside);
        let nominated = partial(recorder.take(&before));
        let after = Tree::walk(&root);
        before.missed(&after, &before.close(&after, nominated))
    };
    let check = |class, what: &str, expected: &[&str]| {
        let mut options = Options::default();
        options.events = options.events.without(class);
        assert_eq!(missed(&options, what), expected, "without {class:?}: {what}");
        assert_eq!(missed(&Options::default(), what), [""; 0], "with {class:?}: {what}");
    };
    check(EventClass::Create, "device", &["d", "d/n"]);
    check(EventClass::Delete, "remove", &["d", "d/f"]);
    check(EventClass::Rename, "rename within a directory", &["d", "d/f", "d/n"]);
    check(EventClass::Attrib, "mode of a file", &["d/f"]);
    check(EventClass::Modify, "mtime of a file", &["d/f"]);
    check(EventClass::CloseWrite, "mapped store", &["d/f"]);
    check(EventClass::OnDir, "mode of a directory", &["d"]);
}

/// Why a recording that must be lost was lost.
fn lost(recorder: &mut DirWatch, tree: &Tree) -> Lost {
    match recorder.take(tree) {
        Recording::Incomplete { why } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn losses_last_until_a_start() {
    let mut disk = Disk::new(Kind::Tmpfs);
    let root = disk.path("root");
    fs::create_dir(root.join("point")).unwrap();
    let tree = Tree::walk(&root);
    let mut recorder = open(&disk, &Options { memory: 10_000, ..Options::default() });
    assert!(matches!(lost(&mut recorder, &tree), Lost::NotStarted));
    assert!(matches!(recorder.start(), Err(Lost::NotStarted)), "nothing is watched");
    begin(&mut recorder, &tree);
    disk.mount_at(&root.join("point"), &["-t", "tmpfs", "tmpfs"]);
    assert!(matches!(lost(&mut recorder, &tree), Lost::Mounts));
    assert!(matches!(lost(&mut recorder, &tree), Lost::NotStarted));
    recorder.start().unwrap();
    (0..1000).for_each(|number| fs::write(root.join(number.to_string()), "x").unwrap());
    assert!(matches!(lost(&mut recorder, &tree), Lost::Memory { limit: 10_000 }));
    recorder.start().unwrap();
    append(&root.join("7"));
    assert_eq!(paths(&partial(recorder.take(&tree))), ["7"]);
    fs::remove_dir(disk.path("scratch")).unwrap();
    assert!(matches!(lost(&mut recorder, &tree), Lost::Io { call: "mkdirat", .. }));
}

#[test]
fn an_unmounted_directory_is_a_loss() {
    let mut disk = Disk::new(Kind::Tmpfs);
    let point = disk.path("root/point");
    disk.mount_at(&point, &["-t", "tmpfs", "tmpfs"]);
    let tree = Tree::walk(&disk.path("root"));
    let mut recorder = open(&disk, &Options::default());
    begin(&mut recorder, &tree);
    fs::write(point.join("file"), "x").unwrap();
    assert_eq!(paths(&partial(recorder.take(&tree))), ["point", "point/file"]);
    disk.unmount();
    assert!(matches!(lost(&mut recorder, &tree), Lost::Mounts));
    assert_eq!(recorder.watched(), 1);
}

#[test]
fn links_lead_nowhere_and_strangers_are_refused() {
    let disk = Disk::new(Kind::Tmpfs);
    let (root, outside) = (disk.path("root"), disk.path("outside"));
    build(&root, &outside);
    symlink(&outside, root.join("out")).unwrap();
    let inode = |path| Inode::of(File::open(disk.path(path)).unwrap()).unwrap();
    let refuse = |path: &str, inode| {
        let mut recorder = open(&disk, &Options::default());
        recorder.watch([("", Inode::of(File::open(&root).unwrap()).unwrap())].into_iter()).unwrap();
        let refused = recorder.watch([("d", inode_at(&root, "d")), (path, inode)].into_iter()).unwrap_err();
        assert_eq!(recorder.watched(), 0, "nothing is left behind");
        assert!(matches!(recorder.start(), Err(Lost::NotStarted)));
        refused
    };
    for path in ["out", "out/full", "../outside", "/", "missing", "d/f"] {
        let refused = refuse(path, inode("outside"));
        assert!(matches!(refused, Refused::File { call: "openat", .. }), "{path}: {refused}");
    }
    let refused = refuse("e", inode("root/d"));
    assert!(matches!(refused, Refused::Stranger { .. }), "{refused}");
    assert!(refused.to_string().contains(root.join("e").to_str().unwrap()), "{refused}");
}

fn inode_at(root: &std::path::Path, path: &str) -> Inode {
    Inode::of(File::open(root.join(path)).unwrap()).unwrap()
}

#[test]
fn scratch_may_be_elsewhere_or_in_the_root() {
    let (disk, other) = (Disk::new(Kind::Tmpfs), Disk::new(Kind::Tmpfs));
    let root = disk.path("root");
    fs::create_dir_all(root.join("d/scratch")).unwrap();
    for scratch in [other.path("scratch"), root.join("d/scratch")] {
        let tree = Tree::walk(&root);
        let mut recorder = DirWatch::open(&root, &scratch, &Options::default()).unwrap();
        begin(&mut recorder, &tree);
        assert_eq!(partial(recorder.take(&tree)), Nominated::default());
        fs::write(root.join("d/file"), "x").unwrap();
        fs::write(scratch.join("ours"), "x").unwrap();
        assert_eq!(paths(&partial(recorder.take(&tree))), ["d", "d/file"]);
        fs::remove_file(root.join("d/file")).unwrap();
    }
}
