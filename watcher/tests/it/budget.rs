//! Watches and instances are scarce: what is refused, with which numbers, and that a refusal gives all back. The kernel
//! counts them for each user namespace too, so that is where this test makes them few.

use std::fs;
use std::path::Path;
use std::process::Command;

use silt_watcher::{DirWatch, Inode, Options, Recording, Refused, Scarce};
use tempfile::TempDir;

use crate::disk::run;
use crate::oracle::{Tree, partial};

/// A directory with a root of so many directories, itself included, and a scratch directory.
fn tree(directories: usize) -> (TempDir, Tree) {
    let top = TempDir::new_in("/dev/shm").unwrap();
    fs::create_dir(top.path().join("scratch")).unwrap();
    for number in 1..directories {
        fs::create_dir_all(top.path().join("root").join(number.to_string())).unwrap();
    }
    let tree = Tree::walk(&top.path().join("root"));
    (top, tree)
}

fn open(top: &Path, watches: Option<usize>) -> Result<DirWatch, Refused> {
    DirWatch::open(&top.join("root"), &top.join("scratch"), &Options { watches, ..Options::default() })
}

/// Opens a recorder that watches all of `tree`.
fn watch(top: &Path, tree: &Tree, watches: Option<usize>) -> Result<DirWatch, Refused> {
    let mut recorder = open(top, watches)?;
    recorder.watch(tree.directories())?;
    Ok(recorder)
}

/// The numbers of a refusal.
fn budget(refused: Refused) -> (usize, usize, Scarce) {
    let text = refused.to_string();
    let Refused::Budget { wanted, allowed, why } = refused else { panic!("{text}") };
    assert!(text.contains(&wanted.to_string()) && text.contains(&allowed.to_string()), "{text}");
    (wanted, allowed, why)
}

#[test]
fn a_tree_that_is_too_large_is_refused() {
    let (top, tree) = tree(50);
    let mut recorder = watch(top.path(), &tree, Some(51)).unwrap();
    assert_eq!(recorder.watched(), 50);
    fs::create_dir(top.path().join("root/more")).unwrap();
    let more = Tree::walk(&top.path().join("root"));
    let new = || more.directories().filter(|(path, _)| *path == b"more");
    assert_eq!(budget(recorder.watch(new()).unwrap_err()), (52, 51, Scarce::Given));
    assert_eq!(recorder.watched(), 0);
    assert_eq!(budget(watch(top.path(), &tree, Some(50)).unwrap_err()), (51, 50, Scarce::Given));
    assert_eq!(budget(open(top.path(), Some(0)).unwrap_err()), (1, 0, Scarce::Given));
}

#[test]
fn a_tree_is_counted_before_a_watch_is_placed() {
    let (top, _) = tree(2);
    let mut recorder = open(top.path(), Some(100)).unwrap();
    let nowhere = Inode { dev: 1, ino: 1 };
    let paths: Vec<String> = (0..100).map(|number| format!("missing/{number}")).collect();
    let refused = recorder.watch(paths.iter().map(|path| (path, nowhere))).unwrap_err();
    assert_eq!(budget(refused), (101, 100, Scarce::Given));
}

/// Whether this process is in a user namespace with few watches, made by the test below.
fn is_inside() -> bool {
    fs::read_to_string("/proc/self/uid_map").unwrap().split_whitespace().eq(["0", "0", "1"])
}

fn set(limit: &str, value: usize) {
    fs::write(Path::new("/proc/sys/user").join(limit), value.to_string()).unwrap();
}

#[test]
fn a_node_with_few_watches_is_shared() {
    if !is_inside() {
        let program = std::env::current_exe().unwrap();
        let name = "budget::a_node_with_few_watches_is_shared";
        return run(Command::new("unshare").args(["--user", "--map-root-user"]).arg(program).args(["--exact", name]));
    }
    set("max_inotify_watches", 100);
    let (large, large_tree) = tree(120);
    let (small, small_tree) = tree(20);
    // No more than a quarter; and where more is asked for than there is, all is given back.
    assert_eq!(budget(watch(large.path(), &large_tree, None).unwrap_err()), (121, 25, Scarce::Share));
    assert_eq!(budget(watch(large.path(), &large_tree, Some(1000)).unwrap_err()), (121, 100, Scarce::Watches));
    let mut kept = open(large.path(), Some(1000)).unwrap();
    assert_eq!(budget(kept.watch(large_tree.directories()).unwrap_err()), (121, 100, Scarce::Watches));
    // Twenty builds at once: as many as there is room for record, the others are told, whoever comes first.
    let builds: Vec<_> = (0..20).map(|_| watch(small.path(), &small_tree, None)).collect();
    let (recorders, refused): (Vec<_>, Vec<_>) = builds.into_iter().partition(Result::is_ok);
    assert_eq!((recorders.len(), refused.len()), (4, 16));
    refused.into_iter().for_each(|refused| assert_eq!(budget(refused.unwrap_err()).2, Scarce::Watches));
    for mut recorder in recorders.into_iter().map(Result::unwrap) {
        recorder.start().unwrap();
        fs::write(small.path().join("root/7/file"), "x").unwrap();
        assert!(partial(recorder.take(&small_tree)).paths.contains(&b"7/file"[..]));
    }
    drop(kept);
    set("max_inotify_instances", 2);
    let two = [(); 2].map(|()| watch(small.path(), &small_tree, None).unwrap());
    assert_eq!(budget(open(small.path(), None).unwrap_err()).2, Scarce::Instances);
    drop(two);
    let mut recorder = watch(small.path(), &small_tree, None).unwrap();
    recorder.start().unwrap();
    assert!(matches!(recorder.take(&small_tree), Recording::Partial(_)));
}
