//! Trying again after failures that may pass.

use std::time::Duration;

use super::Error;

/// How long to wait before the second, third and fourth attempt.
const DELAYS: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];

/// The longest wait that a registry can talk us into.
const LONGEST: Duration = Duration::from_secs(30);

/// Runs `attempt` until it succeeds, fails for good, or has failed four times.
pub(super) async fn retry<T>(attempt: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    for delay in DELAYS {
        match attempt().await {
            Err(error) if error.is_transient() => {
                let wait = error.retry_after().unwrap_or(delay).min(LONGEST);
                tracing::warn!("{error}; trying again in {:.1} s", wait.as_secs_f32());
                tokio::time::sleep(wait).await;
            }
            result => return result,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn attempts(failures: u32, status: u16) -> (u32, bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let count = AtomicU32::new(0);
        let result = runtime.block_on(retry(async || {
            let failed = count.fetch_add(1, Ordering::Relaxed) < failures;
            let retry_after = Some(Duration::from_millis(1));
            let error = Error::Status { what: String::new(), status, why: String::new(), retry_after };
            if failed { Err(error) } else { Ok(()) }
        }));
        (count.into_inner(), result.is_ok())
    }

    #[test]
    fn attempts_are_bounded() {
        assert_eq!(attempts(0, 500), (1, true));
        assert_eq!(attempts(2, 503), (3, true));
        assert_eq!(attempts(9, 429), (4, false));
        assert_eq!(attempts(9, 400), (1, false));
    }
}
