//! Rows of small trees: what makes them differ, and what does not.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{Digests, Error, Owners, Row, Work};
use crate::rootfs::{Root, RootPath, Selection};

/// Where a name of the tree is.
type At<'a> = &'a dyn Fn(&str) -> PathBuf;

fn path(text: &str) -> RootPath {
    RootPath::clean(text).expect("no NUL")
}

fn all(_: &RootPath, _: bool) -> Selection {
    Selection::Take
}

fn rows(dir: &Path) -> Vec<Row> {
    let tree = Root::open(dir).expect("the tree");
    Digests::new(None).rows(&tree, &RootPath::root(), Owners::Replaced, &all).expect("rows")
}

fn paths(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| String::from_utf8_lossy(row.path.as_bytes()).into_owned()).collect()
}

/// The paths whose rows are not the same in both.
fn changed(old: &[Row], new: &[Row]) -> Vec<String> {
    let differs = |rows: &[Row], others: &[Row]| -> Vec<String> {
        paths(&rows.iter().filter(|row| !others.contains(row)).cloned().collect::<Vec<_>>())
    };
    let mut both = [differs(old, new), differs(new, old)].concat();
    both.sort();
    both.dedup();
    both
}

/// `a`, `b/c`, `b/d/`, `b-e`, `b/l -> c`, `n1` and `n2` of one file, a named pipe `p`.
fn tree() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("b/d")).expect("mkdir");
    for (name, content) in [("a", "A"), ("b/c", ""), ("b-e", "E"), ("n1", "N")] {
        fs::write(at(name), content).expect("write");
        fs::set_permissions(at(name), Permissions::from_mode(0o644)).expect("chmod");
    }
    for name in ["", "b", "b/d"] {
        fs::set_permissions(at(name), Permissions::from_mode(0o755)).expect("chmod");
    }
    symlink("c", at("b/l")).expect("symlink");
    fs::hard_link(at("n1"), at("n2")).expect("link");
    nix::unistd::mkfifo(&at("p"), nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("mkfifo");
    dir
}

#[test]
fn rows_are_those_of_the_vectors() {
    // Computed by another program from the description of the fields.
    let expected = [
        ("", "dc3a5356b03fce045005472931befd9b07eb98bc82e50fb07802ba279e6b2d88"),
        ("a", "54a97fcafc014d544ec55fb35d617114c453432ab150867e11285778bd1011b7"),
        ("b", "dc3a5356b03fce045005472931befd9b07eb98bc82e50fb07802ba279e6b2d88"),
        ("b-e", "2d42dd2d12dcd12aa0eec8df631ad40cbc6204f34a98c26907f6d7fc49c94c81"),
        ("b/c", "8c9d2fe749be0f816f5d5ab95236d8a31c4978046719f08f534991c838594083"),
        ("b/d", "dc3a5356b03fce045005472931befd9b07eb98bc82e50fb07802ba279e6b2d88"),
        ("b/l", "8a8eef2df0b75d8415b168b3ba58bc7b5006fcbc30de114888cccc38b1c2e964"),
        ("n1", "6fa9fcee71aafc14a82e7ffbac836088d766407dd200f70e82bbcacbd7e7ca29"),
        ("n2", "956ad7abaeccc971bd3466f082c34ec56a536d4a530753f1c68b426fca1681e1"),
        ("p", "a3bebbdc6f0ce58e9efacbd5c85229ce3cdf9822a05df194b7bdf9122c9f1977"),
    ];
    let dir = tree();
    let found: Vec<_> = rows(dir.path()).iter().map(|row| (row.path.clone(), row.digest.to_string())).collect();
    let expected: Vec<_> = expected.map(|(name, hex)| (path(name), format!("sha256:{hex}"))).into();
    assert_eq!(found, expected);
}

