//! Each kind of change, made by a shell command: what exactly a sweep nominates, with one thread and with several; and that
//! after the differ has learned, the next sweep nominates nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::snapshot::tests::{Fixture, contents, path, recorded};
use crate::snapshot::{Candidates, diff};

/// Sweeps twice, with one thread and with four, and says what was nominated: `a` a path, `a/` a tree.
fn nominated(fixture: &Fixture, guard: &Guard, options: &SweepOptions) -> Nominated {
    let with = |threads| {
        let options = SweepOptions { threads: NonZero::new(threads), ..*options };
        sweep(&fixture.root, &fixture.baseline, guard, &options).expect("sweep")
    };
    let (one, four) = (with(1), with(4));
    assert_eq!(one.nominated, four.nominated);
    assert_eq!(one.stats, four.stats);
    one.nominated
}

fn render(nominated: &Nominated) -> Vec<String> {
    let text = |path: &Arc<[u8]>| String::from_utf8_lossy(path).into_owned();
    let trees = nominated.trees.iter().map(|path| text(path) + "/");
    let all: BTreeSet<String> = nominated.paths.iter().map(text).chain(trees).collect();
    all.into_iter().collect()
}

fn guard(fixture: &Fixture) -> Guard {
    Guard::past(fixture.baseline.newest_ctime(), Tick(1))
}

fn check(before: &str, step: &str, expected: &[&str]) {
    let mut fixture = Fixture::new(before);
    let options = SweepOptions::default();
    let started = guard(&fixture);
    fixture.sh(step);
    let first = nominated(&fixture, &started, &options);
    assert_eq!(render(&first), expected, "{before}; {step}");

    let found = diff(&fixture.root, &fixture.baseline, Candidates::Only(first)).expect("diff");
    let all = diff(&fixture.root, &fixture.baseline, &Candidates::Everything).expect("diff");
    assert_eq!(found.changes, all.changes, "{before}; {step}");
    let contents = contents(&fixture.root, &found.changes);
    fixture.baseline.apply(found, &contents);
    fixture.follows_the_disk(step);
    let again = nominated(&fixture, &guard(&fixture), &options);
    assert_eq!(render(&again), Vec::<String>::new(), "again after {before}; {step}");
}

#[test]
fn nothing_but_what_differs_is_nominated() {
    let tree = "mkdir -p a/b c; echo 1 > a/f; echo 2 > a/b/g; ln -s x c/l; mkfifo c/p; touch -d @9 a/f a/b/g";
    check(tree, ":", &[]);
    check(tree, "cat a/f a/b/g > /dev/null; ls -R > /dev/null", &[]);
    check(tree, "echo 3 > a/f", &["a/f"]);
    check(tree, "echo 3 > a/f; touch -d @9 a/f", &["a/f"]);
    check(tree, "chmod 600 a/b/g", &["a/b/g"]);
    check(tree, "chown 7:9 c/p", &["c/p"]);
    check(tree, "chown -h 7:9 c/l", &["c/l"]);
    check(tree, "setfattr -n user.x -v 1 a/f", &["a/f"]);
    check(tree, "chmod 700 a", &["a"]);
    check(tree, "chmod 711 .", &[""]);
}

#[test]
fn names_that_come_and_go() {
    let tree = "mkdir -p a/b/d c; echo 1 > a/f; echo 2 > a/b/g; echo 3 > a/b/d/h";
    check(tree, "echo > a/new", &["a", "a/new/"]);
    check(tree, "echo > a/t; rm a/t", &["a"]);
    check(tree, "rm a/f", &["a", "a/f"]);
    check(tree, "rm -r a/b", &["a", "a/b"]);
    check(tree, "rm -r a", &["", "a"]);
    check(tree, "mkdir -p c/x/y; echo > c/x/y/z", &["c", "c/x/"]);
    check(tree, "mv a/b c/b", &["a", "a/b", "c", "c/b/"]);
    check(tree, "mv a/f a/b/d/h", &["a", "a/b/d", "a/b/d/h", "a/f"]);
    check(tree, "cp -a a/b x; rm -r a/b; mv x a/b", &["", "a", "a/b/"]);
    check(tree, "rm a/f; mkdir a/f; echo > a/f/x", &["a", "a/f/"]);
    check(tree, "rm -r a/b; echo > a/b", &["a", "a/b"]);
    check(tree, "mv a d; ln -s d a", &["", "a", "d/"]);
    check("mkdir a; echo 1 > a-b; echo 2 > a/x; echo 3 > a0", "rm a-b a/x a0", &["", "a", "a-b", "a/x", "a0"]);
    check("mkdir a", "echo > \"a/$(printf '\\377')\"", &["a", "a/\u{fffd}/"]);
}

