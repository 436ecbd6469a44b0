//! The command itself: the last moments of our own code in the process that becomes it.
//!
//! Guarantees: it starts with default signal dispositions and no signal blocked, umask 022, in a session of its own, with
//! standard input empty, the executor's standard output and error and no other descriptor, and exactly the environment
//! and ids of the spec. It dies with its parent. Whatever fails on the way is reported as what it is, not as an exit code.

use std::ffi::{CString, OsStr, OsString};
use std::io::PipeReader;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, execve, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid};
use rustix::fs::Mode;
use rustix::process::{Pid, Signal, chdir, chroot, set_parent_process_death_signal, setsid, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use super::error::{Error, failed};
use super::mount::Security;
use super::order::{Order, Report, Task, receive_report, send_report};
use super::signals;
use super::spec::{Isolation, Outcome, RunSpec};
use crate::sys;

/// What Docker leaves to a container: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW
/// SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP.
const DOCKER_CAPABILITIES: CapabilitySet = CapabilitySet::from_bits_retain(0xa804_25fb);

/// The PATH that Docker gives to an image without one.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts the command as a child of this process and returns when it has been executed.
pub(super) fn spawn(order: &Order) -> Result<Pid, Error> {
    let (reader, writer) = std::io::pipe().map_err(failed("pipe"))?;
    match sys::fork().map_err(failed("fork"))? {
        sys::Fork::Child => {
            drop(reader);
            // Only a failure, or a probe, gets here and has something to say. Nobody is left to tell if the pipe fails.
            let _ = send_report(writer, &become_command(order));
            sys::exit_now(0)
        }
        sys::Fork::Parent(pid) => {
            drop(writer);
            started(reader, pid)
        }
    }
}

/// A pipe that ends without a word was closed by execve(2).
fn started(reader: PipeReader, pid: Pid) -> Result<Pid, Error> {
    match receive_report(reader) {
        Some(Err(why)) => Err(why),
        Some(Ok(_)) | None => Ok(pid),
    }
}

/// Returns only if there is nothing to execute, or if that failed.
fn become_command(order: &Order) -> Report {
    let spec = &order.spec;
    setsid().map_err(failed("setsid"))?;
    enter_root(spec)?;
    umask(Mode::from_raw_mode(0o022));
    let confined = spec.isolation == Isolation::Isolated && spec.surroundings.security == Security::Sandbox;
    if confined {
        drop_from_bounding_set().map_err(failed("drop capabilities from the bounding set"))?;
    }
    set_ids(spec)?;
    if confined {
        limit_capabilities().map_err(failed("limit the capabilities"))?;
    }
    // Changing ids clears this one, so it comes after.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed("set the parent death signal"))?;
    if order.task == Task::Probe {
        return Ok(Outcome::Exited(0));
    }
    sys::reset_signal_dispositions();
    signals::unblock()?;
    Err(execute(spec))
}

fn enter_root(spec: &RunSpec) -> Result<(), Error> {
    if spec.isolation == Isolation::Chroot {
        chroot(&spec.root).map_err(failed(format!("chroot {:?}", spec.root)))?;
        chdir("/").map_err(failed("chdir /"))?;
    }
    chdir(&spec.cwd)
        .map_err(|why| Error::WorkingDirectory { path: spec.cwd.to_string_lossy().into(), why: why.to_string() })
}

/// Ids that are right already are left alone: an executor that is not root may not set them, not even to the same.
fn set_ids(spec: &RunSpec) -> Result<(), Error> {
    let groups: Vec<Gid> = spec.groups.iter().copied().map(Gid::from_raw).collect();
    if getgroups().map_err(failed("getgroups"))? != groups {
        setgroups(&groups).map_err(failed(format!("setgroups {:?}", spec.groups)))?;
    }
    let (gid, uid) = (Gid::from_raw(spec.gid), Uid::from_raw(spec.uid));
    let now = getresgid().map_err(failed("getresgid"))?;
    if [now.real, now.effective, now.saved] != [gid; 3] {
        setresgid(gid, gid, gid).map_err(failed(format!("setresgid {gid}")))?;
    }
    let now = getresuid().map_err(failed("getresuid"))?;
    if [now.real, now.effective, now.saved] != [uid; 3] {
        setresuid(uid, uid, uid).map_err(failed(format!("setresuid {uid}")))?;
    }
    Ok(())
}

/// Capabilities are numbered from 0 without a gap; the first number that the kernel does not know ends the loop.
fn drop_from_bounding_set() -> rustix::io::Result<()> {
    for capability in (0..64).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
        match capability_is_in_bounding_set(capability) {
            Ok(true) if !DOCKER_CAPABILITIES.contains(capability) => remove_capability_from_bounding_set(capability)?,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

fn limit_capabilities() -> rustix::io::Result<()> {
    let permitted = capabilities(None)?.permitted & DOCKER_CAPABILITIES;
    set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() })?;
    clear_ambient_capability_set()
}

/// Executes the first candidate that is there, as execvp(3) does, but without its fall-back to a shell.
fn execute(spec: &RunSpec) -> Error {
    let Some(program) = spec.argv.first() else {
        return Error::NotFound { program: String::new() };
    };
    let (argv, env) = match (c_strings(&spec.argv), c_strings(&spec.env)) {
        (Some(argv), Some(env)) => (argv, env),
        _ => return cannot_execute(program, "a NUL byte in an argument or in the environment", 126),
    };
    let mut denied = None;
    for candidate in candidates(program, &spec.env) {
        let Ok(path) = CString::new(candidate.as_bytes()) else { continue };
        match execve(&path, &argv, &env) {
            Err(Errno::ENOENT | Errno::ENOTDIR) if missing(&candidate) => {}
            Err(Errno::ENOENT) => return cannot_execute(&candidate, "its interpreter or loader is missing", 127),
            Err(why @ (Errno::EACCES | Errno::ENOTDIR)) => denied = Some(cannot_execute(&candidate, why.desc(), 126)),
            Err(why) => return cannot_execute(&candidate, why.desc(), 126),
        }
    }
    denied.unwrap_or_else(|| not_found(program))
}

fn missing(path: &OsStr) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXISTS).is_err()
}

