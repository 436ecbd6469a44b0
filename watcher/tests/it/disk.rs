//! File systems made for a test: a tmpfs, or a loop device on a sparse file. They go when the guard does.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A kind of file system to test on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tmpfs,
    Ext4,
    Xfs,
    Btrfs,
    /// An overlay with `nfs_export`, over ext4.
    Overlay,
    /// An overlay as a container has it, without `nfs_export`, over ext4.
    PlainOverlay,
}

/// A mounted file system with the directories `root`, `scratch` and `outside`, unmounted when dropped.
pub struct Disk {
    directory: TempDir,
    mounted: Vec<PathBuf>,
}

impl Disk {
    /// Makes and mounts one.
    pub fn new(kind: Kind) -> Disk {
        let directory = TempDir::new_in("/dev/shm").unwrap();
        let mut disk = Disk { directory, mounted: Vec::new() };
        match kind {
            Kind::Tmpfs => disk.mount("mnt", &["-t", "tmpfs", "tmpfs"]),
            Kind::Ext4 => disk.format("mnt", &["mkfs.ext4", "-q", "-F"]),
            Kind::Xfs => disk.format("mnt", &["mkfs.xfs", "-q", "-f"]),
            Kind::Btrfs => disk.format("mnt", &["mkfs.btrfs", "-q", "-f"]),
            Kind::Overlay => disk.overlay(",index=on,nfs_export=on"),
            Kind::PlainOverlay => disk.overlay(""),
        }
        for name in ["root", "scratch", "outside"] {
            std::fs::create_dir_all(disk.path(name)).unwrap();
        }
        disk
    }

    /// The path of `name` on the file system.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("mnt").join(name)
    }

    /// A path beside the file system.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Mounts something at a new directory `name` beside the file system, with the arguments of mount(8).
    pub fn mount(&mut self, name: &str, arguments: &[&str]) {
        let point = self.directory.path().join(name);
        self.mount_at(&point, arguments);
    }

    /// As `mount`, at any directory; it is made if need be.
    pub fn mount_at(&mut self, point: &Path, arguments: &[&str]) {
        std::fs::create_dir_all(point).unwrap();
        run(Command::new("mount").args(arguments).arg(point));
        self.mounted.push(point.to_path_buf());
    }

    /// Unmounts what was mounted last.
    pub fn unmount(&mut self) {
        run(Command::new("umount").arg(self.mounted.pop().unwrap()));
    }

    fn format(&mut self, name: &str, mkfs: &[&str]) {
        let image = self.directory.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
        run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image));
        self.mount(name, &["-o", "loop", image.to_str().unwrap()]);
    }

    fn overlay(&mut self, options: &str) {
        self.format("base", &["mkfs.ext4", "-q", "-F"]);
        let base = self.directory.path().join("base");
        for name in ["upper", "work", "lower/root/low"] {
            std::fs::create_dir_all(base.join(name)).unwrap();
        }
        std::fs::write(base.join("lower/root/low/file"), "lower").unwrap();
        let at = |name| base.join(name).display().to_string();
        let layers = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
        self.mount("mnt", &["-t", "overlay", "-o", &format!("{layers}{options}"), "overlay"]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for point in self.mounted.drain(..).rev() {
            let _ = Command::new("umount").arg("-l").arg(point).status();
        }
    }
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
