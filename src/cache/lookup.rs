//! Many entries at once: those of a whole build, each asked for by its own key, whatever became of the others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

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

/// How long is waited for a registry, which a build can do without: much shorter than for one that it needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For one entry.
    pub(super) each: Duration,
    /// As much longer for all of them together as there are.
    pub(super) more: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { each: Duration::from_secs(10), more: Duration::from_secs(1) }
    }
}

impl Patience {
    /// When to stop looking for so many.
    fn end(&self, entries: usize) -> Instant {
        Instant::now() + self.each + self.more * u32::try_from(entries).unwrap_or(u32::MAX)
    }

    /// When to stop looking for one of them.
    pub(super) fn end_of_one(&self, until: Instant) -> Instant {
        until.min(Instant::now() + self.each)
    }
}

impl Cache<'_> {
    /// Looks for entries.
    pub fn find_all(&self, keys: &[&Key]) -> BTreeMap<Key, Found> {
        let until = self.patience.end(keys.len());
        at_once(keys, |key| self.find(key, until)).into_iter().map(|(at, found)| (keys[at].clone(), found)).collect()
    }

    /// Looks for what is known of the newest entries of some places.
    pub fn newest_of_all(&self, places: &[&Place]) -> BTreeMap<Place, Record> {
        let until = self.patience.end(places.len());
        let found = at_once(places, |place| self.newest(place, until));
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use jiff::SignedDuration;

    use super::super::{Repo, key};
    use super::*;
    use crate::registry::{Client, Policy};
    use crate::store::BlobDir;

    #[test]
    fn a_registry_that_never_answers_is_given_up_soon() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = silent.local_addr().expect("an address");
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = BlobDir::create(dir.path()).expect("blobs");
        let client = Client::new(Policy::default()).expect("a client");
        let repo: Repo = format!("{address}/a/cache").parse().expect("a repository");
        let mut cache = Cache::new(repo, SignedDuration::from_hours(1), &client, &blobs);
        cache.patience = Patience { each: Duration::from_millis(200), more: Duration::ZERO };
        let keys: Vec<Key> = (0..40)
            .map(|n: u32| key(&[super::super::Part::new(super::super::Kind::Option, "n", n.to_le_bytes())]))
            .collect();
        let started = Instant::now();
        let found = cache.find_all(&keys.iter().collect::<Vec<_>>());
        let place = Place { names: ["Dockerfile", "0", "RUN"].map(str::to_owned), number: 0 };
        assert_eq!(cache.newest_of_all(&[&place]).len(), 0);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert!(found.len() == 40 && found.values().all(|found| *found == Found::Miss(Miss::Unreachable)));
        assert!(cache.is_silent(), "nothing is sent there either");
    }
}
