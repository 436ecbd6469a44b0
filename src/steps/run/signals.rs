//! What the supervisor waits for: a child that ended, or the end of its socket.
//!
//! Every signal is blocked for its whole life, so that none of them can end it before the step has been cleaned up; the
//! few that mean something are read from a signalfd(2). The command gets a clean state (`command`).

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::error::{Error, failed};

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A child may have ended.
    Child,
    /// The step is to be ended: the executor closed the socket or is dead, or this process was told to terminate.
    Cancel,
    /// The time is up.
    Timeout,
}

/// The sources of events.
pub(super) struct Events<'a> {
    signals: SignalFd,
    socket: &'a UnixStream,
}

impl<'a> Events<'a> {
    /// Blocks every signal of this process.
    pub(super) fn new(socket: &'a UnixStream) -> Result<Self, Error> {
        SigSet::all().thread_set_mask().map_err(failed("block the signals"))?;
        let heard: SigSet = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&heard, flags).map_err(failed("signalfd"))?;
        Ok(Events { signals, socket })
    }

    /// Waits for the next event of any kind.
    pub(super) fn wait(&self) -> Result<Event, Error> {
        let mut sources =
            [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN), PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        ready(&mut sources, PollTimeout::NONE)?;
        // After the order the executor sends nothing, so that a readable socket is one that has ended.
        match sources[0].any() {
            Some(true) => Ok(Event::Cancel),
            _ => self.heard(),
        }
    }

    /// Waits for a child to end, at most for `limit`, with no ear for cancelling: for the time when all is being ended.
    pub(super) fn wait_for_child(&self, limit: Duration) -> Result<Event, Error> {
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        let mut sources = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        match ready(&mut sources, limit)? {
            0 => Ok(Event::Timeout),
            _ => self.heard().map(|_| Event::Child),
        }
    }

    /// Takes every signal that is pending; one that asks for the end wins.
    fn heard(&self) -> Result<Event, Error> {
        let mut event = Event::Child;
        while let Some(signal) = self.signals.read_signal().map_err(failed("read a signal"))? {
            if signal.ssi_signo.cast_signed() != Signal::SIGCHLD as i32 {
                event = Event::Cancel;
            }
        }
        Ok(event)
    }
}

fn ready(sources: &mut [PollFd<'_>], limit: PollTimeout) -> Result<i32, Error> {
    loop {
        match poll(sources, limit) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return other.map_err(failed("poll")),
        }
    }
}

/// Unblocks every signal: for the command, right before it is executed.
pub(super) fn unblock() -> Result<(), Error> {
    SigSet::empty().thread_set_mask().map_err(failed("unblock the signals"))
}
