//! What the tests stand on: scratch directories, other programs, and who may use the machine at a time.

pub mod agent;
pub mod authority;
pub mod bases;
pub mod container;
pub mod executor;
pub mod gateway;
pub mod git;
pub mod image;
pub mod memory;
pub mod nginx;
pub mod registry;
pub mod tokens;
pub mod tree;
pub mod trial;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the tests keep what they make, on the disk that holds the target directory.
fn scratch_home() -> &'static Path {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(home).unwrap();
    home
}

/// A new directory on the disk that holds the target directory; removed when dropped.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(scratch_home()).unwrap()
}

/// Runs a program to its end and returns what it printed; panics with its complaint when it fails.
pub fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (see scripts/install-deps.sh)"));
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {}\n{complaint}", done.status);
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// The same with something to read, and bytes back.
pub fn piped(command: &mut Command, input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", done.status);
    done.stdout
}

/// How a test shares the machine with the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// It does not mind company.
    Shared,
    /// It measures, so it runs alone.
    Alone,
}

/// Waits for the machine; it is given back when the file is dropped. Holds between threads and between processes.
pub fn machine(wanted: Machine) -> File {
    let lock = File::create(scratch_home().join("machine.lock")).unwrap();
    match wanted {
        Machine::Shared => lock.lock_shared().unwrap(),
        Machine::Alone => lock.lock().unwrap(),
    }
    lock
}

/// Makes a pipe with a name, which nobody has open.
pub fn mkfifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
}