#[test]
fn all_names_of_an_inode_tell() {
    let tree = "mkdir a b; echo 1 > a/f; ln a/f b/f";
    check(tree, "echo 2 > a/f", &["a/f", "b/f"]);
    check(tree, "rm a/f", &["a", "a/f", "b/f"]);
    check(tree, "ln a/f c; echo 2 > c; rm c", &["", "a/f", "b/f"]);
    check(tree, "mkdir n; ln a/f n/x; rm -r n", &["", "a/f", "b/f"]);
}

#[test]
fn protected_paths_are_passed_over() {
    let tree = "mkdir -p protected/a b; echo 1 > protected/a/f; ln protected/a/f b/f; echo 2 > c";
    check(tree, "echo > protected/a/new; rm protected/a/new", &[]);
    check(tree, "echo 2 > protected/a/f", &["b/f"]);
    check(tree, "rm -r protected", &["", "b/f"]);
    check("", "mkdir protected; echo > protected/x", &[""]);
}

#[test]
fn a_sweep_costs_one_stat_a_path() {
    let fixture = Fixture::new("mkdir -p a/b c; for n in $(seq 300); do echo > a/b/$n; done");
    let swept = sweep(&fixture.root, &fixture.baseline, &guard(&fixture), &SweepOptions::default()).expect("sweep");
    assert_eq!(swept.nominated, Nominated::default());
    assert_eq!(swept.stats, fixture.baseline.tree().len() as u64);
}

/// One directory with many entries: no thread has more than a piece of it to itself.
#[test]
fn a_large_directory_is_done_in_pieces() {
    let fixture = Fixture::new("mkdir a a/1d z; seq -f a/%05g 5000 | xargs touch; echo > a/1d/x");
    fixture.sh("echo > a/00300; echo > a/04999; rm a/03000; echo > a/new");
    let options = SweepOptions { racy: false, ..SweepOptions::default() };
    let (mut sweeper, since) = (Vec::new(), guard(&fixture).since);
    let mut todo = Vec::new();
    let mut worker = Sweeper::new(&fixture.root, fixture.baseline.tree(), since, &options);
    worker.top(&mut todo).expect("top");
    sweeper.push(worker.finish());
    while let Some(piece) = todo.pop() {
        let mut worker = Sweeper::new(&fixture.root, fixture.baseline.tree(), since, &options);
        worker.piece(piece, &mut todo).expect("piece");
        sweeper.push(worker.finish());
    }
    let most = sweeper.iter().map(|swept| swept.stats).max();
    assert_eq!(most, Some(folder::PIECE as u64), "of {} pieces", sweeper.len());
    let all = sweeper.into_iter().fold(Swept::default(), Swept::and);
    assert_eq!(all.stats, fixture.baseline.tree().len() as u64, "each path once");
    assert_eq!(render(&all.nominated), ["a", "a/00300", "a/03000", "a/04999", "a/new/"]);
    assert_eq!(all.nominated, nominated(&fixture, &guard(&fixture), &options));
}

