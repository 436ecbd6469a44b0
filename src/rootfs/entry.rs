//! What stands at a path of the root: the attributes that an image can carry, and the identity that the disk gives them.

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use silt_watcher::Inode;

/// The SHA-256 of a regular file's content.
pub type ContentDigest = [u8; 32];

/// Extended attributes that a layer carries: all of `user.*` and `security.capability`; no others (ACLs, SELinux labels
/// and `trusted.*` belong to the machine, not to the image).
///
/// Few files have any, so those that have none take no room for them.
#[derive(Clone, Default)]
pub struct Xattrs(Option<Box<Attributes>>);

type Attributes = BTreeMap<Box<[u8]>, Box<[u8]>>;

static NONE: Attributes = Attributes::new();

impl Xattrs {
    /// None.
    pub fn new() -> Self {
        Xattrs::default()
    }
}

impl Deref for Xattrs {
    type Target = Attributes;

    fn deref(&self) -> &Attributes {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Xattrs {
    fn deref_mut(&mut self) -> &mut Attributes {
        self.0.get_or_insert_default()
    }
}

impl PartialEq for Xattrs {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Xattrs {}

impl fmt::Debug for Xattrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl FromIterator<(Box<[u8]>, Box<[u8]>)> for Xattrs {
    fn from_iter<I: IntoIterator<Item = (Box<[u8]>, Box<[u8]>)>>(items: I) -> Self {
        let attributes: Attributes = items.into_iter().collect();
        Xattrs((!attributes.is_empty()).then(|| Box::new(attributes)))
    }
}

impl<'a> IntoIterator for &'a Xattrs {
    type Item = (&'a Box<[u8]>, &'a Box<[u8]>);
    type IntoIter = btree_map::Iter<'a, Box<[u8]>, Box<[u8]>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A point in time: seconds since the epoch and nanoseconds below them (0 to 999,999,999).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds, negative before 1970.
    pub sec: i64,
    /// Nanoseconds after `sec`.
    pub nsec: u32,
}

impl Timestamp {
    /// The time of the machine's clock.
    pub fn now() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp { sec: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nsec: now.subsec_nanos() }
    }
}

/// What a path is. Links by name are not a kind: two names of one file have two equal entries and one inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Of the content; `None` where nobody has read it yet.
        digest: Option<ContentDigest>,
    },
    /// A directory.
    Directory,
    /// A symlink and the bytes it holds.
    Symlink(Box<[u8]>),
    /// A character device.
    CharDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket. No layer can carry one.
    Socket,
}

/// All that an image says of a path besides its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: `st_mode & 0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When the content was last modified.
    pub mtime: Timestamp,
    /// The attributes that a layer carries.
    pub xattrs: Xattrs,
}

/// An entry as the disk holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What an image would say; records, comparisons and change sets of one path share it.
    pub entry: Arc<Entry>,
    /// Which file it is.
    pub inode: Inode,
    /// How many names the file has, as `stat(2)` says; names outside the root count too.
    pub nlink: u32,
    /// When anything about the file last changed.
    pub ctime: Timestamp,
    /// It stood in the root before the base image was unpacked; no layer has it unless the build writes it. Its content was
    /// not read: identity and `ctime` stand in for the digest.
    pub foreign: bool,
}

impl Node {
    /// What an image would say, to change here alone.
    pub fn entry_mut(&mut self) -> &mut Entry {
        Arc::make_mut(&mut self.entry)
    }
}

impl Entry {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}
