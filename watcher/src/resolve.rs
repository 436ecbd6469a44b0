//! From what was heard to what to look at: a pure function, which gives the same whatever the order of the events.
//!
//! An event in a directory that the caller's record does not know needs no path. The directory was made or moved since,
//! so its top-most unknown ancestor has an entry event in a directory that is known, which nominates the tree; or it lies
//! outside the root. What may hide there is another name of a file that the record has: that is why objects are nominated
//! by inode, where events tell them (inotify's do not). A directory has one name, so directories need no such care.

use std::collections::HashMap;
use std::sync::Arc;

use crate::inode::Inode;
use crate::recording::{Directories, Lost, Nominated};
use crate::sightings::{Object, Seen, Sightings};

/// What to look at, given where the directories were at the start. `inode_of` gives `None` for an object that is gone:
/// the names that it had then have entry events of their own.
pub fn resolve<O: Object>(
    sightings: &Sightings<O>,
    directories: &dyn Directories,
    inode_of: &mut dyn FnMut(&O) -> Result<Option<Inode>, Lost>,
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
        let full: Arc<[u8]> = join(path, name).into();
        if *seen == Seen::Tree {
            nominated.trees.insert(full.clone());
        }
        nominated.paths.insert(full);
    }
    if names.values().any(|seen| *seen >= Seen::Entry) {
        nominated.paths.insert(path.into());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::Identity;

    /// The record of a small tree: inode 2 is the root, 3 is `d`, 4 is `d/sub`.
    struct Known;

    impl Directories for Known {
        fn path_of(&self, inode: Inode) -> Option<Vec<u8>> {
            assert_eq!(inode.dev, 8);
            let path: &[u8] = match inode.ino {
                2 => b"",
                3 => b"d",
                4 => b"d/sub",
                _ => return None,
            };
            Some(path.to_vec())
        }
    }

    /// Inode numbers stand for themselves, a handle of type 1 is gone, other handles cannot be opened.
    fn inode_of(identity: &Identity) -> Result<Option<Inode>, Lost> {
        match identity {
            Identity::Ino(ino) => Ok(Some(Inode { dev: 8, ino: *ino })),
            Identity::Handle(handle) if handle.0 == 1 => Ok(None),
            Identity::Handle(handle) => Err(Lost::Handle { handle_type: handle.0 }),
        }
    }

    fn handle(handle_type: i32) -> Identity {
        Identity::Handle(Box::new((handle_type, (*b"bytes").into())))
    }

    /// Resolves names and targets; the paths, trees (with a `/`) and inodes in one text.
    fn resolved(names: &[(Identity, &[u8], Seen)], targets: &[Identity]) -> String {
        let mut sightings = Sightings::default();
        names.iter().for_each(|(directory, name, seen)| sightings.note(directory.clone(), name, *seen));
        targets.iter().for_each(|target| sightings.note_target(target.clone()));
        let nominated = match resolve(&sightings, &Known, &mut inode_of) {
            Ok(nominated) => nominated,
            Err(why) => return why.to_string(),
        };
        let mut inodes: Vec<_> = nominated.inodes.iter().map(|inode| format!("#{}", inode.ino)).collect();
        inodes.sort();
        let paths = nominated.paths.iter().map(|path| format!("{:?}", String::from_utf8_lossy(path)));
        let trees = nominated.trees.iter().map(|path| format!("{:?}/", String::from_utf8_lossy(path)));
        paths.chain(trees).chain(inodes).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sightings_become_candidates() {
        use Identity::Ino;
        use Seen::{Entry, Touched, Tree};
        let check = |names: &[(Identity, &[u8], Seen)], targets: &[Identity], expected: &str| {
            assert_eq!(resolved(names, targets), expected);
            let reversed: Vec<_> = names.iter().rev().cloned().collect();
            assert_eq!(resolved(&reversed, targets), expected, "in reverse");
        };
        check(&[], &[], "");
        check(&[(Ino(3), b"f", Touched)], &[Ino(9)], r#""d/f" #9"#);
        check(&[(Ino(2), b"f", Touched)], &[], r#""f""#);
        check(&[(Ino(3), b"f", Entry)], &[], r#""d" "d/f""#);
        check(&[(Ino(2), b"f", Entry)], &[], r#""" "f""#);
        check(&[(Ino(4), b"n", Tree)], &[], r#""d/sub" "d/sub/n" "d/sub/n"/"#);
        // A directory's own events.
        check(&[(Ino(3), b".", Touched)], &[], r#""d""#);
        check(&[(Ino(2), b".", Touched)], &[], r#""""#);
        // A directory that the record does not know: only the object counts.
        check(&[(Ino(77), b"f", Tree)], &[Ino(9)], "#9");
        // What was heard of one name adds up, whatever came first.
        check(&[(Ino(3), b"n", Touched), (Ino(3), b"n", Tree), (Ino(3), b"n", Entry)], &[], r#""d" "d/n" "d/n"/"#);
        // A moved directory that was known: events in it under its old path, both names as trees.
        let moved: [(Identity, &[u8], Seen); 3] = [(Ino(2), b"d", Tree), (Ino(4), b"in", Tree), (Ino(3), b"f", Entry)];
        check(&moved, &[], r#""" "d" "d/f" "d/sub" "d/sub/in" "d"/ "d/sub/in"/"#);
        // Gone objects have names with events of their own; what cannot be resolved is a loss.
        check(&[(handle(1), b"f", Tree)], &[handle(1), Ino(9)], "#9");
        check(&[(handle(0xf8), b"f", Touched)], &[], "a file handle of type 0xf8 could not be resolved");
        check(&[], &[handle(0xf8)], "a file handle of type 0xf8 could not be resolved");
    }
}
