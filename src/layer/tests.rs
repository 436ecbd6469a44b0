//! Layers of small trees, read back by GNU tar, by Python and by the checker; and what no layer may be made of.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::codec::{self, Level, Packing};
use crate::oci::Digest;
use crate::rootfs::{Entry, Kind, Root, RootPath};
use crate::snapshot::{Baseline, Candidates, ChangeSet, Contents, diff};

struct Fixture {
    dir: tempfile::TempDir,
    root: Root,
    changes: ChangeSet,
}

/// Runs `before`, records it, runs `step`.
fn fixture(before: &str, step: &str) -> Fixture {
    let dir = tempfile::tempdir().expect("tempdir");
    let root = Root::open(dir.path()).expect("root");
    sh(dir.path(), before);
    let mut baseline = Baseline::default();
    let first = diff(&root, &baseline, &Candidates::Everything).expect("diff");
    let written = write(&root, &first.changes, &Options::default(), std::io::sink()).expect("layer");
    baseline.apply(first, &written.contents);
    sh(dir.path(), step);
    let changes = diff(&root, &baseline, &Candidates::Everything).expect("diff").changes;
    Fixture { dir, root, changes }
}

fn sh(dir: &Path, script: &str) {
    let status = Command::new("sh").args(["-euc", script]).current_dir(dir).status().expect("sh");
    assert!(status.success(), "{script}");
}

fn path(text: &str) -> RootPath {
    RootPath::clean(text).expect("no NUL")
}

impl Fixture {
    fn blob(&self, options: &Options) -> (Vec<u8>, Layer) {
        let mut blob = Vec::new();
        let layer = write(&self.root, &self.changes, options, &mut blob).expect("layer");
        (blob, layer)
    }

    fn tar(&self) -> Vec<u8> {
        plain(&self.blob(&Options::default()).0)
    }
}

