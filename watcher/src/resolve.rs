//! From what was heard to what to look at: a pure function, which gives the same whatever the order of the events.
//!
//! An event in a directory that the caller's record does not know needs no path. The directory was made or moved since,
//! so its top-most unknown ancestor has an entry event in a directory that is known, which nominates the tree; or it lies
//! outside the root. What may hide there is another name of a file that the record has: that is why objects are nominated
//! by inode. A directory has one name, so directories need no such care.

use std::collections::HashMap;

use crate::handle::Identity;
use crate::inode::Inode;
use crate::recording::{Directories, Lost, Nominated};
use crate::sightings::{Seen, Sightings};

/// What to look at, given where the directories were at the start. `inode_of` gives `None` for an object that is gone:
/// the names that it had then have entry events of their own.
pub fn resolve(
    sightings: &Sightings,
    directories: &dyn Directories,
    inode_of: &mut dyn FnMut(&Identity) -> Result<Option<Inode>, Lost>,
) -> Result<Nominated, Lost> {
    let mut nominated = Nominated::default();
    for (directory, names) in sightings.directories() {
        if let Some(path) = inode_of(directory)?.and_then(|inode| directories.path_of(inode)) {
            nominate(&mut nominated, &path, names);
        }
    }
    for target in sightings.targets() {
        nominated.inodes.extend(inode_of(target)?);
    }
    Ok(nominated)
}

/// Nominates the names seen in the directory at `path`.
fn nominate(nominated: &mut Nominated, path: &[u8], names: &HashMap<Box<[u8]>, Seen>) {
    for (name, seen) in names {
        let full = join(path, name);
        if *seen == Seen::Tree {
            nominated.trees.insert(full.clone());
        }
        nominated.paths.insert(full);
    }
    if names.values().any(|seen| *seen >= Seen::Entry) {
        nominated.paths.insert(path.to_vec());
    }
}

/// `name` in the directory at `path`; `.` is the directory.
fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    match (path, name) {
        (_, b".") => path.to_vec(),
        (b"", _) => name.to_vec(),
        _ => [path, b"/", name].concat(),
    }
}
