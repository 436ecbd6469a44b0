//! Stubs come and go without a trace.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;

const LONG_AGO: Duration = Duration::from_secs(1_000_000_000);

fn need(path: &str, kind: Kind) -> Need {
    Need { path: path.into(), kind }
}

fn set_old(path: &Path) {
    fs::File::open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH + LONG_AGO).unwrap();
}

/// Every path below `root` with its mtime, and that of `root`.
fn listing(root: &Path) -> Vec<(PathBuf, i64, i64)> {
    let mut found = vec![];
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let data = fs::symlink_metadata(&path).unwrap();
        if data.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.push((path, data.mtime(), data.mtime_nsec()));
    }
    found.sort();
    found
}

/// Makes `kind` at `path` in a root that `prepare` fills; it appears at `at`, and is gone without a trace after.
fn check(prepare: fn(&Path), path: &str, kind: Kind, at: &str) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    prepare(&root);
    set_old(&root);
    let before = listing(dir.path());
    let stubs = Stubs::make(&root, [need(path, kind)].into_iter()).unwrap();
    assert!(fs::symlink_metadata(root.join(at)).is_ok(), "{at} was not made for {path}");
    stubs.remove().unwrap();
    assert_eq!(listing(dir.path()), before, "{path}");
}

#[test]
fn stubs_are_made_where_the_links_lead_and_leave_no_trace() {
    check(|_| (), "proc", Kind::Directory, "proc");
    check(|_| (), "etc/hosts", Kind::File(b"x".to_vec()), "etc/hosts");
    check(|_| (), "dev/null", Kind::Device(rustix::fs::makedev(1, 3)), "dev/null");
    check(
        |root| symlink("../../../../run/x/file", root.join("file")).unwrap(),
        "file",
        Kind::File(vec![]),
        "run/x/file",
    );
    check(|root| symlink("/a/b", root.join("etc")).unwrap(), "etc/hosts", Kind::File(vec![]), "a/b/hosts");
    check(|root| symlink("new/../other", root.join("proc")).unwrap(), "proc", Kind::Directory, "other");
}

#[test]
fn a_ring_of_links_is_an_error_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    symlink("b", root.path().join("a")).unwrap();
    symlink("a", root.path().join("b")).unwrap();
    let needs = [need("c", Kind::Directory), need("a", Kind::Directory)];
    assert_eq!(Stubs::make(root.path(), needs.into_iter()).err(), Some(Errno::LOOP));
    assert!(!root.path().join("c").exists());
}

#[test]
fn what_replaces_a_stub_is_never_taken_for_it() {
    // A file system that hands out the number of a removed file at once would show it at the first try.
    let root = tempfile::tempdir_in("/var/tmp").unwrap();
    let needs = [need("file", Kind::File(vec![])), need("dir", Kind::Directory)];
    let stubs = Stubs::make(root.path(), needs.into_iter()).unwrap();
    let (file, dir) = (root.path().join("file"), root.path().join("dir"));
    fs::remove_file(&file).unwrap();
    fs::write(&file, "the step's own").unwrap();
    fs::remove_dir(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    stubs.remove().unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"the step's own");
    assert!(dir.exists());
}

#[test]
fn what_the_step_made_of_a_stub_stays() {
    let root = tempfile::tempdir().unwrap();
    set_old(root.path());
    let needs = ["kept/gone", "replaced", "untouched"].map(|path| need(path, Kind::File(vec![])));
    let stubs = Stubs::make(root.path(), needs.into_iter()).unwrap();
    let at = |path: &str| root.path().join(path);
    fs::write(at("kept/new"), "x").unwrap();
    fs::write(at("other"), "x").unwrap();
    fs::rename(at("other"), at("replaced")).unwrap();
    stubs.remove().unwrap();
    assert_eq!(fs::read(at("replaced")).unwrap(), b"x");
    assert!(at("kept/new").exists() && !at("kept/gone").exists() && !at("untouched").exists());
    assert!(fs::metadata(root.path()).unwrap().mtime() > LONG_AGO.as_secs().cast_signed());
}