#[test]
fn every_property_that_a_layer_carries_changes_its_row_and_no_other() {
    let check = |expected: &[&str], change: &dyn Fn(At<'_>)| {
        let dir = tree();
        let before = rows(dir.path());
        change(&|name| dir.path().join(name));
        assert_eq!(changed(&before, &rows(dir.path())), expected);
    };
    let mode = |mode| Permissions::from_mode(mode);
    check(&["a"], &|at| fs::write(at("a"), "B").expect("write"));
    check(&["b/c"], &|at| fs::write(at("b/c"), "\0").expect("write"));
    check(&["b/c"], &|at| fs::set_permissions(at("b/c"), mode(0o645)).expect("chmod"));
    check(&["b"], &|at| fs::set_permissions(at("b"), mode(0o1755)).expect("chmod"));
    check(&["b/l"], &|at| {
        fs::remove_file(at("b/l")).expect("unlink");
        symlink("C", at("b/l")).expect("symlink");
    });
    check(&["a"], &|at| {
        fs::remove_file(at("a")).expect("unlink");
        symlink("A", at("a")).expect("symlink");
    });
    check(&["a", "b/f"], &|at| fs::rename(at("a"), at("b/f")).expect("rename"));
    check(&["b/d"], &|at| {
        fs::remove_dir(at("b/d")).expect("rmdir");
        fs::write(at("b/d"), "").expect("write");
    });
    check(&["a"], &|at| set_attribute(&at("a"), "user.x", b"1"));
    check(&["b"], &|at| set_attribute(&at("b"), "user.x", b""));
    check(&["n2"], &|at| {
        fs::remove_file(at("n2")).expect("unlink");
        fs::write(at("n2"), "N").expect("write");
    });
    // The second name says whose it is, so only the first has the content.
    check(&["n1"], &|at| fs::write(at("n2"), "M").expect("write"));
    check(&[], &|at| drop(UnixListener::bind(at("s")).expect("bind")));
    check(&[], &|at| fs::File::open(at("a")).expect("open").set_modified(std::time::UNIX_EPOCH).expect("touch"));
    check(&[], &|at| set_attribute(&at("a"), "trusted.x", b"1"));
}

fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).expect("setxattr");
}

#[test]
fn owners_count_where_they_are_kept() {
    let dir = tree();
    let tree = Root::open(dir.path()).expect("the tree");
    let with = |owners| Digests::new(None).rows(&tree, &RootPath::root(), owners, &all).expect("rows");
    let (kept, replaced) = (with(Owners::Count), with(Owners::Replaced));
    chown(dir.path().join("a"), Some(7), Some(8)).expect("chown");
    assert_eq!(changed(&kept, &with(Owners::Count)), ["a"]);
    assert_eq!(with(Owners::Replaced), replaced);
}

#[test]
fn what_is_left_out_is_not_entered_unless_an_exception_may_be_below() {
    let dir = tree();
    fs::set_permissions(dir.path().join("b/c"), Permissions::from_mode(0o000)).expect("chmod");
    let tree = Root::open(dir.path()).expect("the tree");
    let check = |expected: &[&str], includes: &(dyn Fn(&str) -> Selection + Sync)| {
        let includes = |path: &RootPath, _| includes(std::str::from_utf8(path.as_bytes()).expect("text"));
        let rows = Digests::new(None).rows(&tree, &RootPath::root(), Owners::Replaced, &includes).expect("rows");
        assert_eq!(paths(&rows), expected);
    };
    check(&["", "a", "b-e", "n1", "n2", "p"], &|path| match path {
        "b" => Selection::Skip,
        inside if inside.starts_with("b/") => panic!("{inside}: the directory was left out"),
        _ => Selection::Take,
    });
    check(&["", "b", "b/c"], &|path| match path {
        "b" => Selection::Descend,
        "b/c" => Selection::Take,
        _ => Selection::Skip,
    });
    check(&[""], &|path| if path == "b" { Selection::Descend } else { Selection::Skip });
}

