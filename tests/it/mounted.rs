//! File systems of a test's own, mounted in a mount namespace that ends with the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    Tmpfs,
    /// With a journal, on a loop device.
    Ext4,
}

/// Runs `work` with a new file system of that kind and a scratch directory on a tmpfs, both empty, both gone afterwards.
pub fn on(kind: FileSystem, work: impl FnOnce(&Path, &Path) + Send) {
    let in_namespace = || {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace needs root");
        run(Command::new("mount").args(["--make-rprivate", "/"]));
        let dir = tempfile::tempdir().expect("tempdir");
        let scratch = Mounted::new(dir.path().join("scratch"), Command::new("mount").args(["-t", "tmpfs", "tmpfs"]));
        let mounted = Mounted::new(dir.path().join("fs"), &mut mount(kind, &scratch.0));
        std::fs::create_dir(scratch.0.join("work")).expect("mkdir");
        work(&mounted.0, &scratch.0.join("work"));
    };
    let outcome = std::thread::scope(|scope| scope.spawn(in_namespace).join());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// The command that mounts such a file system, but for its last argument.
fn mount(kind: FileSystem, scratch: &Path) -> Command {
    let mut command = Command::new("mount");
    if kind == FileSystem::Tmpfs {
        command.args(["-t", "tmpfs", "tmpfs"]);
        return command;
    }
    let image = scratch.join("image");
    File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("an image");
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
    command.args(["-o", "loop"]).arg(image);
    command
}

/// A mount point, while it is one.
struct Mounted(PathBuf);

impl Mounted {
    fn new(place: PathBuf, mount: &mut Command) -> Self {
        std::fs::create_dir(&place).expect("mkdir");
        run(mount.arg(&place));
        Mounted(place)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.0));
    }
}

fn run(command: &mut Command) {
    assert!(command.status().expect("runs").success(), "{command:?}");
}
