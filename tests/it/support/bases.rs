//! Base images as OCI layouts with the tag `latest`, made once below the target directory by scripts/make-base.py.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{repository, run, scratch_home};

/// A small system of two layers around busybox, with every kind of entry and both kinds of whiteouts.
pub fn busybox() -> PathBuf {
    base("busybox", "busybox")
}

/// Debian's minimal system.
pub fn debian() -> PathBuf {
    base("debian", "debian")
}

/// The busybox base and `count` small files below `/files`; the first is `/files/p000/d00000/f000000`.
pub fn files(count: usize) -> PathBuf {
    base(&format!("files:{count}"), &format!("files-{count}"))
}

/// The busybox base and `count` names below `/names`, a hundred of them for each file, which takes less time to unpack.
pub fn names(count: usize) -> PathBuf {
    base(&format!("names:{count}"), &format!("names-{count}"))
}

/// Every base that was made so far.
pub fn all() -> Vec<PathBuf> {
    let made = fs::read_dir(home()).into_iter().flatten();
    made.map(|entry| entry.unwrap().path()).filter(|path| path.join("index.json").exists()).collect()
}

fn home() -> PathBuf {
    scratch_home().join("bases")
}

fn base(kind: &str, folder: &str) -> PathBuf {
    let layout = home().join(folder);
    run(Command::new(repository().join("scripts/make-base.py")).arg(kind).arg(&layout));
    layout
}
