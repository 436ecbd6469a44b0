//! The executor's side of a RUN: starts the supervisor, waits for its report, and can cancel it from another thread.
//!
//! Cancelling closes the socket. The supervisor takes that as the order to end everything, and the same happens when the
//! executor dies: there is one way to stop a step, and no process id that could be stale.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

use super::error::{Error, failed};
use super::mount::Surroundings;
use super::order::{Order, Task, receive_report, send_order};
use super::spec::{Isolation, Outcome, RunSpec};
use super::strays;
use super::supervisor::SUPERVISE;
use crate::log::foreground;

/// How long a cancelled supervisor may take to end the step before it is killed itself; longer than it gives the strays.
const PATIENCE: Duration = strays::PATIENCE.saturating_add(Duration::from_secs(2));

/// The program that is started as supervisor, held open: its file may be replaced or deleted while a build runs in `/`.
#[derive(Debug)]
pub struct Program(File);

/// `MFD_EXEC` of memfd_create(2).
const MFD_EXEC: u32 = 0x10;

impl Program {
    /// This very program. To be called early, before the build touches `/`.
    pub fn own() -> io::Result<Self> {
        Program::open(Path::new("/proc/self/exe"))
    }

    /// The program at `path`, which must call [`super::supervise_main`] when its first argument is [`SUPERVISE`].
    ///
    /// It is a sealed copy in memory where the kernel executes such. A hostile image can make its shell a link to
    /// /proc/self/exe, and so have us execute ourselves with its loader; what can then be reached and written by
    /// /proc/self/exe is the copy, not the file on the host (the way of CVE-2019-5736).
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Program(sealed_copy(&file).unwrap_or_else(|why| {
            tracing::debug!("steps are supervised by the file {}, not by a copy of it: {why}", path.display());
            file
        })))
    }

    /// The new process finds the descriptor under the same number: it is closed only by execve(2) itself.
    fn supervisor(&self) -> Command {
        let mut command = Command::new(format!("/proc/self/fd/{}", self.0.as_raw_fd()));
        command.arg0("silt").arg(SUPERVISE).env_clear();
        command
    }
}

/// A copy of `file` without a name, which nobody can change.
fn sealed_copy(file: &File) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know the second flag, later ones may want it.
    let memory = match memfd_create("silt", flags | MemfdFlags::from_bits_retain(MFD_EXEC)) {
        Err(Errno::INVAL) => memfd_create("silt", flags)?,
        made => made?,
    };
    let mut copy = File::from(memory);
    io::copy(&mut file.try_clone()?, &mut copy)?;
    fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    // A descriptor that can write is "text file busy" for execve(2).
    File::open(format!("/proc/self/fd/{}", copy.as_raw_fd()))
}

/// The handle by which any thread can end the step that runs now and forbid further ones.
#[derive(Debug)]
pub struct Control {
    program: Program,
    state: Mutex<State>,
    /// Told when no step runs any more.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: Option<UnixStream>,
    /// A supervisor was started and has not been waited for yet.
    busy: bool,
    cancelled: Option<i32>,
}

impl Control {
    /// A handle for steps whose supervisor is `program`.
    pub fn new(program: Program) -> Self {
        Control { program, state: Mutex::default(), idle: Condvar::new() }
    }

