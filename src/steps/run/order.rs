//! What the executor and the supervisor say to each other over their socket: one order there, one report back.
//!
//! An order is framed by its length, because the socket stays open behind it: its end tells the supervisor that the
//! executor is gone or wants the step to end. A report is all that comes back before the end.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::spec::{Outcome, RunSpec};

/// No order is as long as this, in bytes: execve(2) takes far less.
const LONGEST: u32 = 64 << 20;

/// What the supervisor shall do.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub spec: RunSpec,
    pub task: Task,
}

/// Whether there is a command.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Task {
    /// Run the command.
    Run,
    /// Do all that [`Task::Run`] does but the execve(2), to learn whether it would work.
    Probe,
}

/// How it went.
pub(super) type Report = Result<Outcome, Error>;

/// Sends `order`, framed.
pub(super) fn send_order(mut socket: &UnixStream, order: &Order) -> io::Result<()> {
    let json = serde_json::to_vec(order)?;
    let length = u32::try_from(json.len()).ok().filter(|n| *n <= LONGEST).ok_or(io::ErrorKind::InvalidInput)?;
    socket.write_all(&length.to_le_bytes())?;
    socket.write_all(&json)
}

/// Receives one order.
pub(super) fn receive_order(mut socket: &UnixStream) -> io::Result<Order> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut json = vec![0; length as usize];
    socket.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// Sends what there is to report, as the last thing on its way.
pub(super) fn send_report(mut to: impl Write, report: &Report) -> io::Result<()> {
    to.write_all(&serde_json::to_vec(report)?)
}

/// Reads to the end; `None` if there is no whole report.
pub(super) fn receive_report(mut from: impl Read) -> Option<Report> {
    let mut json = Vec::new();
    from.read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}
