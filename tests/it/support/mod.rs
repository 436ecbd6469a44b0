//! What the tests stand on: scratch directories, other programs, and who may use the machine at a time.

pub mod bases;
pub mod container;
pub mod executor;
pub mod image;
pub mod registry;
pub mod tree;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A new directory on the disk that holds the target directory; removed when dropped.
pub fn scratch() -> tempfile::TempDir {
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).unwrap();
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Runs a program to its end and returns what it printed; panics with its complaint when it fails.
pub fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (see scripts/install-deps.sh)"));
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {}\n{complaint}", done.status);
    String::from_utf8_lossy(&done.stdout).into_owned()
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
    let path: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("machine.lock");
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let lock = File::create(path).unwrap();
    match wanted {
        Machine::Shared => lock.lock_shared().unwrap(),
        Machine::Alone => lock.lock().unwrap(),
    }
    lock
}
