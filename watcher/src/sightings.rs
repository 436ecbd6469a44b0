//! What was heard of, each thing once: names in directories, and objects. Its size follows the number of distinct names
//! and objects, not the number of events.

use std::collections::{HashMap, HashSet};

use crate::handle::Identity;

/// The most that was heard of a name; a greater one includes the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// The object changed.
    Touched,
    /// The name was made, removed or moved.
    Entry,
    /// The name was made, removed or moved, and was a directory's.
    Tree,
}

/// A set of names by directory, and a set of objects.
#[derive(Debug, Default)]
pub struct Sightings {
    directories: HashMap<Identity, HashMap<Box<[u8]>, Seen>>,
    targets: HashSet<Identity>,
    bytes: usize,
}

/// What one entry of a hash table costs beside its variable part: a rough figure, on the high side.
const ENTRY: usize = 64;

impl Sightings {
    /// Notes that `name` was seen in `directory`; `.` is the directory itself.
    pub fn note(&mut self, directory: Identity, name: &[u8], seen: Seen) {
        let cost = ENTRY + weight(&directory);
        let names = self.directories.entry(directory).or_insert_with(|| {
            self.bytes += cost;
            HashMap::new()
        });
        match names.get_mut(name) {
            Some(before) => *before = seen.max(*before),
            None => {
                self.bytes += ENTRY + name.len();
                names.insert(name.into(), seen);
            }
        }
    }

    /// Notes an object.
    pub fn note_target(&mut self, target: Identity) {
        let cost = ENTRY / 2 + weight(&target);
        if self.targets.insert(target) {
            self.bytes += cost;
        }
    }

    /// The directories with names seen in them.
    pub fn directories(&self) -> impl Iterator<Item = (&Identity, &HashMap<Box<[u8]>, Seen>)> {
        self.directories.iter()
    }

    /// The objects seen.
    pub fn targets(&self) -> impl Iterator<Item = &Identity> {
        self.targets.iter()
    }

    /// About how many bytes of memory this takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The bytes of an identity that lie outside of it.
fn weight(identity: &Identity) -> usize {
    match identity {
        Identity::Ino(_) => 0,
        Identity::Handle(handle) => ENTRY + handle.1.len(),
    }
}
