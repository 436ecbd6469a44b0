//! Each rule of the differ over a small tree in a directory of its own, made and changed by shell commands. Every case is
//! decided twice, from the named candidates and from everything; both must agree, and the record must follow the disk.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use silt_watcher::{Directories, Nominated};

use super::*;
use crate::rootfs::{Kind, Node, Root, RootPath, Tree};

pub(super) struct Fixture {
    dir: tempfile::TempDir,
    pub(super) root: Root,
    pub(super) baseline: Baseline,
}

pub(super) fn path(text: &str) -> RootPath {
    RootPath::clean(text).expect("no NUL")
}

/// The record that a walk of `root` gives, with the digest of every file.
pub(super) fn recorded(root: &Root) -> Baseline {
    let mut baseline = Baseline::default();
    let diff = diff(root, &baseline, &Candidates::Everything).expect("diff");
    let files = diff.learned.iter().filter_map(|(path, node)| Some((path, node.as_ref()?)));
    let files = files.filter(|(_, node)| matches!(node.entry.kind, Kind::File { .. }));
    let contents = files.map(|(path, _)| (path.clone(), root.digest(path).expect("digest"))).collect();
    baseline.apply(diff, &contents);
    baseline
}

pub(super) fn contents(root: &Root, changes: &ChangeSet) -> Contents {
    let is_file = |change: &Change| matches!(change, Change::Put(entry) if matches!(entry.kind, Kind::File { .. }));
    let files = changes.iter().filter(|(_, change)| is_file(change));
    files.map(|(path, _)| (path.clone(), root.digest(path).expect("digest"))).collect()
}

fn render(changes: &ChangeSet) -> Vec<String> {
    let line = |(path, change): (&RootPath, &Change)| match change {
        Change::Put(_) => format!("put {path}"),
        Change::Link(first) => format!("link {path} {first}"),
        Change::Remove => format!("rm {path}"),
    };
    changes.iter().map(line).collect()
}

impl Fixture {
    pub(super) fn new(before: &str) -> Fixture {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut root = Root::open(dir.path()).expect("root");
        root.protect(path("protected"));
        let mut fixture = Fixture { baseline: Baseline::default(), dir, root };
        fixture.sh(before);
        fixture.baseline = recorded(&fixture.root);
        fixture
    }

    pub(super) fn sh(&self, script: &str) {
        let status = Command::new("sh").args(["-euc", script]).current_dir(self.dir.path()).status().expect("sh");
        assert!(status.success(), "{script}");
    }

    /// `a` is a path, `a/` a tree, `=a` the inode that the record has at `a`.
    fn only(&self, look_at: &[&str]) -> Candidates {
        let mut nominated = Nominated::default();
        for text in look_at {
            if let Some(name) = text.strip_prefix('=') {
                nominated.inodes.insert(self.node(name).inode);
            } else if let Some(tree) = text.strip_suffix('/') {
                nominated.trees.insert(tree.as_bytes().into());
            } else {
                nominated.paths.insert(text.as_bytes().into());
            }
        }
        Candidates::Only(nominated)
    }

    fn node(&self, name: &str) -> &Node {
        self.baseline.tree().get(&path(name)).expect("recorded")
    }

    fn diff(&self, look_at: &[&str]) -> Diff {
        diff(&self.root, &self.baseline, self.only(look_at)).expect("diff")
    }

    /// Runs `step`, decides it both ways, and follows it.
    fn step(&mut self, step: &str, look_at: &[&str], expected: &[&str]) {
        let only = self.only(look_at);
        self.sh(step);
        let some = diff(&self.root, &self.baseline, &only).expect("diff");
        let all = diff(&self.root, &self.baseline, &Candidates::Everything).expect("diff");
        assert_eq!(render(&some.changes), expected, "{step}");
        assert_eq!(some.changes, all.changes, "{step}");
        let contents = contents(&self.root, &some.changes);
        self.baseline.apply(some, &contents);
        self.follows_the_disk(step);
    }

