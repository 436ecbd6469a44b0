//! How long to wait: for a peer, and before the next attempt.
//!
//! There is no limit on how long a transfer takes that goes on; a peer that went silent is given up.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Limits on silence. Durations are counted anew with every byte that passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// Until the next bytes of a transfer pass, and until a small request is answered.
    pub stall: Duration,
    /// Until an upload is answered whose bytes are all sent; a registry may copy them to an object store first.
    pub commit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let [connect, stall, commit] = [10, 60, 300].map(Duration::from_secs);
        Timeouts { connect, stall, commit }
    }
}

/// The waits between attempts: each four times the one before, half of it chance, none above `longest`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// How often a request is tried again that failed in a way that may pass.
    pub retries: u32,
    /// The wait before the second attempt.
    pub first: Duration,
    /// The longest wait, also where the registry asks for a longer one (`Retry-After`).
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { retries: 3, first: Duration::from_millis(250), longest: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait after `failures` attempts (1 or more), where the registry asked for `asked`.
    pub(super) fn wait(&self, failures: u32, asked: Option<Duration>) -> Duration {
        if let Some(asked) = asked {
            return asked.min(self.longest);
        }
        let full = self.first.saturating_mul(4_u32.saturating_pow(failures.saturating_sub(1))).min(self.longest);
        full.mul_f64(0.5 + chance() / 2.0)
    }
}

/// A number from 0 to 1 that differs between processes, so that many builds do not ask again in step.
fn chance() -> f64 {
    let random = std::hash::RandomState::new().build_hasher().finish();
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_differ_and_end() {
        let backoff = Backoff::default();
        let within = |failures, low: u64, high: u64| {
            let wait = backoff.wait(failures, None).as_millis() as u64;
            assert!((low..=high).contains(&wait), "{failures}: {wait}");
        };
        within(1, 125, 250);
        within(2, 500, 1000);
        within(3, 2000, 4000);
        within(40, 15000, 30000);
        assert!((0..20).any(|_| backoff.wait(1, None) != backoff.wait(1, None)));
        assert_eq!(backoff.wait(1, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(backoff.wait(1, Some(Duration::from_secs(7000))), Duration::from_secs(30));
    }
}