fn plain(blob: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    codec::decode(blob).expect("decoder").read_to_end(&mut tar).expect("decode");
    tar
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn listed(tar: &[u8]) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().expect("file");
    fs::write(file.path(), tar).expect("write");
    let names = output(Command::new("tar").arg("-tf").arg(file.path()));
    String::from_utf8(names).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn entries_come_in_the_order_of_their_names_with_parents_once() {
    let before = "mkdir -p d/e/g q; : > d/gone; : > d/e/keep; : > q/r";
    let step = "rm d/gone; rm -r q; echo 1 > d/e/f; echo 1 > d/e/g/x; ln d/e/f z; mkdir n n-1; ln -s t n/l; mkfifo n/p";
    let fixture = fixture(before, step);
    let tar = fixture.tar();
    let expected = ".wh.q d/ d/.wh.gone d/e/ d/e/f d/e/g/ d/e/g/x n/ n-1/ n/l n/p z";
    assert_eq!(listed(&tar).join(" "), expected);
    let summary = check(&tar[..]).expect("well formed");
    assert_eq!(summary.entries.len(), 12);
    assert_eq!(summary.entries.get(&path("z")), Some(&Role::Link));
    assert_eq!(summary.content_bytes, 4);
}

/// Everything that is hard to say in a tar.
const AWKWARD: &str = "
    long=$(printf '%0101d' 0); longer=$(printf '%0200d' 0)
    mkdir -p $long/$longer; echo 1 > $long/$longer/f; ln $long/$longer/f zz-link; ln -s $longer/$longer symlink
    mkdir d; chmod 3711 d; touch -d @1.000000001 d
    echo owner > owner; chown 2097152:4294967290 owner; chmod 4755 owner
    echo old > old; touch -d @-4.5 old; echo ns > ns; touch -d @1700000000.123456789 ns
    echo late > late; touch -d @8589934592 late; : > empty; touch -d @0 empty
    mknod char c 1 3; mknod block b 259 1048575; mkfifo fifo; ln fifo zz-fifo
    ln -s target sym; touch -hd @7.5 sym
    head -c 511 /dev/zero > s511; head -c 512 /dev/zero > s512; head -c 300000 /dev/urandom > s300000";

/// A tree that has every kind and every awkward value, in a directory that takes such times (not every file system does).
fn awkward() -> Fixture {
    let fixture = fixture("", AWKWARD);
    let name = std::ffi::OsStr::from_bytes(b"bytes \xff\n=");
    fs::write(fixture.dir.path().join(name), "x").expect("write");
    let flags = rustix::fs::XattrFlags::empty();
    let set = |file: &str, name: &str, value: &[u8]| {
        rustix::fs::setxattr(fixture.dir.path().join(file), name, value, flags).expect("setxattr");
    };
    set("ns", "user.lines", b"1\n20 path=evil\n\0\xff");
    set("d", "user.empty", b"");
    set("owner", "security.capability", &[1, 0, 0, 2, 10, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let changes = diff(&fixture.root, &Baseline::default(), &Candidates::Everything).expect("diff").changes;
    Fixture { changes, ..fixture }
}

/// What stands below a root, but for inode numbers and times that no tar carries.
fn tree(root: &Root) -> BTreeMap<RootPath, (Entry, Vec<RootPath>)> {
    let mut baseline = Baseline::default();
    baseline.apply(diff(root, &baseline, &Candidates::Everything).expect("diff"), Contents::new());
    let nodes = baseline.tree().iter().filter(|(path, _)| !path.is_root());
    let content = |path: &RootPath, mut entry: Entry| {
        if let Kind::File { digest, .. } = &mut entry.kind {
            *digest = Some(root.digest(path).expect("digest"));
        }
        entry
    };
    let line = |path: &RootPath, node: &crate::rootfs::Node| {
        (path.clone(), (content(path, Entry::clone(&node.entry)), baseline.names(node.inode).to_vec()))
    };
    nodes.map(|(path, node)| line(path, node)).collect()
}

#[test]
fn gnu_tar_makes_the_same_tree() {
    let fixture = awkward();
    let out = tempfile::tempdir().expect("tempdir");
    let file = tempfile::NamedTempFile::new().expect("file");
    fs::write(file.path(), fixture.tar()).expect("write");
    let mut command = Command::new("tar");
    command.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-pxf"]).arg(file.path()).arg("-C");
    output(command.arg(out.path()));
    let (ours, theirs) = (tree(&fixture.root), tree(&Root::open(out.path()).expect("root")));
    assert_eq!(ours.len(), 20);
    for (path, said) in &ours {
        assert_eq!(theirs.get(path), Some(said), "{path}");
    }
    assert_eq!(theirs.len(), ours.len());
}

#[test]
fn umoci_makes_the_same_tree() {
    let fixture = awkward();
    let work = tempfile::tempdir().expect("tempdir");
    fs::write(work.path().join("layer.tar"), fixture.tar()).expect("write");
    sh(work.path(), "umoci init --layout l; umoci new --image l:t; umoci raw add-layer --image l:t layer.tar");
    sh(work.path(), "umoci raw unpack --image l:t out");
    let (mut ours, theirs) = (tree(&fixture.root), tree(&Root::open(&work.path().join("out")).expect("root")));
    // To readers written in Go a record without a value is none (POSIX: it takes back what an earlier record said).
    ours.values_mut().for_each(|(entry, _)| entry.xattrs.retain(|_, value| !value.is_empty()));
    for (path, said) in &ours {
        assert_eq!(theirs.get(path), Some(said), "{path}");
    }
    assert_eq!(theirs.len(), ours.len());
}

const PYTHON: &str = "
import sys, tarfile
for m in tarfile.open(fileobj=sys.stdin.buffer, mode='r|'):
    link = m.linkname.encode(errors='surrogateescape')
    x = {k[13:]: v.encode(errors='surrogateescape') for k, v in m.pax_headers.items() if k.startswith('SCHILY.xattr.')}
    print(m.name.encode(errors='surrogateescape').hex(), m.type.decode(), oct(m.mode)[2:], m.uid, m.gid, m.size,
        link.hex() or '-', '%.2f' % float(m.mtime), m.devmajor, m.devminor, m.uname or '-', len(x))";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The line that the Python script should print for an entry.
fn line(name: &[u8], entry: &Entry, link: Option<&RootPath>) -> String {
    let none = (0, 0);
    let (flag, size, target, (major, minor)) = match (&entry.kind, link) {
        (_, Some(first)) => ('1', 0, hex(first.as_bytes()), none),
        (Kind::File { size, .. }, _) => ('0', *size, String::new(), none),
        (Kind::Symlink(target), _) => ('2', 0, hex(target), none),
        (Kind::CharDevice { major, minor }, _) => ('3', 0, String::new(), (*major, *minor)),
        (Kind::BlockDevice { major, minor }, _) => ('4', 0, String::new(), (*major, *minor)),
        (Kind::Directory, _) => ('5', 0, String::new(), none),
        (Kind::Fifo | Kind::Socket, _) => ('6', 0, String::new(), none),
    };
    let target = if target.is_empty() { "-" } else { &target };
    let time = entry.mtime.sec as f64 + f64::from(entry.mtime.nsec) / 1e9;
    let Entry { mode, uid, gid, xattrs, .. } = entry;
    let count = xattrs.len();
    format!("{} {flag} {mode:o} {uid} {gid} {size} {target} {time:.2} {major} {minor} - {count}", hex(name))
}

#[test]
fn python_reads_the_same_entries() {
    let fixture = awkward();
    let file = tempfile::NamedTempFile::new().expect("file");
    fs::write(file.path(), fixture.tar()).expect("write");
    let mut command = Command::new("python3");
    let said = output(command.args(["-c", PYTHON]).stdin(fs::File::open(file.path()).expect("open")));
    let said: Vec<String> = String::from_utf8(said).expect("text").lines().map(str::to_owned).collect();
    let entry = |path: &RootPath| match fixture.changes.get(path) {
        Some(crate::snapshot::Change::Put(entry)) => entry.clone(),
        other => panic!("{path}: {other:?}"),
    };
    let expected: Vec<String> = fixture
        .changes
        .iter()
        .map(|(path, change)| match change {
            crate::snapshot::Change::Link(first) => line(path.as_bytes(), &entry(first), Some(first)),
            _ => line(path.as_bytes(), &entry(path), None),
        })
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn the_digests_are_those_of_the_bytes() {
    let fixture = fixture("", "echo 1 > a; ln a b; echo 2 > c");
    let (blob, layer) = fixture.blob(&Options::default());
    let tar = plain(&blob);
    assert_eq!(layer.descriptor.digest, Digest::of(&blob));
    assert_eq!(layer.descriptor.size, blob.len() as u64);
    assert_eq!((layer.diff_id.0, layer.uncompressed_size), (Digest::of(&tar), tar.len() as u64));
    let contents: Contents =
        ["a", "c"].map(|name| (path(name), fixture.root.digest(&path(name)).expect("digest"))).into_iter().collect();
    assert_eq!(layer.contents, contents);
}

#[test]
fn the_bytes_depend_on_changes_contents_and_options_alone() {
    let fixture = fixture("", "mkdir d; seq 10000 > d/a; touch -d @2000000000.5 d/a; touch -d @5.25 d; : > zero");
    let plain_options = Options::default();
    assert_eq!(fixture.blob(&plain_options), fixture.blob(&plain_options));
    let fast = Options { packing: Packing::Gzip(Level::new(1).expect("a level")), ..plain_options };
    assert_eq!(fixture.blob(&fast).1.diff_id, fixture.blob(&plain_options).1.diff_id);
    assert_ne!(fixture.blob(&fast).0, fixture.blob(&plain_options).0);
    let clamped = plain(&fixture.blob(&Options { clamp_mtime: Some(1_000_000_000), ..plain_options }).0);
    let text = String::from_utf8_lossy(&clamped);
    assert!(text.contains("mtime=5.25\n") && !text.contains("mtime=2000000000"));
}

/// Runs `late` after the comparison; the layer must then be refused with `expected` in the message.
fn check_refused(before: &str, step: &str, late: &str, expected: &str) {
    let fixture = fixture(before, step);
    sh(fixture.dir.path(), late);
    let error = write(&fixture.root, &fixture.changes, &Options::default(), std::io::sink()).expect_err(late);
    assert!(format!("{error:#}").contains(expected), "{late}: {error:#}");
}

#[test]
fn what_changed_after_the_comparison_is_an_error_that_names_it() {
    check_refused("", "echo 1 > a", "echo 22 > a", "/a changed");
    check_refused("", "echo 1 > a", "touch -d @5 a", "/a changed");
    check_refused("", "echo 1 > a", "rm a", "/a");
    check_refused("", "echo 1 > a", "rm a; mkfifo a", "/a");
    check_refused("", "echo 1 > a", "rm a; ln -s /etc/passwd a", "/a");
    check_refused("mkdir d; : > d/x", "rm d/x", "rmdir d; : > d", "/d is no directory");
    let same_time = "echo 1 > a; touch -d @9 a";
    check_refused(same_time, "echo 2 > a; touch -d @9 a", "echo 3 > a; touch -d @9 a", "/a changed");
}

#[test]
fn a_file_that_becomes_shorter_is_an_error() {
    let mut writer = super::writer::TarWriter::new(std::io::sink(), None);
    let error = writer.content(&path("a"), 10, &mut &b"short"[..]).expect_err("too short");
    assert!(error.to_string().contains("/a became shorter"));
}

mod malformed {
    use super::super::header::{Flag, Header};
    use super::*;

    fn file(name: &str) -> Header<'_> {
        Header { name: name.as_bytes(), mode: 0o644, ..Header::default() }
    }

    fn dir(name: &str) -> Header<'_> {
        Header { flag: Flag::Directory, ..file(name) }
    }

    fn whiteout(name: &str) -> Header<'_> {
        Header { mode: 0, ..file(name) }
    }

    fn link<'a>(name: &'a str, to: &'a str) -> Header<'a> {
        Header { flag: Flag::HardLink, link: to.as_bytes(), ..file(name) }
    }

    fn archive(entries: &[Header<'_>]) -> Vec<u8> {
        let mut tar: Vec<u8> = entries.iter().flat_map(|entry| entry.encode().expect("encodes")).collect();
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    fn check_error(entries: &[Header<'_>], expected: &str) {
        let error = check(&archive(entries)[..]).expect_err(expected);
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }

    #[test]
    fn well_formed_layers_pass() {
        let entries = [dir("./"), whiteout(".wh.old"), dir("d/"), whiteout("d/.wh.x"), file("d/y"), link("z", "d/y")];
        assert_eq!(check(&archive(&entries)[..]).expect("passes").entries.len(), 6);
        assert_eq!(check(&archive(&[])[..]).expect("passes"), Summary::default());
    }

    #[test]
    fn malformed_layers_do_not() {
        check_error(&[file("/a")], "not clean");
        check_error(&[file("./a")], "not clean");
        check_error(&[file("../a")], "not clean");
        check_error(&[dir("d")], "not clean");
        check_error(&[dir("d//")], "not clean");
        check_error(&[file("a"), file("a")], "there twice");
        check_error(&[file("d/a")], "does not come before");
        check_error(&[file("d/a"), dir("d/")], "does not come before");
        check_error(&[file("d"), file("d/a")], "no directory");
        check_error(&[file("d"), whiteout("d/.wh.a")], "no directory");
        check_error(&[whiteout(".wh.a"), file("a")], "both removes and has");
        check_error(&[file(".wh.a")], "is none");
        check_error(&[dir(".wh.a/")], "is none");
        check_error(&[link("b", ".wh.a")], "no earlier file");
        check_error(&[whiteout(".wh..wh..opq")], "opaque");
        check_error(&[whiteout(".wh...")], "nothing that can be");
        check_error(&[link("a", "b"), file("b")], "no earlier file");
        check_error(&[file("a"), link("b", "/a")], "not clean");
        check_error(&[dir("d/"), link("b", "d")], "no earlier file");
        check_error(&[file("a"), dir("./")], "not the first");
    }

    #[test]
    fn a_cut_or_continued_tar_does_not() {
        let whole = archive(&[file("a")]);
        let refused = |tar: &[u8], expected: &str| {
            let error = check(tar).expect_err(expected);
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        };
        refused(&whole[..512], "ends without");
        refused(&whole[..100], "ends without");
        refused(&[&whole[..], b"x"].concat(), "something follows");
        let cut = Header { size: 4096, ..file("a") }.encode().expect("encodes");
        refused(&cut, "ends within");
    }
}