    pub(super) fn follows_the_disk(&self, step: &str) {
        let fresh = recorded(&self.root);
        let told: BTreeSet<&RootPath> = self.baseline.tree().iter().map(|(path, _)| path).collect();
        let there: BTreeSet<&RootPath> = fresh.tree().iter().map(|(path, _)| path).collect();
        assert_eq!(told, there, "{step}");
        assert_eq!(self.baseline, fresh, "{step}");
    }

    /// Marks all that is recorded at or below `name` as having stood there before the base.
    fn make_foreign(&mut self, name: &str) {
        let mut tree: Tree = self.baseline.tree().clone();
        let paths: Vec<RootPath> = tree.at_or_below(&path(name)).map(|(path, _)| path.clone()).collect();
        for path in paths {
            let node = tree.get_mut(&path).expect("recorded");
            node.foreign = true;
            if let Kind::File { digest, .. } = &mut node.entry_mut().kind {
                *digest = None;
            }
        }
        self.baseline = Baseline::new(tree);
    }
}

fn check(before: &str, step: &str, look_at: &[&str], expected: &[&str]) {
    Fixture::new(before).step(step, look_at, expected);
}

#[test]
fn attributes_and_contents() {
    check("echo 1 > a", ":", &["a"], &[]);
    check("echo 1 > a", "echo 22 > a", &["a"], &["put /a"]);
    check("echo 1 > a; touch -d @9 a", "echo 2 > a; touch -d @9 a", &["a"], &["put /a"]);
    check("echo 1 > a; touch -d @9 a", "echo 1 > a; touch -d @9 a", &["a"], &[]);
    check("echo 1 > a; touch -d @9 a", "cp -p a b; mv b a", &["a", "b"], &[]);
    check("echo 1 > a; touch -d @9 a", "touch -d @9.000000001 a", &["a"], &["put /a"]);
    check("echo 1 > a", "chmod u+s a", &["a"], &["put /a"]);
    check("echo 1 > a", "chown 7:9 a", &["a"], &["put /a"]);
    check("ln -s x a; touch -hd @9 a", "ln -sfn y a; touch -hd @9 a", &["a"], &["put /a"]);
    check("mkfifo a; touch -d @9 a", "rm a; mkfifo a; touch -d @9 a", &["a"], &[]);
    check("mknod a c 1 3; touch -d @9 a", "rm a; mknod a c 1 5; touch -d @9 a", &["a"], &["put /a"]);
    check(
        "",
        "mkfifo a; mknod b c 1 3; ln -s x c; : > d",
        &["a", "b", "c", "d"],
        &["put /a", "put /b", "put /c", "put /d"],
    );
    check("", "chmod 711 .", &[""], &["put /"]);
}

#[test]
fn directories() {
    check("mkdir d", "touch d/x; rm d/x", &["d/x"], &[]);
    check("mkdir d", "touch -d @9 d", &["d"], &[]);
    check("mkdir d", "chmod 700 d", &["d"], &["put /d"]);
    check("mkdir d", "rmdir d; mkdir d", &["d/"], &[]);
    check("", "mkdir -p d/e; : > d/e/f", &["d"], &["put /d", "put /d/e", "put /d/e/f"]);
    check("mkdir -p d/e; : > d/e/f", "rm -r d", &["d"], &["rm /d"]);
    check("mkdir -p d/e; : > d/e/f", "rm -r d/e", &["d/e", "d/e/f"], &["rm /d/e"]);
    check("mkdir -p d/e; : > d/e/f", "mv d g", &["d", "g"], &["rm /d", "put /g", "put /g/e", "put /g/e/f"]);
    check("mkdir d; : > d/a; : > d/b", "rm d/a d/b", &["d/a", "d/b"], &["rm /d/a", "rm /d/b"]);
    check("mkdir d; : > d-1; : > d/a", "rm d-1 d/a", &["d/a", "d-1"], &["rm /d-1", "rm /d/a"]);
}

