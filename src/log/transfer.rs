//! How far something is that takes time, for whoever looks on. Nobody may: then it costs nothing.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Span;
use tracing::field::Empty;

pub(super) const TARGET: &str = "silt::transfer";
pub(super) const TRANSFER: &str = "transfer";
pub(super) const FOREGROUND: &str = "foreground";
pub(super) const DONE: &str = "done";

/// Bytes that go from one place to another, until it is dropped.
#[derive(Debug)]
pub struct Transfer {
    span: Span,
    done: AtomicU64,
}

impl Transfer {
    /// One of `total` bytes that begins now; `what` says which, with a verb first.
    pub fn begin(what: &str, total: u64) -> Transfer {
        let span = tracing::info_span!(target: TARGET, parent: None, TRANSFER, what, total, done = Empty);
        Transfer { span, done: AtomicU64::new(0) }
    }

    /// Says that `done` bytes have passed.
    pub fn at(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.span.record(DONE, done);
    }

    /// Says so of what is read from `inner`.
    pub fn reading<R: Read>(&self, inner: R) -> Reading<'_, R> {
        Reading { transfer: self, inner }
    }
}

/// A reader whose bytes are those of a transfer.
#[derive(Debug)]
pub struct Reading<'t, R> {
    transfer: &'t Transfer,
    inner: R,
}

impl<R: Read> Read for Reading<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.transfer.at(self.transfer.done.load(Ordering::Relaxed) + count as u64);
        Ok(count)
    }
}

/// Leaves the terminal to somebody else, until it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Foreground(#[expect(dead_code, reason = "what it does is to live")] Span);

/// The terminal belongs to a command from now on.
pub fn foreground() -> Foreground {
    Foreground(tracing::info_span!(target: TARGET, parent: None, FOREGROUND))
}