    /// Ends the running step and everything below it with SIGKILL, and makes [`run`] return [`Error::Cancelled`] now and
    /// for ever. It does not wait; `run` returns within seconds. `signal` is only remembered; the first one counts.
    pub fn cancel(&self, signal: i32) {
        let mut state = self.state();
        state.cancelled.get_or_insert(signal);
        if let Some(socket) = state.running.take() {
            // It fails only if the supervisor's end is gone, and then there is nothing to cancel.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Waits until no step runs, as [`run`] sees to within seconds after [`Control::cancel`].
    pub fn wait_idle(&self) {
        let waited = self.idle.wait_while(self.state(), |state| state.busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// The signal given to [`Control::cancel`], if it was called.
    pub fn cancelled(&self) -> Option<i32> {
        self.state().cancelled
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<(), Error> {
        self.cancelled().map_or(Ok(()), |signal| Err(Error::Cancelled { signal }))
    }

    fn end(&self) {
        let mut state = self.state();
        state.running = None;
        state.busy = false;
        self.idle.notify_all();
    }

    fn begin(&self, socket: &UnixStream) -> Result<(), Error> {
        let socket = socket.try_clone().map_err(failed("duplicate the supervisor's socket"))?;
        let mut state = self.state();
        match state.cancelled {
            Some(signal) => Err(Error::Cancelled { signal }),
            None => {
                state.running = Some(socket);
                state.busy = true;
                Ok(())
            }
        }
    }
}

/// Runs the command of `spec` to its end, and ends whatever it left running. One step at a time for one `control`.
pub fn run(spec: &RunSpec, control: &Control) -> Result<Outcome, Error> {
    let _terminal = foreground();
    carry_out(&Order { spec: spec.clone(), task: Task::Run }, control)
}

/// The best isolation that really works here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// What works.
    pub isolation: Isolation,
    /// Why nothing better does, in words for the log; `None` where there is nothing better.
    pub refused: Option<String>,
}

/// Finds the isolation for steps in `root` by doing all that a step does but the execve(2).
///
/// `root` is left as it was. The error is that of the plainest way, chroot(2).
pub fn detect(root: &Path, control: &Control) -> Result<Detected, Error> {
    if root == Path::new("/") {
        return Ok(Detected { isolation: Isolation::InPlace, refused: None });
    }
    let refused = match probe(root, Isolation::Isolated, control) {
        Ok(_) => return Ok(Detected { isolation: Isolation::Isolated, refused: None }),
        Err(cancelled @ Error::Cancelled { .. }) => return Err(cancelled),
        Err(why) => format!("no namespaces of its own: {why}"),
    };
    probe(root, Isolation::Chroot, control)?;
    Ok(Detected { isolation: Isolation::Chroot, refused: Some(refused) })
}

fn probe(root: &Path, isolation: Isolation, control: &Control) -> Result<Outcome, Error> {
    let (root, cwd, surroundings) = (root.to_owned(), "/".into(), Surroundings::default());
    let spec =
        RunSpec { root, argv: vec![], env: vec![], cwd, uid: 0, gid: 0, groups: vec![], isolation, surroundings };
    carry_out(&Order { spec, task: Task::Probe }, control)
}

fn carry_out(order: &Order, control: &Control) -> Result<Outcome, Error> {
    let (socket, theirs) = UnixStream::pair().map_err(failed("socketpair for the supervisor"))?;
    control.begin(&socket)?;
    let report = supervise(order, control, &socket, theirs);
    control.end();
    control.check()?;
    report
}

fn supervise(order: &Order, control: &Control, socket: &UnixStream, theirs: UnixStream) -> Result<Outcome, Error> {
    let child = start(&control.program, theirs)?;
    // A supervisor that is gone is found out by the missing report.
    let _ = send_order(socket, order);
    let report = receive_report(socket);
    let status = reap(child, control).map_err(failed("wait for the supervisor"))?;
    report.unwrap_or_else(|| Err(Error::SupervisorDied { how: describe(status) }))
}

/// Only the new process keeps `theirs`, so that the socket ends with it.
fn start(program: &Program, theirs: UnixStream) -> Result<Child, Error> {
    program
        .supervisor()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .map_err(failed("start the step's supervisor"))
}

/// The report is in or never will be, so the supervisor is about to exit; a cancelled one has to kill first.
fn reap(mut child: Child, control: &Control) -> io::Result<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while control.cancelled().is_some() && Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if control.cancelled().is_some() {
        child.kill()?;
    }
    child.wait()
}

fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("was killed by signal {signal}"),
        None => format!("ended without a report, exit code {}", status.code().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn the_copy_has_the_bytes_of_the_file_and_keeps_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"program").unwrap();
        let copy = sealed_copy(&File::open(file.path()).unwrap()).unwrap();
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        let written = fs::OpenOptions::new().write(true).open(&path).and_then(|mut again| again.write_all(b"x"));
        assert_eq!(written.unwrap_err().raw_os_error(), Some(Errno::PERM.raw_os_error()));
        assert!(fs::OpenOptions::new().write(true).truncate(true).open(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"program");
        assert!(fs::read_link(&path).unwrap().starts_with("/memfd:silt (deleted)"));
    }
}