#[test]
fn one_kind_replaces_another() {
    check("mkdir -p d/e; : > d/e/f", "rm -r d; : > d", &["d"], &["put /d"]);
    check("mkdir -p d/e; : > d/e/f", "mv d g; ln -s g d", &["d", "g"], &["put /d", "put /g", "put /g/e", "put /g/e/f"]);
    check(": > a", "rm a; mkdir a; : > a/b", &["a"], &["put /a", "put /a/b"]);
    check("ln -s d l; mkdir d; : > d/x", "rm l; mv d l", &["l", "d"], &["rm /d", "put /l", "put /l/x"]);
    let below = ["put /d", "put /d/e"];
    check("mkdir -p d/e/x; : > d/e/f", "rm -r d/e; : > d/e; chmod 700 d", &["d/e/x/y", "d/e"], &below);
}

#[test]
fn a_replaced_directory_is_walked_without_being_asked_for() {
    let before = "mkdir d; echo 1 > d/same; : > d/gone; echo 1 > d/other; touch -d @9 d/*";
    let step = "mv d old; mkdir d; cp -p old/same old/other d; echo 2 > d/other; touch -d @9 d/*; : > d/new; rm -r old";
    check(before, step, &["d"], &["rm /d/gone", "put /d/new", "put /d/other"]);
    let exchange = "mv d t; mv e d; mv t e";
    check("mkdir d e; : > d/a; : > e/b", exchange, &["d", "e", "t"], &["rm /d/a", "put /d/b", "put /e/a", "rm /e/b"]);
}

#[test]
fn names_of_one_file_travel_together() {
    check(": > a", "ln a b", &["b"], &["put /a", "link /b /a"]);
    check(": > b", "mkdir d; ln b a; ln b d/c", &["a", "d"], &["put /a", "link /b /a", "put /d", "link /d/c /a"]);
    check(": > a; ln a b", "echo 1 >> b", &["b"], &["put /a", "link /b /a"]);
    check(": > a; ln a b", "chmod 600 a", &["a"], &["put /a", "link /b /a"]);
    check(": > a; ln a b", "mkdir n; ln a n/x; echo 1 > n/x; rm -r n", &["n", "=a"], &["put /a", "link /b /a"]);
    check(": > a; : > b", "ln -f a b", &["b"], &["put /a", "link /b /a"]);
    check("ln -s x a", "ln -P a b", &["b"], &["put /a", "link /b /a"]);
    check("mknod a c 1 3; ln a b", "chmod 600 b", &["b"], &["put /a", "link /b /a"]);
}

#[test]
fn links_that_go_leave_the_rest_alone() {
    check(": > a; ln a b; ln a c", "rm a", &["a"], &["rm /a"]);
    check(": > a; ln a b", "rm a b", &["a", "b"], &["rm /a", "rm /b"]);
    check("echo 1 > a; ln a b; touch -d @9 a", "cp -p b t; mv t b", &["b", "t"], &["put /b"]);
    check("echo 1 > a; ln a b", "mv a c", &["a", "c"], &["rm /a", "put /b", "link /c /b"]);
    check("echo 1 > a; ln a b", "rm b; mkdir b", &["b"], &["put /b"]);
}

#[test]
fn links_made_again_alike_are_no_change() {
    let again = "cp -p a t; rm a b; mv t a; ln a b";
    check("echo 1 > a; touch -d @9 a; ln a b", again, &["a", "b", "t"], &[]);
    let two = "cp -p a t; rm a b; mv t a; ln a b";
    check("echo 1 > a; touch -d @9 a; ln a b; ln a c", two, &["a", "b", "t"], &["put /a", "link /b /a"]);
    let crossed = "cp -p a t; ln -f a y; ln -f t b; rm t";
    let before = "echo 1 > a; touch -d @9 a; ln a b; cp -p a x; ln x y";
    check(before, crossed, &["b", "t", "y"], &["put /a", "put /b", "link /y /a"]);
}

#[test]
fn steps_follow_each_other() {
    let mut fixture = Fixture::new("mkdir d; echo 1 > d/a");
    fixture.step("ln d/a b; mv d e", &["b", "d", "e"], &["put /b", "rm /d", "put /e", "link /e/a /b"]);
    fixture.step("echo 2 >> e/a", &["e/a"], &["put /b", "link /e/a /b"]);
    fixture.step("rm -r e; mkdir d; mv b d/b", &["e", "d", "b"], &["rm /b", "put /d", "put /d/b", "rm /e"]);
    fixture.step(":", &["d/b"], &[]);
}

