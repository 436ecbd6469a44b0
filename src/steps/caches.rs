//! Where cache mounts are on this machine, who brings one that is not here yet, and how the steps ended that used one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Makes the directory that it is given the path of from what was kept of a cache elsewhere, by the cache's id; says whether there was
/// anything. If not, the directory is not there either.
pub type Restore<'a> = dyn Fn(&[u8], &Path) -> bool + 'a;

/// The caches of one build.
pub struct Caches<'a> {
    dir: PathBuf,
    restore: Option<Box<Restore<'a>>>,
    used: Mutex<BTreeMap<Vec<u8>, Used>>,
}

/// A cache that a step used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The directory that holds the cache as `data`, and its lock as `lock`.
    pub dir: PathBuf,
    /// How the steps ended that used it.
    pub ended: Ended,
}

/// How all steps ended that used a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// Each with success.
    Well,
    /// One failed: what it wrote may be half of something.
    Badly,
}

impl<'a> Caches<'a> {
    /// Those below `dir`, which is made when it is needed.
    pub fn below(dir: &Path) -> Self {
        Caches { dir: dir.to_owned(), restore: None, used: Mutex::default() }
    }

    /// The same, where `restore` is asked before a cache begins.
    #[must_use]
    pub fn restored_by(self, restore: impl Fn(&[u8], &Path) -> bool + 'a) -> Self {
        Caches { restore: Some(Box::new(restore)), ..self }
    }

    /// What was used, by id.
    pub fn used(&self) -> BTreeMap<Vec<u8>, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the directory `place` with the cache in `shown`, if it is to be had.
    pub(super) fn restore(&self, id: &[u8], place: &Path) -> bool {
        let Some(restore) = &self.restore else { return false };
        if fs::create_dir(place).is_err() {
            return false;
        }
        let is_there = restore(id, &place.join("shown"));
        if !is_there {
            // It is empty; what begins the cache says so if not.
            drop(fs::remove_dir(place));
        }
        is_there
    }

    pub(super) fn note(&self, id: &[u8], dir: &Path, ended: Ended) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = used.entry(id.to_vec()).or_insert_with(|| Used { dir: dir.to_owned(), ended });
        *entry = Used { dir: dir.to_owned(), ended: entry.ended.max(ended) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_that_failed_counts_for_all() {
        let caches = Caches::below(Path::new("/c"));
        let [a, b] = ["a", "b"].map(|id| (id.as_bytes(), Path::new("/c").join(id)));
        for (cache, ended) in [(&a, Ended::Well), (&b, Ended::Badly), (&a, Ended::Well), (&b, Ended::Well)] {
            caches.note(cache.0, &cache.1, ended);
        }
        let used: Vec<_> = caches.used().into_values().map(|used| used.ended).collect();
        assert_eq!(used, [Ended::Well, Ended::Badly]);
    }

    #[test]
    fn what_cannot_be_restored_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("new");
        let caches = Caches::below(dir.path()).restored_by(|_, _| false);
        assert!(!caches.restore(b"a", &place) && !place.exists());
        let caches = Caches::below(dir.path()).restored_by(|_, place| fs::create_dir(place).is_ok());
        assert!(caches.restore(b"a", &place) && place.join("shown").is_dir());
    }
}
