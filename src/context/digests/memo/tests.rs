//! The pure parts of a memo, and what a book keeps.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::binding::Binding;
use super::book::{Book, OLDEST};
use super::format::{self, MOST, Record, Records, Stamp};
use crate::context::digests::row::Body;
use crate::rootfs::{Entry, Kind, Node, Timestamp, Xattrs};
use silt_watcher::Inode;

const EXT4: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;

fn binding(boot: &str) -> Binding {
    Binding::new(boot.as_bytes(), EXT4, Some(b"uuid"), 1, 7).expect("bound")
}

fn node(ino: u64, ctime: i64) -> Node {
    let at = |sec| Timestamp { sec, nsec: 5 };
    let kind = Kind::File { size: ino + 1, digest: None };
    let entry = Entry { kind, mode: 0o644, uid: 0, gid: 0, mtime: at(-3), xattrs: Xattrs::new() };
    Node { entry: entry.into(), inode: Inode { dev: 7, ino }, nlink: 1, ctime: at(ctime), foreign: false }
}

fn record(ino: u64, ctime: i64) -> Record {
    Record { stamp: Stamp::of(&node(ino, ctime)), body: Body([ino as u8; 32]) }
}

fn body(ino: u64) -> Option<Body> {
    Some(Body([ino as u8; 32]))
}

#[test]
fn a_memo_reads_as_it_was_written() {
    let bound = binding("a");
    let written: Vec<_> = (0..100).map(|n| (record(n * n, n as i64 - 50), n as u8)).collect();
    let bytes = format::write(&bound.whole, &written);
    assert_eq!(bytes.len(), 80 + 100 * 73);
    let records = Records::parse(bytes, &bound.whole).expect("whole");
    let read: Vec<_> = (0..records.len()).filter_map(|at| records.get(at)).collect();
    assert_eq!(read, written);
    assert_eq!((records.find(81), records.find(82), records.get(100)), (Some(9), None, None));
}

#[test]
fn a_memo_of_something_else_is_not_believed() {
    let bytes = format::write(&binding("a").whole, &[(record(1, 2), 0)]);
    assert!(Records::parse(bytes.clone(), &binding("a").whole).is_some());
    assert!(Records::parse(bytes, &binding("b").whole).is_none());
    let unordered = format::write(&binding("a").whole, &[(record(2, 2), 0), (record(1, 2), 0)]);
    assert!(Records::parse(unordered, &binding("a").whole).is_none());
}

#[test]
fn everything_that_a_memo_is_bound_to_counts() {
    let of = |boot: &str, kind, uuid: Option<&str>, fsid, dev| {
        Binding::new(boot.as_bytes(), kind, uuid.map(str::as_bytes), fsid, dev).ok()
    };
    let all = [
        of("a", EXT4, Some("u"), 1, 7),
        of("b", EXT4, Some("u"), 1, 7),
        of("a", XFS, Some("u"), 1, 7),
        of("a", EXT4, Some("v"), 1, 7),
        of("a", EXT4, None, 1, 7),
        of("a", EXT4, Some("u"), 2, 7),
        of("a", EXT4, Some("u"), 1, 8),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(one.is_some(), "{at}");
        assert!(all[..at].iter().flatten().all(|other| other.whole != one.expect("bound").whole), "{at}");
    }
    assert!(of("a", XFS, None, 1, 7).is_none(), "its f_fsid is the number of a device");
    assert!(of("a", EXT4, None, 0, 7).is_none());
    assert!(of("", EXT4, Some("u"), 1, 7).is_none());
}

proptest! {
    #[test]
    fn a_broken_memo_is_none(at in 0usize..1540, bit in 0u8..8, cut in 0usize..1540) {
        let bound = binding("a");
        let whole = format::write(&bound.whole, &(0..20).map(|n| (record(n, 1), 0)).collect::<Vec<_>>());
        assert_eq!(whole.len(), 1540);
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        prop_assert!(Records::parse(flipped, &bound.whole).is_none());
        prop_assert!(Records::parse(whole[..cut].to_vec(), &bound.whole).is_none());
    }
}

/// Learns records of these inodes and writes them.
fn learn(dir: &Path, inodes: impl Iterator<Item = u64>) {
    let book = Book::open(dir, binding("a"));
    book.learn(inodes.map(|ino| record(ino, 1)).collect());
    book.save(dir).expect("saved");
}