#[test]
fn the_cost_is_that_of_the_candidates() {
    let fixture =
        Fixture::new("mkdir -p d/e; echo 1 > d/e/a; for i in $(seq 50); do echo 1 > d/$i; done; touch -d @9 d/e/a");
    let untouched = fixture.diff(&["d/e/a"]);
    assert_eq!((untouched.stats, untouched.read_bytes), (4, 2));
    fixture.sh("echo longer > d/e/a");
    let longer = fixture.diff(&["d/e/a"]);
    assert_eq!((longer.stats, longer.read_bytes, longer.changes.len()), (4, 0, 1));
    let all = diff(&fixture.root, &fixture.baseline, &Candidates::Everything).expect("diff");
    assert_eq!((all.stats, all.read_bytes), (54, 100));
}

#[test]
fn a_digest_that_was_read_is_told() {
    let fixture = Fixture::new("echo 1 > a; touch -d @9 a");
    fixture.sh("echo 2 > a; touch -d @9 a");
    let diff = fixture.diff(&["a"]);
    let digest = fixture.root.digest(&path("a")).expect("digest");
    let Some(Change::Put(entry)) = diff.changes.get(&path("a")) else { panic!("{:?}", diff.changes) };
    assert_eq!(entry.kind, Kind::File { size: 2, digest: Some(digest) });
}

#[test]
fn protected_paths_are_left_out_but_their_links_are_heard() {
    let before = "mkdir -p protected/d; : > a; ln a protected/d/x; : > protected/y";
    check(before, "echo 1 > protected/d/x; echo 1 > protected/y; : > protected/new", &["protected/d/x"], &["put /a"]);
    check(before, "rm -r protected", &["protected/", "=a"], &[]);
    check(before, "rm a", &["a"], &["rm /a"]);
}

#[test]
fn foreign_files_are_told_by_inode_and_ctime() {
    let mut fixture = Fixture::new("mkdir -p f/g; echo 1 > f/a; echo 1 > f/g/b; echo 1 > base");
    fixture.make_foreign("f");
    let quiet = fixture.diff(&["f/a", "f/g/b"]);
    assert_eq!((quiet.changes.len(), quiet.read_bytes), (0, 0));
    let look_at = fixture.only(&["f/a"]);
    fixture.sh("chmod 600 f/a");
    let written = diff(&fixture.root, &fixture.baseline, &look_at).expect("diff");
    assert_eq!(render(&written.changes), ["put /f", "put /f/a"]);
    let contents = contents(&fixture.root, &written.changes);
    fixture.baseline.apply(written, &contents);
    assert!(!fixture.node("f").foreign && !fixture.node("f/a").foreign && fixture.node("f/g").foreign);
    fixture.sh("rm f/a f/g/b");
    assert_eq!(render(&fixture.diff(&["f/a", "f/g/b"]).changes), ["rm /f/a"]);
    fixture.sh("rm -r f");
    assert_eq!(render(&fixture.diff(&["f"]).changes), ["rm /f"]);
}

#[test]
fn a_claimed_directory_that_no_layer_brought_is_put_once() {
    let mut fixture = Fixture::new("mkdir -p f/g; echo 1 > f/g/b; mkdir own");
    fixture.make_foreign("f");
    let claims = ["f/g", "f/g/b", "own", "none", ""].map(|name| fixture.baseline.claim(&path(name)));
    assert_eq!(claims, [true, false, false, false, false]);
    let first = fixture.diff(&["f/g"]);
    assert_eq!(render(&first.changes), ["put /f", "put /f/g"]);
    fixture.baseline.apply(first, Contents::new());
    assert!(!fixture.node("f/g").foreign && fixture.node("f/g/b").foreign);
    assert_eq!(render(&fixture.diff(&["f/g"]).changes), Vec::<String>::new());
}

