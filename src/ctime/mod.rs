//! `ctime`, and when an equal one means that nothing changed: the file systems where it tells of every change ([`ctime_tells`]),
//! and the clock that it is taken from ([`Guard`], [`is_racy`]).
//!
//! It compares no files: whoever relies on `ctime` asks here first.

mod clock;
mod trust;

pub use clock::{Guard, Tick, is_racy};
pub use trust::{Distrust, ctime_tells, ctime_tells_by};