#[test]
fn a_stamp_must_be_the_same_in_all() {
    let dir = tempfile::tempdir().expect("a directory");
    learn(dir.path(), 1..4);
    let book = Book::open(dir.path(), binding("a"));
    assert_eq!(book.body(&node(2, 1)), body(2));
    let check = |change: fn(&mut Node)| {
        let mut node = node(2, 1);
        change(&mut node);
        assert_eq!(book.body(&node), None, "{node:?}");
    };
    check(|node| node.ctime.nsec += 1);
    check(|node| node.ctime.sec += 1);
    check(|node| node.entry_mut().mtime.nsec += 1);
    check(|node| node.entry_mut().kind = Kind::File { size: 2, digest: None });
    check(|node| node.entry_mut().kind = Kind::Directory);
    check(|node| node.inode.ino = 9);
    check(|node| node.inode.dev = 8);
    assert_eq!(Book::open(dir.path(), binding("b")).len(), 0);
}

#[test]
fn builds_beside_each_other_lose_nothing_of_each_other() {
    let dir = tempfile::tempdir().expect("a directory");
    learn(dir.path(), 0..3);
    let (one, other) = (Book::open(dir.path(), binding("a")), Book::open(dir.path(), binding("a")));
    one.learn(vec![record(5, 1), record(1, 2)]);
    other.learn(vec![record(6, 1)]);
    one.save(dir.path()).expect("saved");
    other.save(dir.path()).expect("saved");
    let book = Book::open(dir.path(), binding("a"));
    assert_eq!(book.len(), 5);
    assert_eq!([book.body(&node(5, 1)), book.body(&node(6, 1))], [body(5), body(6)]);
    assert_eq!([book.body(&node(1, 1)), book.body(&node(1, 2))], [None, body(1)]);
}

#[test]
fn while_another_build_writes_nothing_is_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let lock = fs::File::create(dir.path().join("lock")).expect("create");
    lock.lock().expect("locked");
    let book = Book::open(dir.path(), binding("a"));
    book.learn(vec![record(1, 1)]);
    assert!(book.save(dir.path()).expect_err("locked").to_string().contains("another build"));
    drop(lock);
    book.save(dir.path()).expect("saved");
    assert_eq!(Book::open(dir.path(), binding("a")).len(), 1);
}

#[test]
fn what_nobody_uses_is_forgotten() {
    let dir = tempfile::tempdir().expect("a directory");
    learn(dir.path(), 0..2);
    for number in 0..u64::from(OLDEST) + 1 {
        assert_eq!(Book::open(dir.path(), binding("a")).len(), 2 + number as usize);
        let book = Book::open(dir.path(), binding("a"));
        assert!(book.body(&node(1, 1)).is_some());
        book.learn(vec![record(100 + number, 1)]);
        book.save(dir.path()).expect("saved");
    }
    let book = Book::open(dir.path(), binding("a"));
    assert_eq!([book.body(&node(0, 1)), book.body(&node(1, 1))], [None, body(1)]);
}

#[test]
fn a_memo_has_a_largest_size_and_keeps_what_is_of_use() {
    let dir = tempfile::tempdir().expect("a directory");
    learn(dir.path(), 0..1000);
    let book = Book::open(dir.path(), binding("a"));
    assert!(book.body(&node(1, 1)).is_some());
    let most = MOST as u64;
    book.learn((1000..most + 900).map(|ino| record(ino, 1)).collect());
    book.save(dir.path()).expect("saved");
    let book = Book::open(dir.path(), binding("a"));
    assert_eq!(book.len(), MOST);
    assert!([1, 1000, most + 899].iter().all(|ino| book.body(&node(*ino, 1)).is_some()));
}

#[test]
fn a_directory_has_a_most_memos_and_loses_what_a_killed_build_left() {
    let dir = tempfile::tempdir().expect("a directory");
    for number in 0..20 {
        fs::write(dir.path().join(format!("{number:032x}")), "").expect("write");
    }
    fs::write(dir.path().join(".new-1"), "").expect("write");
    learn(dir.path(), 0..3);
    let names: Vec<_> = fs::read_dir(dir.path()).expect("readdir").map(|e| e.expect("entry").file_name()).collect();
    assert_eq!(names.len(), 17, "16 and the lock: {names:?}");
    assert!(!names.iter().any(|name| name == ".new-1"));
    assert_eq!(Book::open(dir.path(), binding("a")).len(), 3);
}
