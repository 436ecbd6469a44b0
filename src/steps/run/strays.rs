//! Ends every process that a command left behind, where no PID namespace does it for us.
//!
//! The supervisor is a sub-reaper, so that each orphan below it becomes its child, also one that called setsid(2) or
//! forked twice. Killing the direct children therefore reaches everything in the end. Guarantees: no process is
//! signalled that is not a descendant. A child that has not been reaped keeps its process id, and a process group
//! outside our own session can only hold descendants, since sessions and groups are entered by fork(2) alone or from
//! within the same session. It does not promise to win against a process that forks and calls setsid(2) without pause:
//! then the time is up and the error says so.

use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpgid, getpgrp, getpid, kill_process, kill_process_group, wait};

use super::error::{Error, failed};
use super::signals::Events;

/// How long the killing may take; a process in an uninterruptible sleep does not die before it wakes.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait for a death before looking for new orphans.
const ROUND: Duration = Duration::from_millis(10);

/// Kills and reaps until this process has no child.
pub(super) fn end(events: &Events<'_>) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    while reap()? {
        let children = children()?;
        if Instant::now() > deadline {
            return Err(Error::StraysSurvive { count: children.len() });
        }
        children.into_iter().for_each(kill);
        events.wait_for_child(ROUND)?;
    }
    Ok(())
}

/// Reaps what is dead; whether a child is left.
fn reap() -> Result<bool, Error> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Ok(true),
            Err(Errno::CHILD) => return Ok(false),
            Err(why) => return Err(failed("wait")(why)),
        }
    }
}

/// Kills an unreaped child and its process group. The group dies at one stroke, so that its members cannot fork away.
fn kill(child: Pid) {
    if let Ok(group) = getpgid(Some(child))
        && group != getpgrp()
    {
        // Errors mean that the group is gone or may not be signalled; the child itself is tried in any case.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = kill_process(child, Signal::KILL);
}

/// The children of this process, dead ones included.
fn children() -> Result<Vec<Pid>, Error> {
    let own = getpid().as_raw_nonzero();
    match fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        Ok(list) => Ok(list.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()),
        Err(_) => children_by_stat(own.get()).map_err(failed("list the processes in /proc")),
    }
}

/// The same for kernels without `CONFIG_PROC_CHILDREN`.
fn children_by_stat(parent: i32) -> std::io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let pid = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
        if let (Some(pid), Ok(stat)) = (pid, fs::read(entry.path().join("stat")))
            && parent_of(&stat) == Some(parent)
        {
            found.push(pid);
        }
    }
    Ok(found)
}

/// The parent in a line of /proc/PID/stat: the second field after the name, which ends with the last `)`.
fn parent_of(stat: &[u8]) -> Option<i32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_found_whatever_the_name_of_the_process() {
        let check = |stat: &[u8], expected| assert_eq!(parent_of(stat), expected, "{}", stat.escape_ascii());
        check(b"12 (sh) S 7 12 12 0", Some(7));
        check(b"12 (a) S 1) R 7 12", Some(7));
        check(b"12 (a\xff b) Z 1 12", Some(1));
        check(b"12 (sh", None);
        check(b"12 (sh) S", None);
        check(b"", None);
    }

    #[test]
    fn a_child_is_found_without_the_list_of_the_kernel() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let by_stat = children_by_stat(getpid().as_raw_nonzero().get()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(by_stat.contains(&pid));
    }
}
