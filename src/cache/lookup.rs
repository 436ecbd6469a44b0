//! Many entries at once: those of a whole build, each asked for by its own key, whatever became of the others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use jiff::Timestamp;

use super::{Cache, Key, Place, Record};
use crate::oci::ImageLayer;

/// As many are asked for at once as a registry has connections.
const AT_ONCE: usize = 4;

/// What a lookup found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// What the step leaves is known.
    Hit(Box<Hit>),
    /// It is not.
    Miss(Miss),
}

/// What a step leaves, as a cache has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Its layer; `None` if it changes nothing. Its bytes may still be in the cache.
    pub layer: Option<ImageLayer>,
    /// When the step was carried out.
    pub created: Timestamp,
}

/// Why there is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No entry has the key.
    Absent,
    /// The entry is too old.
    Expired,
    /// The entry is broken, or is none.
    Unusable(String),
    /// The cache does not answer.
    Unreachable,
}

impl Cache<'_> {
    /// Looks for entries.
    pub fn find_all(&self, keys: &[&Key]) -> BTreeMap<Key, Found> {
        at_once(keys, |key| self.find(key)).into_iter().map(|(at, found)| (keys[at].clone(), found)).collect()
    }

    /// Looks for what is known of the newest entries of some places.
    pub fn newest_of_all(&self, places: &[&Place]) -> BTreeMap<Place, Record> {
        let found = at_once(places, |place| self.newest(place));
        found.into_iter().filter_map(|(at, record)| Some((places[at].clone(), record?))).collect()
    }
}

/// Does `work` for each item, a few at once.
fn at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<(usize, R)> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(items.len()) {
            scope.spawn(|| {
                while let at = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(item) = items.get(at)
                {
                    let result = work(item);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}
