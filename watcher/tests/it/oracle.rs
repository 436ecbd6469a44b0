//! The walk that says what really changed, and the caller's record that a recording is resolved with.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use silt_watcher::{Directories, Inode, Lost, Nominated, Recorder, Recording};

/// All of an entry that may not change unheard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub inode: Inode,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    mtime: (i64, i64),
    rdev: u64,
    content: Vec<u8>,
    attribute: Option<Vec<u8>>,
}

/// A tree by relative path, and how often it was asked for a directory.
#[derive(Debug, Default)]
pub struct Tree {
    pub entries: BTreeMap<Vec<u8>, Entry>,
    directories: HashMap<Inode, Vec<u8>>,
    pub asked: Cell<u64>,
}

impl Directories for Tree {
    fn path_of(&self, inode: Inode) -> Option<Vec<u8>> {
        self.asked.set(self.asked.get() + 1);
        self.directories.get(&inode).cloned()
    }
}

impl Tree {
    /// Walks `root`.
    pub fn walk(root: &Path) -> Tree {
        let mut tree = Tree::default();
        tree.visit(root, Vec::new());
        tree
    }

    fn visit(&mut self, path: &Path, name: Vec<u8>) {
        let stat = std::fs::symlink_metadata(path).unwrap();
        let inode = inode(&stat);
        if stat.is_dir() {
            self.directories.insert(inode, name.clone());
            for child in std::fs::read_dir(path).unwrap() {
                let child = child.unwrap().file_name();
                let separator: &[u8] = if name.is_empty() { b"" } else { b"/" };
                self.visit(&path.join(&child), [&name, separator, child.as_bytes()].concat());
            }
        }
        self.entries.insert(name, entry(path, &stat, inode));
    }

    /// The inode of `path`.
    pub fn inode(&self, path: &str) -> Inode {
        self.entries[path.as_bytes()].inode
    }

    /// The paths whose entries differ in `after`.
    pub fn changed(&self, after: &Tree) -> BTreeSet<Vec<u8>> {
        let paths: BTreeSet<_> = self.entries.keys().chain(after.entries.keys()).collect();
        paths.into_iter().filter(|path| self.entries.get(*path) != after.entries.get(*path)).cloned().collect()
    }

    /// The directories with their paths, parents first.
    pub fn directories(&self) -> impl Iterator<Item = (&[u8], Inode)> + Clone {
        let known = |inode| self.directories.contains_key(&inode);
        self.entries.iter().filter(move |(_, entry)| known(entry.inode)).map(|(path, entry)| (&path[..], entry.inode))
    }

    /// Those at or below what `nominated` has: the ones that a caller has looked at.
    pub fn directories_in(&self, nominated: &Nominated) -> impl Iterator<Item = (&[u8], Inode)> + Clone {
        self.directories().filter(|(path, _)| nominated.paths.contains(&path[..]) || is_in_tree(path, nominated))
    }

    /// What a caller looks at if it is told `nominated`: also all names, before and after, of the inodes of these paths.
    pub fn close(&self, after: &Tree, mut nominated: Nominated) -> Nominated {
        let nominates = |path: &[u8]| nominated.paths.contains(path) || is_in_tree(path, &nominated);
        let entries = self.entries.iter().chain(&after.entries).filter(|(path, _)| nominates(path));
        let inodes: Vec<_> = entries.map(|(_, entry)| entry.inode).collect();
        nominated.inodes.extend(inodes);
        nominated
    }

    /// The changed paths that `nominated` does not lead to.
    pub fn missed(&self, after: &Tree, nominated: &Nominated) -> Vec<String> {
        let mut changed = self.changed(after);
        changed.retain(|path| {
            let by_inode = self.entries.get(path).is_some_and(|entry| nominated.inodes.contains(&entry.inode));
            !nominated.paths.contains(&path[..]) && !is_in_tree(path, nominated) && !by_inode
        });
        changed.iter().map(|path| path.escape_ascii().to_string()).collect()
    }
}

fn is_in_tree(path: &[u8], nominated: &Nominated) -> bool {
    let below = |tree: &Arc<[u8]>| path.strip_prefix(&tree[..]).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
    nominated.trees.iter().any(below)
}

fn inode(stat: &std::fs::Metadata) -> Inode {
    let (major, minor) = (rustix::fs::major(stat.dev()), rustix::fs::minor(stat.dev()));
    Inode { dev: u64::from(major) << 32 | u64::from(minor), ino: stat.ino() }
}

fn entry(path: &Path, stat: &std::fs::Metadata, inode: Inode) -> Entry {
    let kind = stat.file_type();
    let content = match () {
        () if kind.is_file() => std::fs::read(path).unwrap(),
        () if kind.is_symlink() => std::fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec(),
        () => Vec::new(),
    };
    let special = kind.is_socket() || kind.is_fifo() || kind.is_char_device() || kind.is_symlink();
    let mut value = [0; 64];
    let attribute = if special { None } else { rustix::fs::lgetxattr(path, "user.test", &mut value[..]).ok() };
    Entry {
        inode,
        mode: stat.mode(),
        owner: (stat.uid(), stat.gid()),
        size: if stat.is_dir() { 0 } else { stat.size() },
        mtime: (stat.mtime(), stat.mtime_nsec()),
        rdev: stat.rdev(),
        content,
        attribute: attribute.map(|length| value[..length].to_vec()),
    }
}

/// What a complete recording nominates.
pub fn complete(recording: Recording) -> Nominated {
    match recording {
        Recording::Complete(nominated) => nominated,
        other => panic!("{other:?}"),
    }
}

/// What a partial recording nominates.
pub fn partial(recording: Recording) -> Nominated {
    match recording {
        Recording::Partial(nominated) => nominated,
        other => panic!("{other:?}"),
    }
}

/// Takes a recording that must have been lost.
pub fn lost(recorder: &mut Recorder, tree: &Tree) -> Lost {
    match recorder.take(tree) {
        Recording::Incomplete { why } => why,
        other => panic!("{other:?}"),
    }
}
