//! The root's calls one by one, against links that lead out of it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};

use super::fixture::{Fixture, path};
use super::{Cursor, Entry, Error, Kind, Root, Timestamp, Xattrs};

fn entry(kind: Kind, mode: u32) -> Entry {
    let mtime = Timestamp { sec: 12345, nsec: 678 };
    Entry { kind, mode, uid: 0, gid: 0, mtime, xattrs: Xattrs::new() }
}

fn a_file(mode: u32) -> Entry {
    entry(Kind::File { size: 0, digest: None }, mode)
}

/// `d/f`, `d/sub/`, links out of the root and in circles.
fn peopled() -> Fixture {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.on_disk("d/sub")).expect("mkdir");
    fs::write(fixture.on_disk("d/f"), "content").expect("write");
    for (name, target) in [
        ("abs", "/d"),
        ("up", "../../../../../etc"),
        ("d/back", "../d/sub"),
        ("loop", "loop"),
        ("chain", "abs/back/.."),
        ("dangling", "/no/where"),
        ("file", "d/f"),
    ] {
        symlink(target, fixture.on_disk(name)).expect("symlink");
    }
    symlink(fixture.outside(), fixture.on_disk("out")).expect("symlink");
    fixture
}

/// The root opened in both ways.
fn both(fixture: &Fixture) -> [Root; 2] {
    let open =
        |walking| if walking { Root::open_walking(fixture.root.path()) } else { Root::open(fixture.root.path()) };
    [false, true].map(|walking| open(walking).expect("the root"))
}

#[test]
fn resolving_follows_links_inside_the_root() {
    let fixture = peopled();
    let check = |input: &str, expected: &str| {
        assert_eq!(fixture.root.resolve(input.as_bytes()).expect(input), path(expected), "{input:?}");
    };
    check("", "");
    check("/", "");
    check("/d/f", "d/f");
    check("abs/f", "d/f");
    check("/up/passwd", "etc/passwd");
    check("d/back", "d/sub");
    check("d/back/..", "d");
    check("chain", "d");
    check("chain/back/../../abs/./new/deep", "d/new/deep");
    check("dangling/x", "no/where/x");
    check("file", "d/f");
    check("../../d/../../d", "d");
    check("missing/../d/f", "d/f");
    check("missing/../../abs/f", "d/f");
    let outside = format!("{}/canary", fixture.outside().display());
    check("out/canary", &outside);
    let kept = |input: &str| fixture.root.resolve_parent(input.as_bytes()).expect(input);
    assert_eq!(kept("file"), path("file"));
    assert_eq!(kept("abs/back"), path("d/back"));
    assert_eq!(kept("loop"), path("loop"));
}

#[test]
fn resolving_refuses_loops_and_files_as_directories() {
    let fixture = peopled();
    let check = |input: &[u8], expected| {
        assert_eq!(fixture.root.resolve(input).expect_err("refused").kind(), expected, "{input:?}");
    };
    check(b"d/f/x", io::ErrorKind::NotADirectory);
    check(b"file/..", io::ErrorKind::NotADirectory);
    check(b"a\0b", io::ErrorKind::InvalidInput);
    for turning in ["loop", "loop/x"] {
        let error = fixture.root.resolve(turning.as_bytes()).expect_err("refused");
        assert!(error.to_string().contains("Too many levels of symbolic links"), "{error}");
    }
}

#[test]
fn exact_paths_follow_nothing() {
    let fixture = peopled();
    for root in both(&fixture) {
        let mut cursor = Cursor::new(&root);
        for missing in ["out/canary", "abs/f", "d/back/x", "d/f/x", "no", "no/where", "loop/x", &"n".repeat(256)] {
            assert_eq!(root.observe(&path(missing)).expect(missing), None, "{missing}");
            assert_eq!(cursor.observe(&path(missing)).expect(missing), None, "{missing}");
            assert!(root.open_file(&path(missing)).is_err(), "{missing}");
            assert!(root.read_dir(&path(missing)).is_err(), "{missing}");
        }
        for link in ["out", "abs", "file"] {
            let node = cursor.observe(&path(link)).expect(link).expect(link);
            assert!(matches!(node.entry.kind, Kind::Symlink(_)), "{link}");
            assert!(root.open_file(&path(link)).is_err(), "{link}");
            assert!(root.read_dir(&path(link)).is_err(), "{link}");
        }
        assert_eq!(root.read_dir(&path("d")).expect("d"), [&b"back"[..], b"f", b"sub"]);
        let node = root.observe(&path("d/f")).expect("d/f").expect("d/f");
        let seen = fs::metadata(fixture.on_disk("d/f")).expect("stat");
        assert_eq!((node.inode.ino, node.inode.dev), (seen.ino(), root.dev()));
        assert_eq!((node.ctime.sec, i64::from(node.ctime.nsec)), (seen.ctime(), seen.ctime_nsec()));
        assert!(root.observe(&path("")).expect("the root").expect("the root").entry.is_directory());
    }
}

