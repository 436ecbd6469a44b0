//! All that an image can say of a tree, as text that can be compared: one line a path, by readdir and lstat alone.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// A tree by path. Times are whole seconds, since that is what a layer carries; the time of a directory is left out,
/// since a difference in it alone is no change of the image.
#[derive(PartialEq, Eq)]
pub struct Listing(BTreeMap<PathBuf, String>);

/// What to say of times.
#[derive(Clone, Copy)]
pub enum Times {
    /// Each file's.
    Exact,
    /// "new" for whatever is not older than this moment, so that two builds of one Dockerfile can be compared.
    NewSince(i64),
    /// Each file's, or this if that is later.
    AtMost(i64),
}

/// Seconds since the epoch, a little before now.
pub fn moment() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() - 2
}

/// Lists a tree, without the directory itself.
pub fn list(root: &Path, times: Times) -> Listing {
    let mut paths = Vec::new();
    collect(root, &mut paths);
    paths.sort();
    let mut first_names = HashMap::new();
    let mut listing = BTreeMap::new();
    for path in paths {
        let meta = fs::symlink_metadata(&path).unwrap();
        let relative = path.strip_prefix(root).unwrap().to_owned();
        let first = first_names.entry((meta.dev(), meta.ino())).or_insert_with(|| relative.clone()).clone();
        listing.insert(relative.clone(), describe(&path, &meta, times, (first != relative).then_some(&first)));
    }
    Listing(listing)
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), paths);
        }
        paths.push(entry.path());
    }
}

fn describe(path: &Path, meta: &Metadata, times: Times, link_to: Option<&PathBuf>) -> String {
    let mut line = format!("{} {:04o} {}:{}", kind(path, meta), meta.mode() & 0o7777, meta.uid(), meta.gid());
    if !meta.is_dir() {
        match times {
            Times::NewSince(moment) if meta.mtime() >= moment => line.push_str(" new"),
            Times::AtMost(latest) => write!(line, " @{}", meta.mtime().min(latest)).unwrap(),
            _ => write!(line, " @{}", meta.mtime()).unwrap(),
        }
    }
    for (name, value) in xattrs(path) {
        write!(line, " {name}={}", value.escape_ascii()).unwrap();
    }
    if let Some(first) = link_to {
        write!(line, " same-file-as {first:?}").unwrap();
    }
    line
}

fn kind(path: &Path, meta: &Metadata) -> String {
    let kind = meta.file_type();
    if kind.is_file() {
        let content = fs::read(path).unwrap();
        let digest = Sha256::digest(&content).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        format!("file {} {}", meta.size(), &digest[..16])
    } else if kind.is_dir() {
        "dir".to_owned()
    } else if kind.is_symlink() {
        format!("link -> {:?}", fs::read_link(path).unwrap())
    } else if kind.is_fifo() {
        "fifo".to_owned()
    } else if kind.is_socket() {
        "socket".to_owned()
    } else {
        let letter = if kind.is_char_device() { 'c' } else { 'b' };
        format!("{letter}dev {}:{}", rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()))
    }
}

/// The attributes that an image carries.
fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let kept = |name: &&[u8]| name.starts_with(b"user.") || *name == b"security.capability";
    let names = names[..length].split(|byte| *byte == 0).filter(kept);
    names.map(|name| (String::from_utf8_lossy(name).into_owned(), xattr(path, name))).collect()
}

fn xattr(path: &Path, name: &[u8]) -> Vec<u8> {
    let mut value = vec![0; 65536];
    let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
    value.truncate(length);
    value
}

impl Listing {
    /// How many paths it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The differences, one line each: `-` is only in `self` or said there, `+` in `other`.
    pub fn differences(&self, other: &Listing) -> Vec<String> {
        let said =
            |side: &Listing, path: &PathBuf, sign| side.0.get(path).map(|line| format!("{sign} {path:?} {line}"));
        let all: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let differing = all.into_iter().filter(|path| self.0.get(*path) != other.0.get(*path));
        differing.flat_map(|path| [said(self, path, '-'), said(other, path, '+')]).flatten().collect()
    }
}

/// Fails with the differences, the first forty of them, where two trees are not the same. `what` names the two sides.
pub fn assert_same(left: &Listing, right: &Listing, what: &str) {
    let differences = left.differences(right);
    let shown = &differences[..differences.len().min(40)];
    assert!(differences.is_empty(), "{what}: {} lines differ\n{}", differences.len(), shown.join("\n"));
    assert!(left.len() > 0, "{what}: both are empty");
}

#[test]
fn every_attribute_makes_a_difference() {
    let check = |change: &dyn Fn(&Path)| {
        let (left, right) = (super::scratch(), super::scratch());
        for side in [&left, &right] {
            fs::write(side.path().join("a"), "a").unwrap();
            fs::write(side.path().join("b"), "a").unwrap();
            filetime(&side.path().join("a"), 1000);
            filetime(&side.path().join("b"), 1000);
        }
        assert_same(&list(left.path(), Times::Exact), &list(right.path(), Times::Exact), "before");
        change(right.path());
        let differences = list(left.path(), Times::Exact).differences(&list(right.path(), Times::Exact));
        assert!(!differences.is_empty());
    };
    check(&|dir| fs::write(dir.join("new"), "").unwrap());
    check(&|dir| fs::remove_file(dir.join("a")).unwrap());
    check(&|dir| filetime(&dir.join("a"), 1001));
    check(&|dir| {
        fs::write(dir.join("a"), "b").unwrap();
        filetime(&dir.join("a"), 1000);
    });
    check(&|dir| std::os::unix::fs::chown(dir.join("a"), Some(1), None).unwrap());
    check(&|dir| {
        fs::remove_file(dir.join("b")).unwrap();
        fs::hard_link(dir.join("a"), dir.join("b")).unwrap();
    });
    check(&|dir| {
        rustix::fs::lsetxattr(dir.join("a"), "user.x", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    });
}

#[cfg(test)]
fn filetime(path: &Path, seconds: u64) {
    let time = UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}
