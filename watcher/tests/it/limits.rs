//! What a recording costs, what it leaves out, and when it says that it is not complete.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use silt_watcher::{Lost, Nominated, Options, Recorder};

use crate::changes::build;
use crate::disk::{Disk, Kind};
use crate::operations::open;
use crate::oracle::{Tree, complete, lost};

#[test]
fn nothing_done_is_nothing_heard() {
    let disk = Disk::new(Kind::Tmpfs);
    build(&disk.path("root"), &disk.path("outside"));
    let tree = Tree::walk(&disk.path("root"));
    let mut recorder = open(&disk, &Options::default());
    fs::write(disk.path("root/d/f"), "before the start").unwrap();
    recorder.start().unwrap();
    for _ in 0..3 {
        assert_eq!(complete(recorder.take(&tree)), Nominated::default());
        assert_eq!(recorder.heard(), 0);
    }
    assert_eq!(tree.asked.get(), 0);
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
    let mut nominated = 0;
    for round in 0..200 {
        recorder.start().unwrap();
        let name = format!("{round}/file");
        fs::write(root.join(&name), "x").unwrap();
        let heard = complete(recorder.take(&tree));
        assert!(heard.paths.contains(name.as_bytes()));
        assert!(recorder.heard() <= 3, "{} events", recorder.heard());
        nominated += heard.paths.len() + heard.trees.len() + heard.inodes.len();
    }
    assert_eq!(tree.asked.get(), 200, "one directory a round");
    assert_eq!(nominated, 200 * 3, "file, directory and inode a round");
}

#[test]
fn takes_continue_where_the_last_one_ended() {
    let disk = Disk::new(Kind::Tmpfs);
    let root = disk.path("root");
    let tree = Tree::walk(&root);
    let mut recorder = open(&disk, &Options::default());
    recorder.start().unwrap();
    for name in ["one", "two"] {
        fs::write(root.join(name), "x").unwrap();
        let paths = complete(recorder.take(&tree)).paths.into_iter().map(|path| path.to_vec()).collect::<Vec<_>>();
        assert_eq!(paths, [b"".to_vec(), name.as_bytes().to_vec()]);
    }
}

#[test]
fn everything_before_a_take_is_in_it() {
    const FILES: usize = 20_000;
    let disk = Disk::new(Kind::Tmpfs);
    let root = disk.path("root");
    let tree = Tree::walk(&root);
    let mut recorder = open(&disk, &Options::default());
    recorder.start().unwrap();
    let done = AtomicBool::new(false);
    let mut all = Nominated::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..FILES).for_each(|number| fs::write(root.join(number.to_string()), "x").unwrap());
            done.store(true, Ordering::SeqCst);
        });
        let mut last = false;
        while !last {
            last = done.load(Ordering::SeqCst);
            all.paths.append(&mut complete(recorder.take(&tree)).paths);
        }
    });
    assert_eq!(all.paths.len(), FILES + 1);
}

#[test]
fn other_writers_of_the_file_system_cost_no_path() {
    let disk = Disk::new(Kind::Tmpfs);
    let tree = Tree::walk(&disk.path("root"));
    let mut recorder = open(&disk, &Options::default());
    recorder.start().unwrap();
    for number in 0..1000 {
        fs::write(disk.path("outside").join(number.to_string()), "x").unwrap();
    }
    let nominated = complete(recorder.take(&tree));
    assert!(recorder.heard() >= 1000);
    assert!(nominated.paths.is_empty() && nominated.trees.is_empty());
    assert_eq!(nominated.inodes.len(), 1000);
    assert_eq!(tree.asked.get(), 1);
}

#[test]
fn many_events_of_few_names_need_little_memory() {
    let disk = Disk::new(Kind::Tmpfs);
    let tree = Tree::walk(&disk.path("root"));
    let mut recorder = open(&disk, &Options { memory: 2000, ..Options::default() });
    recorder.start().unwrap();
    for _ in 0..2000 {
        fs::write(disk.path("root/one"), "x").unwrap();
        fs::rename(disk.path("root/one"), disk.path("root/two")).unwrap();
        fs::remove_file(disk.path("root/two")).unwrap();
        fs::write(disk.path("root/one"), "x").unwrap();
        fs::rename(disk.path("root/one"), disk.path("root/two")).unwrap();
        fs::rename(disk.path("root/two"), disk.path("root/one")).unwrap();
    }
    // tmpfs never uses an inode number twice, so the objects are many.
    assert!(matches!(lost(&mut recorder, &tree), Lost::Memory { limit: 2000 }));
    recorder.start().unwrap();
    for _ in 0..2000 {
        fs::rename(disk.path("root/one"), disk.path("root/two")).unwrap();
        fs::rename(disk.path("root/two"), disk.path("root/one")).unwrap();
    }
    assert_eq!(complete(recorder.take(&tree)).paths.len(), 3);
}