#[test]
fn a_pipe_is_no_file_and_does_not_block() {
    let fixture = Fixture::new();
    fixture.root.make_node(&path("p"), &entry(Kind::Fifo, 0o600)).expect("a pipe");
    assert_eq!(fixture.root.open_file(&path("p")).expect_err("a pipe").kind(), io::ErrorKind::InvalidInput);
    assert_eq!(fixture.root.digest(&path("")).expect_err("a directory").kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn reading_leaves_access_times_alone() {
    let fixture = peopled();
    let old = fs::FileTimes::new().set_accessed(std::time::SystemTime::UNIX_EPOCH);
    fs::File::options().write(true).open(fixture.on_disk("d/f")).and_then(|f| f.set_times(old)).expect("utimens");
    fixture.root.digest(&path("d/f")).expect("a digest");
    assert_eq!(fs::metadata(fixture.on_disk("d/f")).expect("stat").atime(), 0);
}

#[test]
fn writing_goes_through_no_link() {
    let fixture = peopled();
    for root in both(&fixture) {
        let refused = |result: super::Result<()>| assert!(result.is_err());
        refused(root.write_file(&path("out/new"), &mut &b"x"[..], &a_file(0o644)).map(drop));
        refused(root.make_node(&path("out/new"), &entry(Kind::Fifo, 0o644)).map(drop));
        refused(root.create_dir(&path("out/new"), 0o755, 0, 0));
        refused(root.create_dir_all(&path("out/new/er"), 0o755, 0, 0).map(drop));
        refused(root.hard_link(&path("mine"), &path("out/canary")));
        refused(root.hard_link(&path("out/mine"), &path("d/f")));
        refused(root.set_attributes(&path("out/canary"), &a_file(0o777)).map(drop));
        root.remove_tree(&path("out/canary")).expect("nothing has that path");
        root.set_attributes(&path("out"), &Entry { uid: 7, ..a_file(0o777) }).expect("the link itself");
        fixture.assert_outside_untouched();
    }
    for link in ["out", "file"] {
        let made = fixture.root.write_file(&path(link), &mut &b"x"[..], &a_file(0o4711)).expect(link);
        assert_eq!((made.node.entry.mode, made.node.entry.mtime.nsec), (0o4711, 678));
        assert_eq!(*made.node.entry, with_digest(&fixture, link), "what was made is what stands there");
    }
    assert_eq!(fs::read(fixture.on_disk("d/f")).expect("read"), b"content");
    fixture.assert_outside_untouched();
}

fn with_digest(fixture: &Fixture, name: &str) -> Entry {
    let mut entry = Entry::clone(&fixture.root.observe(&path(name)).expect(name).expect(name).entry);
    if let Kind::File { digest, .. } = &mut entry.kind {
        *digest = Some(fixture.root.digest(&path(name)).expect("a digest"));
    }
    entry
}

#[test]
fn a_file_is_replaced_and_its_other_names_keep_the_old_content() {
    let fixture = peopled();
    fixture.root.hard_link(&path("second"), &path("d/f")).expect("a link");
    fixture.root.write_file(&path("d/f"), &mut &b"new"[..], &a_file(0o644)).expect("written");
    assert_eq!(fs::read(fixture.on_disk("second")).expect("read"), b"content");
    let error = fixture.root.write_file(&path("d"), &mut &b"new"[..], &a_file(0o644)).expect_err("a directory");
    assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    assert!(fixture.root.write_file(&path(""), &mut &b""[..], &a_file(0o644)).is_err());
}

#[test]
fn making_directories_says_which_were_made() {
    let fixture = peopled();
    let made = fixture.root.create_dir_all(&path("d/x/y"), 0o2750, 3, 4).expect("made");
    assert_eq!(made, [path("d/x"), path("d/x/y")]);
    assert_eq!(fixture.root.create_dir_all(&path("d/x/y"), 0o755, 0, 0).expect("there"), []);
    assert_eq!(fixture.root.create_dir_all(&path(""), 0o755, 0, 0).expect("there"), []);
    let y = fixture.root.observe(&path("d/x/y")).expect("y").expect("y").entry;
    assert_eq!((y.mode, y.uid, y.gid), (0o2750, 3, 4));
    for blocked in ["d/f", "d/f/x", "d/f/x/y"] {
        let error = fixture.root.create_dir_all(&path(blocked), 0o755, 0, 0).expect_err(blocked);
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory, "{blocked}");
    }
}

#[test]
fn attributes_are_replaced_as_a_whole() {
    let fixture = peopled();
    let xattrs =
        |names: &[&[u8]]| names.iter().map(|name| (Box::from(*name), Box::from(&b"v"[..]))).collect::<Xattrs>();
    let first = Entry { xattrs: xattrs(&[b"user.a", b"user.b"]), uid: 1, ..a_file(0o600) };
    let second = Entry { xattrs: xattrs(&[b"user.b", b"user.c"]), gid: 2, ..a_file(0o6755) };
    for name in ["d/f", "d/sub", "d"] {
        fixture.root.set_attributes(&path(name), &first).expect(name);
        let made = fixture.root.set_attributes(&path(name), &second).expect(name);
        let seen = fixture.root.observe(&path(name)).expect(name).expect(name);
        assert_eq!(made.node, seen, "{name}");
        assert_eq!((seen.entry.mode, seen.entry.uid, seen.entry.gid), (0o6755, 0, 2), "{name}");
        assert_eq!(seen.entry.xattrs, second.xattrs, "{name}");
    }
    assert_eq!(fixture.root.set_attributes(&path("no"), &first).expect_err("absent").kind(), io::ErrorKind::NotFound);
}

#[test]
fn protected_paths_are_refused_by_every_change() {
    let mut fixture = peopled();
    fixture.root.protect(path("d/sub"));
    fixture.root.protect(path("mnt/disk"));
    fixture.root.protect(path(""));
    let root = &fixture.root;
    assert!(
        root.is_protected(&path("d/sub"))
            && root.is_protected(&path("d/sub/x"))
            && !root.is_protected(&path("d/sub-x"))
    );
    assert!(
        root.holds_protected(&path("d")) && root.holds_protected(&path("")) && !root.holds_protected(&path("d/sub"))
    );
    let check = |result: super::Result<()>, protected: &str| match result {
        Err(Error::Protected(named)) => assert_eq!(named, path(protected)),
        other => panic!("{protected}: {other:?}"),
    };
    check(root.write_file(&path("d/sub/x"), &mut &b""[..], &a_file(0o644)).map(drop), "d/sub/x");
    check(root.write_file(&path("d/sub"), &mut &b""[..], &a_file(0o644)).map(drop), "d/sub");
    check(root.make_node(&path("d/sub/x"), &entry(Kind::Fifo, 0o644)).map(drop), "d/sub/x");
    check(root.create_dir(&path("d/sub/x"), 0o755, 0, 0), "d/sub/x");
    check(root.create_dir_all(&path("mnt/disk/x"), 0o755, 0, 0).map(drop), "mnt/disk");
    check(root.hard_link(&path("d/sub/x"), &path("d/f")), "d/sub/x");
    check(root.hard_link(&path("x"), &path("d/sub")), "d/sub");
    check(root.set_attributes(&path("d/sub"), &a_file(0o777)).map(drop), "d/sub");
    check(root.remove_tree(&path("d")), "d/sub");
    check(root.remove_tree(&path("d/sub/x")), "d/sub");
    check(root.remove_tree(&path("")), "d/sub");
    assert!(fixture.on_disk("d/f").exists());
}

#[test]
fn removing_a_tree_follows_no_link() {
    let fixture = peopled();
    for root in both(&fixture) {
        fs::create_dir_all(fixture.on_disk("t/a/b")).expect("mkdir");
        symlink(fixture.outside(), fixture.on_disk("t/a/out")).expect("symlink");
        root.remove_tree(&path("t")).expect("removed");
        root.remove_tree(&path("t")).expect("nothing there");
        assert!(!fixture.on_disk("t").exists());
        fixture.assert_outside_untouched();
    }
}

/// In a mount namespace of its own thread, so that the mount ends with it.
#[test]
fn removing_a_tree_stops_at_a_mount() {
    use nix::mount::{MsFlags, mount};
    let fixture = peopled();
    fs::create_dir_all(fixture.on_disk("t/mnt")).expect("mkdir");
    let root = &fixture.root;
    let try_removing = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("a namespace");
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).expect("private");
        mount(nothing, &fixture.on_disk("t/mnt"), Some("tmpfs"), MsFlags::empty(), nothing).expect("a mount");
        fs::create_dir(fixture.on_disk("t/mnt/inside")).expect("mkdir");
        let inner = Root::open(root.path()).expect("the root as this namespace has it");
        assert!(inner.remove_tree(&path("t")).is_err());
        assert!(fixture.on_disk("t/mnt/inside").exists());
    };
    std::thread::scope(|scope| scope.spawn(try_removing).join()).expect("the thread");
}
