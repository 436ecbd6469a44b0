//! The supervisor: the process that stands between the executor and one command.
//!
//! Guarantees: it reports once, after every process of the step is gone (or it says that some survive); it ends the step
//! when the executor dies or cancels; the command inherits nothing from it. It has one thread and no state.

use std::os::unix::net::UnixStream;

use rustix::fs::{Mode, OFlags};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, set_child_subreaper, setsid, umask, wait};

use super::error::{Error, failed};
use super::mounts::NetworkFiles;
use super::order::{Order, Report, receive_order, send_report};
use super::signals::{Event, Events};
use super::spec::{Isolation, Outcome};
use super::stubs::Stubs;
use super::{command, isolate, lend, strays};
use crate::sys;

/// The first argument that makes the executor a supervisor. It is not for users.
pub const SUPERVISE: &str = "silt-supervise";

/// The whole life of a supervisor; the result is its exit code, which means nothing to the executor.
///
/// To be called first thing in `main`, before any thread is started. Standard input is the executor's socket.
pub fn supervise_main() -> i32 {
    let Ok(socket) = take_socket() else { return 2 };
    let Ok(order) = receive_order(&socket) else { return 2 };
    let report = supervise(&order, &socket);
    i32::from(send_report(&socket, &report).is_err())
}

/// Takes the socket away from standard input, and makes sure that no descriptor can reach the command.
fn take_socket() -> std::io::Result<UnixStream> {
    sys::close_on_exec_from_3()?;
    let socket = UnixStream::from(fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?);
    socket.peer_addr()?;
    Ok(socket)
}

fn supervise(order: &Order, socket: &UnixStream) -> Report {
    sys::make_private_process().map_err(failed("make the supervisor private"))?;
    setsid().map_err(failed("setsid"))?;
    set_child_subreaper(Some(getpid())).map_err(failed("become a sub-reaper"))?;
    empty_stdin()?;
    umask(Mode::empty());
    let events = Events::new(socket)?;
    match order.spec.isolation {
        Isolation::Isolated => isolate::run(order, &events),
        Isolation::InPlace => lend::around(&order.spec, || run_here(order, &events)),
        Isolation::Chroot => lend::around(&order.spec, || run_with_stand_ins(order, &events)),
    }
}

/// Makes standard input empty: /dev/null if that is the real one, otherwise a pipe that has ended.
pub(super) fn empty_stdin() -> Result<(), Error> {
    let null = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let stdin = match rustix::fs::open("/dev/null", null, Mode::empty()) {
        Ok(file) if is_null(&file) => file,
        _ => rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed("pipe"))?.0,
    };
    rustix::stdio::dup2_stdin(stdin).map_err(failed("dup2 to standard input"))
}

fn is_null(file: impl std::os::fd::AsFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == rustix::fs::makedev(1, 3)
    })
}

/// Nothing can be mounted, but a command without /dev/null does not come far. It may have to: this is the last resort, so
/// that a kernel which permits no stand-ins is no reason to fail.
fn run_with_stand_ins(order: &Order, events: &Events<'_>) -> Report {
    let root = &order.spec.root;
    let stubs = Stubs::make(root, NetworkFiles::read().stand_ins()).ok();
    let report = run_here(order, events);
    stubs.map_or(Ok(()), Stubs::remove).map_err(failed(format!("remove devices and network files from {root:?}")))?;
    report
}

/// Runs the command as a child of this process, which inherits its orphans.
fn run_here(order: &Order, events: &Events<'_>) -> Report {
    let outcome = match command::spawn(order) {
        Ok(pid) => await_command(pid, events),
        Err(why) => Err(why),
    };
    strays::end(events)?;
    outcome
}

/// Reaps whatever ends until it is `command`. Cancelled, it says so; the executor knows which signal it was.
fn await_command(command: Pid, events: &Events<'_>) -> Report {
    loop {
        while let Some((pid, status)) = wait(WaitOptions::NOHANG).map_err(failed("waitpid"))? {
            if pid == command {
                return Ok(outcome(status));
            }
        }
        if events.wait()? == Event::Cancel {
            return Err(Error::Cancelled { signal: 0 });
        }
    }
}

/// How a process that waitpid(2) reported as ended did end.
pub(super) fn outcome(status: WaitStatus) -> Outcome {
    match status.terminating_signal() {
        Some(signal) => Outcome::Signaled(signal),
        None => Outcome::Exited(status.exit_status().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_real_null_device_is_taken_for_one() {
        let check = |path: &str, expected| assert_eq!(is_null(std::fs::File::open(path).unwrap()), expected, "{path}");
        check("/dev/null", true);
        check("/dev/zero", false);
        check("/proc/self/status", false);
    }
}
