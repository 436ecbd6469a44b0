//! What was heard of, each thing once: names in directories, and objects. Its size follows the number of distinct names
//! and objects, not the number of events.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::handle::Identity;
use crate::inotify::Watch;

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

impl Seen {
    /// What an event is that is about an entry or not, of a directory or not.
    pub fn of(is_entry: bool, is_directory: bool) -> Self {
        match (is_entry, is_directory) {
            (true, true) => Seen::Tree,
            (true, false) => Seen::Entry,
            (false, _) => Seen::Touched,
        }
    }
}

/// How the events of one kind of queue name an object.
pub trait Object: Clone + std::fmt::Debug + Eq + Hash + Send + 'static {
    /// The bytes of it that lie outside of it.
    fn weight(&self) -> usize;
}

impl Object for Identity {
    fn weight(&self) -> usize {
        match self {
            Identity::Ino(_) => 0,
            Identity::Handle(handle) => ENTRY + handle.1.len(),
        }
    }
}

impl Object for Watch {
    fn weight(&self) -> usize {
        0
    }
}

/// A set of names by directory, and a set of objects.
#[derive(Debug)]
pub struct Sightings<O> {
    directories: HashMap<O, HashMap<Box<[u8]>, Seen>>,
    targets: HashSet<O>,
    bytes: usize,
}

impl<O> Default for Sightings<O> {
    fn default() -> Self {
        Sightings { directories: HashMap::new(), targets: HashSet::new(), bytes: 0 }
    }
}

/// What one entry of a hash table costs beside its variable part: a rough figure, on the high side.
const ENTRY: usize = 64;

impl<O: Object> Sightings<O> {
    /// Notes that `name` was seen in `directory`; `.` is the directory itself.
    pub fn note(&mut self, directory: O, name: &[u8], seen: Seen) {
        let cost = ENTRY + directory.weight();
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
    pub fn note_target(&mut self, target: O) {
        let cost = ENTRY / 2 + target.weight();
        if self.targets.insert(target) {
            self.bytes += cost;
        }
    }

    /// The directories with names seen in them.
    pub fn directories(&self) -> impl Iterator<Item = (&O, &HashMap<Box<[u8]>, Seen>)> {
        self.directories.iter()
    }

    /// The objects seen.
    pub fn targets(&self) -> impl Iterator<Item = &O> {
        self.targets.iter()
    }

    /// About how many bytes of memory this takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
