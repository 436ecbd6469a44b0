//! The clock that file systems stamp changes with, and the rule that makes an equal `ctime` mean "unchanged".
//!
//! The kernel's coarse clock advances by ticks of 1 to 10 ms; before Linux 6.13 every `ctime` is a tick of it, so two changes
//! within one tick have one stamp. A change made after this clock was read to say `t` is stamped `t` or later. So a record
//! older than `t` shows every such change; a record of `t` or later shows nothing and its file must be compared ("racily
//! clean" in git's index). clock_gettime(2), `CLOCK_REALTIME_COARSE`.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::rootfs::Timestamp;

/// A wait for the next tick that takes longer has another cause: a clock that was set back.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Ticks are longer than this.
const PAUSE: Duration = Duration::from_micros(500);

/// The length of the ticks that stamps are compared in, in nanoseconds: 1 for what the disk says. Tests play an old kernel
/// with longer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick(pub u32);

impl Tick {
    /// The start of the tick that `time` is in.
    pub fn of(self, time: Timestamp) -> Timestamp {
        Timestamp { nsec: time.nsec - time.nsec % self.0.max(1), ..time }
    }
}

/// What the clock said before a step began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Whatever the step changes is stamped with this or later.
    pub since: Timestamp,
    /// How long was waited for it.
    pub waited: Duration,
}

impl Guard {
    /// Begins at once. Files whose record is of the current tick will have to be compared.
    pub fn now() -> Guard {
        Guard { since: now(), waited: Duration::ZERO }
    }

    /// Whether a record whose newest stamp is `newest` is older than what the step changes.
    pub fn is_past(&self, newest: Timestamp) -> bool {
        !is_racy(newest, self.since, Tick(1))
    }

    /// Waits for the first tick after `newest`, the newest stamp of the record, so that no record is of the step's ticks. A
    /// stamp of the future is not waited for.
    pub fn past(newest: Timestamp, tick: Tick) -> Guard {
        let started = Instant::now();
        loop {
            let (since, waited) = (now(), started.elapsed());
            if !must_wait(newest, since, waited, tick) {
                return Guard { since, waited };
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn must_wait(newest: Timestamp, now: Timestamp, waited: Duration, tick: Tick) -> bool {
    is_racy(newest, now, tick) && waited < LONGEST_WAIT
}

/// Whether a file that is recorded with `ctime` may have been changed after `since` and still have it.
pub fn is_racy(ctime: Timestamp, since: Timestamp, tick: Tick) -> bool {
    tick.of(ctime) >= tick.of(since)
}

/// The coarse clock. Without it every record counts as too young to be trusted.
fn now() -> Timestamp {
    match clock_gettime(ClockId::CLOCK_REALTIME_COARSE) {
        Ok(time) => Timestamp { sec: time.tv_sec(), nsec: u32::try_from(time.tv_nsec()).unwrap_or_default() },
        Err(_) => Timestamp { sec: i64::MIN, nsec: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sec: i64, millis: u32) -> Timestamp {
        Timestamp { sec, nsec: millis * 1_000_000 }
    }

    #[test]
    fn a_record_of_the_current_tick_is_racy() {
        let check = |newest, now, tick, expected| assert_eq!(is_racy(newest, now, Tick(tick)), expected, "{newest:?}");
        check(at(5, 12), at(5, 13), 1, false);
        check(at(5, 13), at(5, 13), 1, true);
        check(at(5, 14), at(5, 13), 1, true);
        check(at(5, 12), at(5, 19), 10_000_000, true);
        check(at(5, 12), at(5, 20), 10_000_000, false);
        check(at(5, 999), at(6, 0), 10_000_000, false);
        check(at(-1, 999), at(0, 0), 10_000_000, false);
        check(at(5, 0), at(5, 999), 1_000_000_000, true);
    }

    #[test]
    fn a_stamp_of_the_future_is_not_waited_for_without_end() {
        let millis = Duration::from_millis;
        let check = |newest, waited, expected| {
            assert_eq!(must_wait(newest, at(5, 13), millis(waited), Tick(1)), expected, "{newest:?} {waited}");
        };
        check(at(5, 13), 0, true);
        check(at(5, 12), 0, false);
        check(at(5, 13), 99, true);
        check(at(9, 0), 99, true);
        check(at(9, 0), 100, false);
    }

    #[test]
    fn a_wait_ends_in_another_tick() {
        let tick = Tick(10_000_000);
        let newest = now();
        let guard = Guard::past(newest, tick);
        assert!(!is_racy(newest, guard.since, tick));
        assert!(guard.waited < LONGEST_WAIT, "{guard:?}");
        let future = Timestamp { sec: newest.sec + 3600, nsec: 0 };
        assert!(Guard::past(future, tick).waited >= LONGEST_WAIT);
    }
}
