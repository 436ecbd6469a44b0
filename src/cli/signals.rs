//! SIGTERM and SIGINT end the build: the running step dies, nothing more is published, timings are written.
//!
//! The signals are blocked in every thread and taken by one that waits for them (sigwait(3)), so there is no handler.

use std::io;

use nix::sys::signal::{SigSet, Signal};

/// Blocks SIGTERM and SIGINT in this thread and those it starts from now on; call it before any other thread runs.
///
/// # Errors
/// Those of `pthread_sigmask(3)`.
pub fn block() -> io::Result<SigSet> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block()?;
    Ok(signals)
}

/// Starts the thread that waits for the first of `signals` and calls `stop` with the exit status that a shell would
/// show for it: 128 and its number. `stop` is expected to end the process.
///
/// # Errors
/// Those of starting a thread.
pub fn on_first(signals: SigSet, stop: impl FnOnce(i32) + Send + 'static) -> io::Result<()> {
    let wait = move || {
        if let Ok(signal) = signals.wait() {
            stop(128 + signal as i32);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}
