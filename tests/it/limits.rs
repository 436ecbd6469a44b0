//! What the limits of a pod do: where its control group has less processor time there are fewer threads, and a full disk is explained.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::executor::{Build, EXECUTOR};
use crate::support::{bases, run, scratch};

/// A control group with so much of one processor; version 1 or 2, whichever has processors here.
struct ProcessorLimit(PathBuf);

impl ProcessorLimit {
    fn of_one() -> ProcessorLimit {
        let one = Path::new("/sys/fs/cgroup/cpu");
        let top = if one.is_dir() { one } else { Path::new("/sys/fs/cgroup") };
        let dir = top.join(format!("silt-test-{}", std::process::id()));
        fs::create_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let (file, limit) = if one.is_dir() { ("cpu.cfs_quota_us", "100000") } else { ("cpu.max", "100000 100000") };
        fs::write(dir.join(file), limit).unwrap();
        ProcessorLimit(dir)
    }
}

impl Drop for ProcessorLimit {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).ok();
    }
}

#[test]
fn a_group_with_one_processor_has_one_thread() {
    let limit = ProcessorLimit::of_one();
    let group = limit.0.display().to_string();
    let build = || Build::new("FROM scratch\nCOPY a /\n").file("a", "a").arg("--no-push");
    let threads = |build: Build| build.succeed().timings()["totals"]["threads"].as_u64().unwrap();
    let all = std::thread::available_parallelism().unwrap().get() as u64;
    assert_eq!(threads(build()), all.min(16));
    assert_eq!(threads(build().through(&["sh", "-c", "echo 0 > \"$0\"/cgroup.procs && exec \"$@\"", &group])), 1);
}

/// A file system in memory of so many bytes.
struct Small(tempfile::TempDir);

impl Small {
    fn new(options: &str) -> Small {
        let dir = scratch();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "small"]).arg(dir.path()));
        Small(dir)
    }

    fn build(&self, dockerfile: &str) -> Output {
        let context = scratch();
        fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
        fs::write(context.path().join("big"), vec![7; 12 << 20]).unwrap();
        let mut command = Command::new(EXECUTOR);
        command.arg("--no-push").arg(format!("--context={}", context.path().display()));
        command.arg(format!("--build-root={}", self.0.path().display()));
        command.arg(format!("--build-context=base=oci-layout://{}:latest", bases::busybox().display()));
        command.output().unwrap()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0.path()).status().ok();
    }
}

#[test]
fn a_full_disk_is_explained() {
    let check = |options: &str, dockerfile: &str, said: &[&str]| {
        let small = Small::new(options);
        let output = small.build(dockerfile);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = stderr.lines().last().unwrap_or_default();
        let place = format!("the file system of {}", small.0.path().display());
        assert!(!output.status.success() && last.starts_with("error: Dockerfile:"), "{stderr}");
        for part in said.iter().chain(&[place.as_str(), "--build-root=DIR"]) {
            assert!(last.contains(part), "{part:?} is not in the last line of\n{stderr}");
        }
    };
    check("size=8m", "FROM scratch\nCOPY big /\n", &["Dockerfile:2:", "is full", "/big", "No space left on device"]);
    check("size=16m", "FROM base\nRUN cat /dev/zero > /big\n", &["Dockerfile:2:", "is full", "exited with code"]);
    check("size=16m,nr_inodes=20", "FROM base\nRUN true\n", &["Dockerfile:1:", "inodes left", "No space left"]);
}