/// What kaniko's modes see of a change, and what they do not.
#[test]
fn kaniko_s_modes_miss_what_they_miss() {
    let check = |step: &str, redo: &[&str], time: &[&str]| {
        let fixture =
            Fixture::new("mkdir -p a/b; echo 1 > a/f; echo 2 > a/g; echo 3 > a/b/h; touch -d @9 a/f a/g a/b a");
        fixture.sh(step);
        let with = |attributes| {
            let options = SweepOptions { attributes, ..SweepOptions::default() };
            render(&nominated(&fixture, &Guard::now(), &options))
        };
        assert_eq!(with(Attributes::Redo), redo, "redo: {step}");
        assert_eq!(with(Attributes::Time), time, "time: {step}");
        let all = SweepOptions { racy: false, ..SweepOptions::default() };
        assert_ne!(nominated(&fixture, &guard(&fixture), &all), Nominated::default(), "{step}");
    };
    check("echo 2 > a/f", &["a/f"], &["a/f"]);
    check("echo 2 > a/f; touch -d @9 a/f", &[], &[]);
    check("echo 23 > a/f; touch -d @9 a/f", &["a/f"], &[]);
    check("chmod 600 a/f", &["a/f"], &[]);
    check("chown 7:7 a/f", &["a/f"], &[]);
    check("setfattr -n user.x -v 1 a/f", &[], &[]);
    check("ln -f a/f a/g; touch -d @9 a", &[], &[]);
    check("rm a/f; touch -d @9 a", &["a/f"], &["a/f"]);
    check("echo > a/new; touch -d @9 a", &["a/new/"], &["a/new/"]);
    check("cp -a a x; rm -r a; mv x a; touch -r a .; touch -d @0 .", &[""], &[""]);
    check("rm a/g; mkdir a/g; echo > a/g/x; touch -d @9 a/g a", &["a/g/"], &["a/g/"]);
    check("rm -r a/b; echo > a/b; touch -d @9 a/b a", &["a/b"], &["a/b"]);
}

#[test]
fn a_file_of_the_current_tick_is_looked_at() {
    let fixture = Fixture::new("echo 1 > old; sleep 0.05; echo 1 > young");
    let young = fixture.baseline.tree().get(&path("young")).expect("recorded").ctime;
    let guard = Guard { since: young, waited: Default::default() };
    let found = |racy| render(&nominated(&fixture, &guard, &SweepOptions { racy, ..SweepOptions::default() }));
    let root_too = fixture.baseline.tree().get(&path("")).expect("recorded").ctime >= young;
    assert_eq!(found(true), if root_too { vec!["", "young"] } else { vec!["young"] });
    assert_eq!(found(false), Vec::<String>::new());
}

/// An old kernel, played with ticks of 10 ms: a change within the tick of the record leaves its `ctime` as it was.
#[test]
fn the_rule_of_the_clock_is_needed_where_ticks_are_long() {
    let tick = Tick(10_000_000);
    let missed = |racy| {
        let fixture = Fixture::new("");
        let file = fixture.root.path().join("f");
        let write = |byte: &[u8]| {
            std::fs::write(&file, byte).expect("write");
            let file = std::fs::File::options().write(true).open(&file).expect("open");
            file.set_modified(std::time::UNIX_EPOCH).expect("utimensat");
        };
        write(b"1");
        let baseline = recorded(&fixture.root);
        let guard = if racy { Guard::past(baseline.newest_ctime(), tick) } else { Guard::now() };
        write(b"2");
        let options = SweepOptions { racy, tick, ..SweepOptions::default() };
        let swept = sweep(&fixture.root, &baseline, &guard, &options).expect("sweep");
        let found = diff(&fixture.root, &baseline, Candidates::Only(swept.nominated)).expect("diff");
        found.changes.get(&path("f")).is_none()
    };
    // Nearly always both writes are in one tick.
    assert!((0..50).any(|_| missed(false)), "without the rule a change is missed");
    assert!(!(0..10).any(|_| missed(true)), "with it none is");
}

#[test]
fn without_its_own_record_everything_is_nominated() {
    let mut fixture = Fixture::new("echo > a");
    fixture.baseline = Baseline::default();
    let guard = Guard::now();
    assert_eq!(render(&nominated(&fixture, &guard, &SweepOptions::default())), ["/"]);
}
