//! A layer whose tar is written while its blob is still being made: what the next step needs of it is known already.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::oci::{Descriptor, DiffId, ImageLayer};

/// Why there is no blob. It is told to each who waits for it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unfinished(String);

/// What becomes of a blob: shared by who makes it and all who wait for it.
#[derive(Debug, Default)]
struct Outcome {
    blob: Mutex<Option<Result<Descriptor, Unfinished>>>,
    told: Condvar,
}

/// A blob that is being made. Clones wait for the same one.
#[derive(Clone, Debug)]
pub struct Promise(Arc<Outcome>);

/// The duty to say what became of a blob. Dropped without a word, it says that the blob was given up.
#[derive(Debug)]
pub struct Duty(Option<Arc<Outcome>>);

/// A layer whose blob is being made.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The digest of its tar.
    pub diff_id: DiffId,
    /// Its blob.
    pub blob: Promise,
}

/// A blob that somebody is going to make.
pub fn promise() -> (Promise, Duty) {
    let outcome = Arc::<Outcome>::default();
    (Promise(outcome.clone()), Duty(Some(outcome)))
}

impl Promise {
    /// Waits for the blob.
    pub fn wait(&self) -> Result<Descriptor, Unfinished> {
        let mut blob = self.0.lock();
        loop {
            match &*blob {
                Some(outcome) => return outcome.clone(),
                None => blob = self.0.told.wait(blob).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// What became of it so far.
    pub fn now(&self) -> Option<Result<Descriptor, Unfinished>> {
        self.0.lock().clone()
    }
}

impl Pending {
    /// Waits for the blob.
    pub fn wait(&self) -> Result<ImageLayer, Unfinished> {
        Ok(ImageLayer { descriptor: self.blob.wait()?, diff_id: self.diff_id.clone(), origin: None })
    }
}

impl Duty {
    /// Says what became of the blob.
    pub fn done(mut self, outcome: anyhow::Result<Descriptor>) {
        self.tell(outcome.map_err(|error| Unfinished(format!("{error:#}"))));
    }

    fn tell(&mut self, outcome: Result<Descriptor, Unfinished>) {
        if let Some(shared) = self.0.take() {
            *shared.lock() = Some(outcome);
            shared.told.notify_all();
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        self.tell(Err(Unfinished("the layer was given up".to_owned())));
    }
}

impl Outcome {
    fn lock(&self) -> MutexGuard<'_, Option<Result<Descriptor, Unfinished>>> {
        self.blob.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::MediaType;

    #[test]
    fn all_who_wait_are_told_once_it_is_known() {
        let (promise, duty) = promise();
        assert!(promise.now().is_none());
        let blob = Descriptor::of(MediaType::Other("x".to_owned()), b"x");
        std::thread::scope(|scope| {
            let waiting = [promise.clone(), promise.clone()].map(|promise| scope.spawn(move || promise.wait()));
            duty.done(Ok(blob.clone()));
            for waiting in waiting {
                assert_eq!(waiting.join().expect("no panic").expect("a blob"), blob);
            }
        });
        assert!(promise.now().is_some_and(|now| now.is_ok()));
    }

    #[test]
    fn a_failure_and_a_duty_that_is_dropped_are_told_too() {
        let (failed, duty) = promise();
        duty.done(Err(anyhow::anyhow!("inner").context("outer")));
        assert_eq!(failed.wait().expect_err("failed").to_string(), "outer: inner");
        let (dropped, duty) = promise();
        drop(duty);
        assert!(dropped.wait().expect_err("dropped").to_string().contains("given up"));
    }
}