fn not_found(program: &OsStr) -> Error {
    match program.as_bytes().contains(&b'/') {
        true => cannot_execute(program, Errno::ENOENT.desc(), 127),
        false => Error::NotFound { program: program.to_string_lossy().into() },
    }
}

fn cannot_execute(program: &OsStr, why: &str, code: u8) -> Error {
    Error::Exec { program: program.to_string_lossy().into(), why: why.into(), code }
}

fn c_strings(strings: &[OsString]) -> Option<Vec<CString>> {
    strings.iter().map(|s| CString::new(s.as_bytes()).ok()).collect()
}

/// The paths to try for `program`: itself if it has a slash, otherwise one in each directory of PATH. An empty directory
/// in PATH is the working directory, as in every shell.
fn candidates(program: &OsStr, env: &[OsString]) -> Vec<OsString> {
    let name = program.as_bytes();
    if name.contains(&b'/') {
        return vec![program.to_owned()];
    }
    if name.is_empty() {
        return vec![];
    }
    let path = env.iter().rev().find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
    let directories = path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':');
    directories
        .map(|directory| if directory.is_empty() { &b"."[..] } else { directory })
        .map(|directory| OsStr::from_bytes(&[directory, name].join(&b'/')).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(program: &str, env: &[&str], expected: &[&str]) {
        let env: Vec<OsString> = env.iter().map(OsString::from).collect();
        assert_eq!(candidates(OsStr::new(program), &env), expected, "{program:?} {env:?}");
    }

    #[test]
    fn programs_are_looked_up_as_a_shell_does() {
        check("/bin/x", &["PATH=/a"], &["/bin/x"]);
        check("./x", &["PATH=/a"], &["./x"]);
        check("x", &["PATH=/a:/b c"], &["/a/x", "/b c/x"]);
        check("x", &["PATH=/old", "PATH=/new"], &["/new/x"]);
        check("x", &["PATH="], &["./x"]);
        check("x", &["PATH=/a::/b"], &["/a/x", "./x", "/b/x"]);
        check(
            "x",
            &["XPATH=/a"],
            &["/usr/local/sbin/x", "/usr/local/bin/x", "/usr/sbin/x", "/usr/bin/x", "/sbin/x", "/bin/x"],
        );
        check("", &["PATH=/a"], &[]);
    }
}
