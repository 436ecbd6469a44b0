//! Trying again after failures that may pass.

use super::Error;
use super::patience::Backoff;

/// Runs `attempt` until it succeeds, fails for good, or has failed once more often than `backoff` allows retries.
pub(super) async fn retry<T>(backoff: &Backoff, attempt: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    retry_if(backoff, Error::is_transient, attempt).await
}

/// The same with another idea of what may pass.
pub(super) async fn retry_if<T>(
    backoff: &Backoff,
    may_pass: impl Fn(&Error) -> bool,
    attempt: impl AsyncFn() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut failures = 0;
    loop {
        match attempt().await {
            Err(error) if failures < backoff.retries && may_pass(&error) => {
                failures += 1;
                pause(backoff, failures, &error).await;
            }
            result => return result,
        }
    }
}

/// Says what failed and waits before the next attempt.
pub(super) async fn pause(backoff: &Backoff, failures: u32, error: &Error) {
    let wait = backoff.wait(failures, error.retry_after());
    tracing::warn!("{error}; trying again in {:.1} s", wait.as_secs_f32());
    tokio::time::sleep(wait).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    fn attempts(failures: u32, status: u16) -> (u32, bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let count = AtomicU32::new(0);
        let result = runtime.block_on(retry(&Backoff::default(), async || {
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
