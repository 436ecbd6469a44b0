//! A control group with a limit of memory, as a pod has one, for as long as the value lives; version 1 or 2, whichever has memory here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A group in which programs may use so much memory, page cache included.
pub struct MemoryLimit {
    dir: PathBuf,
    limit: u64,
}

impl MemoryLimit {
    /// A new group with this limit in bytes.
    pub fn new(limit: u64) -> MemoryLimit {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (one, two) = (Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup"));
        let (top, file) = if one.is_dir() { (one, "memory.limit_in_bytes") } else { (two, "memory.max") };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = top.join(format!("silt-test-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        fs::write(dir.join(file), limit.to_string()).unwrap();
        MemoryLimit { dir, limit }
    }

    /// The program that starts another one in the group.
    pub fn enter(&self) -> [String; 4] {
        let script = "echo 0 > \"$0\"/cgroup.procs && exec \"$@\"";
        ["sh".to_owned(), "-c".to_owned(), script.to_owned(), self.dir.display().to_string()]
    }

    /// The most that was in use at once, page cache included: something, and no more than the limit.
    pub fn peak(&self) -> u64 {
        let read = |name: &str| fs::read_to_string(self.dir.join(name)).ok()?.trim().parse::<u64>().ok();
        let peak = read("memory.max_usage_in_bytes").or_else(|| read("memory.peak")).unwrap();
        assert!((1 << 20..=self.limit).contains(&peak), "{peak} bytes: nothing ran in the group, or it has no limit");
        peak
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        fs::remove_dir(&self.dir).ok();
    }
}

#[test]
fn a_limit_is_felt() {
    let limit = MemoryLimit::new(16 << 20);
    let run = |size: &str| {
        let [shell, rest @ ..] = limit.enter();
        // A line that sort must hold whole.
        let script = format!("head -c {size} /dev/zero | sort > /dev/null");
        std::process::Command::new(shell).args(rest).args(["sh", "-c", &script]).status().unwrap().success()
    };
    assert!(run("1M"), "a little is allowed");
    assert!(!run("64M"), "much is not");
    assert!(limit.peak() > 15 << 20, "{}", limit.peak());
}
