//! How far a blob is: for whoever waits for its bytes, and for the log, which hears of it now and then.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::log::Transfer;

/// A transfer that takes longer is spoken of this often.
const INTERVAL: Duration = Duration::from_secs(10);

/// A transfer of a known number of bytes.
pub(super) struct Progress {
    what: String,
    shown: Transfer,
    done: AtomicU64,
    total: u64,
    begun: Instant,
    spoken: Mutex<Instant>,
}

impl Progress {
    /// A transfer of `total` bytes that begins now; `what` says in the log which.
    pub(super) fn begin(what: String, total: u64) -> Self {
        tracing::debug!("{what}: {total} bytes");
        let (now, shown) = (Instant::now(), Transfer::begin(&what, total));
        Progress { what, shown, done: AtomicU64::new(0), total, begun: now, spoken: Mutex::new(now) }
    }

    /// The number of bytes that passed.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.done() >= self.total
    }

    /// Sets the number of bytes that passed, where a transfer goes on elsewhere or from the start.
    pub(super) fn set(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.shown.at(done);
    }

    /// Counts bytes that pass.
    pub(super) fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.shown.at(done);
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        if spoken.elapsed() >= INTERVAL {
            *spoken = Instant::now();
            let percent = done.saturating_mul(100).checked_div(self.total).unwrap_or(100);
            tracing::info!("{}: {done} of {} bytes ({percent} %)", self.what, self.total);
        }
    }

    /// Says that all is done.
    pub(super) fn finish(&self) {
        let took = self.begun.elapsed().as_secs_f32();
        tracing::info!("{}: done, {} bytes in {took:.1} s", self.what, self.total);
    }
}