#[test]
fn what_no_layer_has_is_not_removed() {
    let mut fixture = Fixture::new("mkdir -p f/g; echo 1 > f/a; mkdir h; echo 1 > h/base");
    fixture.make_foreign("f");
    fixture.sh("rm -r f");
    assert_eq!(render(&fixture.diff(&["f"]).changes), Vec::<String>::new());
    let mut parent = fixture.baseline.tree().clone();
    parent.get_mut(&path("h")).expect("recorded").foreign = true;
    fixture.baseline = Baseline::new(parent);
    fixture.sh("rm -r h");
    assert_eq!(render(&fixture.diff(&["h"]).changes), ["rm /h"]);
}

#[test]
fn sockets_are_never_put() {
    let mut fixture = Fixture::new(": > a; mkdir d; : > d/x");
    fixture.sh("rm -r a d");
    let bind = |name: &str| std::os::unix::net::UnixListener::bind(fixture.dir.path().join(name)).expect("bind");
    let _listening = (bind("a"), bind("d"), bind("new"));
    let diff = fixture.diff(&["a", "d", "new"]);
    assert_eq!(render(&diff.changes), ["rm /a", "rm /d"]);
    assert_eq!(diff.sockets, [path("a"), path("d"), path("new")]);
    fixture.baseline.apply(diff, Contents::new());
    fixture.follows_the_disk("sockets");
    assert_eq!(fixture.diff(&["a", "d", "new"]).sockets, []);
    fixture.step("rm a new; : > new", &["a", "new"], &["put /new"]);
}

#[test]
fn extended_attributes_are_compared() {
    let fixture = Fixture::new(": > a; mkdir d");
    let set = |name: &str| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(fixture.dir.path().join(name), "user.x", b"1\n2", flags).expect("setxattr");
    };
    set("a");
    set("d");
    assert_eq!(render(&fixture.diff(&["a", "d"]).changes), ["put /a", "put /d"]);
}

#[test]
fn names_are_bytes() {
    let mut fixture = Fixture::new("");
    let name = std::ffi::OsStr::from_bytes(b"\xff\n");
    fs::write(fixture.dir.path().join(name), "x").expect("write");
    let nominated = Nominated { paths: [b"\xff\n".as_slice().into()].into(), ..Nominated::default() };
    let diff = diff(&fixture.root, &fixture.baseline, Candidates::Only(nominated)).expect("diff");
    let contents = contents(&fixture.root, &diff.changes);
    assert_eq!(diff.changes.iter().next().expect("a change").0.as_bytes(), b"\xff\n");
    fixture.baseline.apply(diff, &contents);
    fixture.follows_the_disk("bytes");
}

#[test]
fn a_real_file_with_the_name_of_a_removal_is_refused() {
    let fixture = Fixture::new("mkdir d");
    fixture.sh(": > d/.wh.x");
    let error = diff(&fixture.root, &fixture.baseline, fixture.only(&["d/.wh.x"])).expect_err("refused");
    assert!(error.to_string().contains("/d/.wh.x"), "{error}");
}

#[test]
fn a_file_that_changes_meanwhile_is_an_error() {
    let fixture = Fixture::new("echo 1 > a");
    let node = fixture.root.observe(&path("a")).expect("observe").expect("there");
    assert!(content::digest(&fixture.root, &path("a"), &node).is_ok());
    fixture.sh("echo 2 > a; touch -d @9 a");
    let error = content::digest(&fixture.root, &path("a"), &node).expect_err("changed");
    assert!(error.to_string().contains("/a changed"), "{error}");
    fixture.sh("rm a");
    let error = content::digest(&fixture.root, &path("a"), &node).expect_err("gone");
    assert!(error.to_string().contains("/a"), "{error}");
}

#[test]
fn the_record_knows_directories_by_inode() {
    let fixture = Fixture::new("mkdir -p d/e; : > d/b; ln d/b a");
    let inode = |name: &str| fixture.node(name).inode;
    assert_eq!(fixture.baseline.path_of(inode("d/e")), Some(b"d/e".to_vec()));
    assert_eq!(fixture.baseline.path_of(inode("")), Some(Vec::new()));
    assert_eq!(fixture.baseline.path_of(inode("a")), None);
    assert_eq!(fixture.baseline.names(inode("a")), [path("a"), path("d/b")]);
    assert_eq!(fixture.baseline.names(silt_watcher::Inode { dev: 0, ino: 0 }), []);
}
