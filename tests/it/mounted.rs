//! File systems of a test's own, mounted in a mount namespace that ends with the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    Tmpfs,
    /// With a journal, on a loop device, as the next three.
    Ext4,
    /// The old inodes, which have no room for more than seconds.
    Ext4OfWholeSeconds,
    Xfs,
    Btrfs,
    /// With everything in the upper directory, on ext4.
    Overlay,
}

/// Runs `work` with a new file system of that kind and a scratch directory on a tmpfs, both empty, both gone afterwards.
pub fn on(kind: FileSystem, work: impl FnOnce(&Path, &Path) + Send) {
    privately(|dir| {
        let scratch = Mounted::new(dir.join("scratch"), Command::new("mount").args(["-t", "tmpfs", "tmpfs"]));
        let mounted = Mounted::new(dir.join("fs"), &mut mount(kind, &scratch.0));
        fs::create_dir(scratch.0.join("work")).expect("mkdir");
        match kind {
            FileSystem::Overlay => {
                fs::create_dir(mounted.0.join("lower")).expect("mkdir");
                let merged = overlay(&mounted.0);
                work(&merged.0, &scratch.0.join("work"));
            }
            _ => work(&mounted.0, &scratch.0.join("work")),
        }
    });
}

/// Runs `work` with an empty directory, in a mount namespace of its own.
pub fn privately<T: Send>(work: impl FnOnce(&Path) -> T + Send) -> T {
    let in_namespace = || {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace needs root");
        run(Command::new("mount").args(["--make-rprivate", "/"]));
        let dir = tempfile::tempdir().expect("tempdir");
        work(dir.path())
    };
    let outcome = std::thread::scope(|scope| scope.spawn(in_namespace).join());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// An overlay at `merged` in `dir`, over its `lower`, which must be there, with an empty upper directory.
pub fn overlay(dir: &Path) -> Mounted {
    let made = |name: &str| {
        let path = dir.join(name);
        fs::create_dir(&path).expect("mkdir");
        path.display().to_string()
    };
    let (lower, upper, work) = (dir.join("lower"), made("upper"), made("workdir"));
    let options = format!("lowerdir={},upperdir={upper},workdir={work}", lower.display());
    Mounted::new(dir.join("merged"), Command::new("mount").args(["-t", "overlay", "-o", &options, "overlay"]))
}

/// The command that mounts such a file system, but for its last argument.
fn mount(kind: FileSystem, scratch: &Path) -> Command {
    mount_sized(kind, scratch, 1)
}

/// The same, with a disk of so many times the usual size. `scratch` is for its `image`.
pub fn mount_sized(kind: FileSystem, scratch: &Path, times: u64) -> Command {
    let mut command = Command::new("mount");
    let (megabytes, make): (u64, &[&str]) = match kind {
        FileSystem::Tmpfs => {
            command.args(["-t", "tmpfs", "tmpfs"]);
            return command;
        }
        FileSystem::Ext4 | FileSystem::Overlay => (64, &["mkfs.ext4", "-q", "-F"]),
        FileSystem::Ext4OfWholeSeconds => (64, &["mkfs.ext4", "-q", "-F", "-I", "128"]),
        FileSystem::Xfs => (320, &["mkfs.xfs", "-q"]),
        FileSystem::Btrfs => (128, &["mkfs.btrfs", "-q"]),
    };
    let image = scratch.join("image");
    File::create(&image).and_then(|file| file.set_len((megabytes * times) << 20)).expect("an image");
    run(Command::new(make[0]).args(&make[1..]).arg(&image));
    command.args(["-o", "loop"]).arg(image);
    command
}

/// A mount point, while it is one.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts at a new directory.
    pub fn new(place: PathBuf, mount: &mut Command) -> Self {
        fs::create_dir(&place).expect("mkdir");
        Mounted::over(&place, mount)
    }

    /// Mounts over what stands there.
    pub fn over(place: &Path, mount: &mut Command) -> Self {
        run(mount.arg(place));
        Mounted(place.to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The same, elsewhere.
    pub fn moved_to(mut self, place: &Path) -> Self {
        run(Command::new("mount").arg("--move").arg(&self.0).arg(place));
        self.0 = place.to_owned();
        self
    }
}

impl Drop for Mounted {
    /// Another test's child has the descriptors of this process until it becomes its program, and they keep the mount busy.
    fn drop(&mut self) {
        let is_done = || Command::new("umount").arg(&self.0).status().expect("runs").success();
        let is_done = (0..100).any(|_| {
            let is_done = is_done();
            if !is_done {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            is_done
        });
        assert!(is_done || std::thread::panicking(), "{:?} cannot be unmounted", self.0);
    }
}

fn run(command: &mut Command) {
    assert!(command.status().expect("runs").success(), "{command:?}");
}