#[test]
fn too_many_names_are_a_loss_that_a_start_ends() {
    let disk = Disk::new(Kind::Tmpfs);
    let tree = Tree::walk(&disk.path("root"));
    let mut recorder = open(&disk, &Options { memory: 10_000, ..Options::default() });
    recorder.start().unwrap();
    for number in 0..1000 {
        fs::write(disk.path("root").join(number.to_string()), "x").unwrap();
    }
    assert!(matches!(lost(&mut recorder, &tree), Lost::Memory { limit: 10_000 }));
    assert!(matches!(lost(&mut recorder, &tree), Lost::NotStarted));
    recorder.start().unwrap();
    fs::write(disk.path("root/1"), "again").unwrap();
    assert!(complete(recorder.take(&tree)).paths.contains(&b"1"[..]));
}

#[test]
fn a_take_without_a_start_is_a_loss() {
    let disk = Disk::new(Kind::Tmpfs);
    let mut recorder = open(&disk, &Options::default());
    assert!(matches!(lost(&mut recorder, &Tree::default()), Lost::NotStarted));
}

#[test]
fn a_mount_below_the_root_is_a_loss() {
    let mut disk = Disk::new(Kind::Tmpfs);
    let point = disk.path("root/a mount");
    fs::create_dir(&point).unwrap();
    let tree = Tree::walk(&disk.path("root"));
    let mut recorder = open(&disk, &Options::default());
    recorder.start().unwrap();
    disk.mount_at(&point, &["-t", "tmpfs", "tmpfs"]);
    assert!(matches!(lost(&mut recorder, &tree), Lost::Mounts));
    recorder.start().unwrap();
    assert_eq!(complete(recorder.take(&tree)), Nominated::default());
    disk.unmount();
    assert!(matches!(lost(&mut recorder, &tree), Lost::Mounts));
    recorder.start().unwrap();
    let elsewhere = disk.path("outside/mount");
    disk.mount_at(&elsewhere, &["-t", "tmpfs", "tmpfs"]);
    assert!(complete(recorder.take(&tree)).paths.is_empty());
}

#[test]
fn a_removed_scratch_is_a_loss() {
    let disk = Disk::new(Kind::Tmpfs);
    let tree = Tree::walk(&disk.path("root"));
    let mut recorder = open(&disk, &Options::default());
    recorder.start().unwrap();
    fs::remove_dir(disk.path("scratch")).unwrap();
    assert!(matches!(lost(&mut recorder, &tree), Lost::Io { call: "mkdirat", .. }));
    assert!(matches!(recorder.start(), Err(Lost::Io { call: "mkdirat", .. })));
}

#[test]
fn a_link_in_scratch_still_counts() {
    let disk = Disk::new(Kind::Tmpfs);
    let root = disk.path("root");
    fs::write(root.join("file"), "x").unwrap();
    let tree = Tree::walk(&root);
    let mut recorder = open(&disk, &Options::default());
    recorder.start().unwrap();
    fs::hard_link(root.join("file"), disk.path("scratch/link")).unwrap();
    fs::write(disk.path("scratch/link"), "other").unwrap();
    fs::remove_file(disk.path("scratch/link")).unwrap();
    let nominated = complete(recorder.take(&tree));
    assert!(nominated.paths.is_empty());
    assert!(nominated.inodes.contains(&tree.inode("file")));
}

#[test]
fn a_root_may_be_a_bind_mount_or_the_top_and_hold_scratch() {
    let mut disk = Disk::new(Kind::Tmpfs);
    let source = disk.path("root");
    fs::create_dir(source.join("d")).unwrap();
    disk.mount("bound", &["--bind", source.to_str().unwrap()]);
    let bound = disk.beside("bound");
    for (root, scratch, name) in [
        (&bound, disk.path("scratch"), "d/n"),
        (&bound, bound.join("d/scratch"), "d/n"),
        (&disk.path(""), disk.path("scratch"), "root/d/n"),
    ] {
        fs::create_dir_all(&scratch).unwrap();
        let tree = Tree::walk(root);
        let mut recorder = Recorder::open(root, &scratch, &Options::default()).unwrap();
        recorder.start().unwrap();
        fs::write(source.join("d/n"), "x").unwrap();
        let paths = complete(recorder.take(&tree)).paths;
        assert!(paths.contains(name.as_bytes()), "{paths:?}");
        assert!(paths.len() <= 2, "{paths:?}");
        fs::remove_file(source.join("d/n")).unwrap();
    }
}