#[test]
fn rows_begin_anywhere_and_say_where() {
    let dir = tree();
    let tree = Root::open(dir.path()).expect("the tree");
    let of = |top| Digests::new(None).rows(&tree, &path(top), Owners::Replaced, &all);
    assert_eq!(paths(&of("b").expect("rows")), ["b", "b/c", "b/d", "b/l"]);
    assert_eq!(paths(&of("b/l").expect("rows")), ["b/l"]);
    fs::hard_link(dir.path().join("a"), dir.path().join("b/a")).expect("link");
    fs::write(dir.path().join("b/d/a"), "A").expect("write");
    let digests: Vec<_> = of("b").expect("rows").into_iter().map(|row| (row.path, row.digest)).collect();
    assert_eq!(digests[1].1, digests[4].1, "{digests:?}: a name elsewhere does not count");
    assert!(matches!(of("b/x"), Err(Error::Missing(missing)) if missing == path("b/x")));
    assert!(matches!(of("b/l/x"), Err(Error::Missing(_))));
}

#[test]
fn the_same_tree_elsewhere_has_the_same_rows() {
    let (one, other) = (tree(), tree());
    fs::rename(other.path(), one.path().join("b/d/moved")).expect("rename");
    let tree = Root::open(one.path()).expect("the tree");
    let moved = Digests::new(None).rows(&tree, &path("b/d/moved"), Owners::Replaced, &all).expect("rows");
    let digests = |rows: &[Row]| -> Vec<String> { rows.iter().map(|row| row.digest.to_string()).collect() };
    fs::rename(one.path().join("b/d/moved"), other.path()).expect("rename");
    assert_eq!(digests(&moved), digests(&rows(one.path())));
}

/// Rows of the whole tree, by so many threads.
fn rows_by(dir: &Path, threads: usize) -> Vec<Row> {
    let tree = Root::open(dir).expect("the tree");
    Digests::new(None).rows_by(threads, &tree, &RootPath::root(), Owners::Replaced, &all).expect("rows")
}

/// Makes files, links and directories of these numbers in this order.
fn make(dir: &Path, specs: &[(u8, u16)]) {
    for (place, what) in specs {
        let folder = dir.join(format!("{}/{}", place % 3, place % 7));
        fs::create_dir_all(&folder).expect("mkdir");
        let at = folder.join(format!("{place}-{what}"));
        match what % 5 {
            0 => drop(symlink(format!("{what}"), &at)),
            1 => drop(fs::create_dir(&at)),
            _ => fs::write(&at, what.to_le_bytes().repeat(usize::from(what % 97))).expect("write"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn rows_depend_on_the_tree_and_on_nothing_else(
        specs in proptest::collection::vec((any::<u8>(), any::<u16>()), 1..60),
        seed in any::<usize>(),
    ) {
        let (one, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        make(one.path(), &specs);
        let mut shuffled = specs.clone();
        shuffled.reverse();
        shuffled.rotate_left(seed % specs.len());
        make(other.path(), &shuffled);
        let expected = rows_by(one.path(), 1);
        prop_assert!(expected.is_sorted_by(|a, b| a.path < b.path));
        for threads in [1, 2, 8] {
            prop_assert_eq!(&rows_by(other.path(), threads), &expected);
        }
        let files: Vec<&Row> = expected.iter().filter(|row| row.path.below(one.path()).is_file()).collect();
        if let Some(row) = files.get(seed % files.len().max(1)) {
            let at = row.path.below(one.path());
            let mut content = fs::read(&at).expect("read");
            content.push(1);
            fs::write(&at, content).expect("write");
            prop_assert_eq!(changed(&expected, &rows_by(one.path(), 8)), paths(&[(*row).clone()]));
        }
    }
}

#[test]
fn a_directory_of_any_size_is_shared() {
    let dir = tempfile::tempdir().expect("a directory");
    for number in 0..3_000 {
        fs::write(dir.path().join(format!("{number}")), format!("{number}")).expect("write");
    }
    let tree = Root::open(dir.path()).expect("the tree");
    let digests = Digests::new(None);
    let shared = digests.rows_by(4, &tree, &RootPath::root(), Owners::Replaced, &all).expect("rows");
    assert_eq!(shared.len(), 3_001);
    assert_eq!(shared, rows_by(dir.path(), 1));
    let Work { stats, listed, observed, read_files, read_bytes } = digests.work();
    assert_eq!((stats, listed, observed, read_files, read_bytes), (3_001, 1, 0, 3_000, 10_890));
}
