//! Runs the command in namespaces of its own.
//!
//! The supervisor stays in the host's namespaces and has one child: the first process of a new PID namespace (`init`
//! below, our own code), which enters new mount and IPC namespaces, starts the command, reaps orphans and exits when the
//! command has ended. Guarantees: the kernel kills every other process of the namespace before that exit is reported
//! (pid_namespaces(7)), and the mounts end with the last of them. The network namespace stays the host's, unless the step
//! asks for none.

use std::time::Instant;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, set_parent_process_death_signal, wait, waitpid,
};

use super::error::{Error, failed};
use super::mount::Network;
use super::mounts::{self, NetworkFiles};
use super::order::{Order, Report, receive_report, send_report};
use super::signals::{Event, Events};
use super::stubs::Stubs;
use super::{command, network, strays, supervisor};
use crate::sys;

/// Runs the order of an isolated step, in the supervisor.
pub(super) fn run(order: &Order, events: &Events<'_>) -> Report {
    let files = NetworkFiles::read();
    let root = &order.spec.root;
    let points = files.mount_points().chain(mounts::asked_points(&order.spec.surroundings)?);
    let stubs = Stubs::make(root, points).map_err(failed(format!("make mount points in {root:?}")))?;
    let report = in_namespaces(order, &files, events);
    stubs.remove().map_err(failed(format!("remove mount points from {root:?}")))?;
    report
}

fn in_namespaces(order: &Order, files: &NetworkFiles, events: &Events<'_>) -> Report {
    let (reader, writer) = std::io::pipe().map_err(failed("pipe"))?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(failed("unshare the PID namespace"))?;
    match sys::fork().map_err(failed("fork into the PID namespace"))? {
        sys::Fork::Child => {
            drop(reader);
            // If nobody reads, the supervisor is gone, and this process goes with it.
            let _ = send_report(writer, &init(order, files));
            sys::exit_now(0)
        }
        sys::Fork::Parent(init) => {
            drop(writer);
            let status = await_init(init, events)?;
            receive_report(reader).unwrap_or_else(|| Err(died(status)))
        }
    }
}

/// Waits for the namespace to end; cancelled, it makes it end.
fn await_init(init: Pid, events: &Events<'_>) -> Result<WaitStatus, Error> {
    loop {
        if let Some((_, status)) = waitpid(Some(init), WaitOptions::NOHANG).map_err(failed("waitpid"))? {
            return Ok(status);
        }
        if events.wait()? == Event::Cancel {
            end(init, events)?;
            return Err(Error::Cancelled { signal: 0 });
        }
    }
}

/// Kills the namespace by its first process, which ends after all the others.
fn end(init: Pid, events: &Events<'_>) -> Result<(), Error> {
    let deadline = Instant::now() + strays::PATIENCE;
    kill_process(init, Signal::KILL).map_err(failed("kill the step's PID namespace"))?;
    while waitpid(Some(init), WaitOptions::NOHANG).map_err(failed("waitpid"))?.is_none() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::StraysSurvive { count: 1 });
        }
        events.wait_for_child(left)?;
    }
    Ok(())
}

/// Process 1 of the namespace, from its start to the end of the command.
fn init(order: &Order, files: &NetworkFiles) -> Report {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed("set the parent death signal"))?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC).map_err(failed("unshare mounts and IPC"))?;
    if order.spec.surroundings.network == Network::None {
        network::leave()?;
    }
    mounts::enter(&order.spec.root, files, &order.spec.surroundings)?;
    supervisor::empty_stdin()?;
    let command = command::spawn(order)?;
    loop {
        if let Some((pid, status)) = wait(WaitOptions::empty()).map_err(failed("waitpid"))?
            && pid == command
        {
            return Ok(supervisor::outcome(status));
        }
    }
}

fn died(status: WaitStatus) -> Error {
    let how = match status.terminating_signal() {
        Some(signal) => format!("was killed by signal {signal} in its namespace"),
        None => "ended in its namespace without a report".to_owned(),
    };
    Error::SupervisorDied { how }
}
