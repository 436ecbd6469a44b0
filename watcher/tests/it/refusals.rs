//! Where a superblock mark is not possible, the refusal names the call and says why.

use std::path::Path;
use std::process::Command;

use silt_watcher::{Options, Recorder, Refused};

use crate::disk::{Disk, Kind, run};

/// Opens a recorder that must be refused, and gives what it says.
fn refuse(root: &Path, scratch: &Path) -> (Refused, String) {
    let refused = Recorder::open(root, scratch, &Options::default()).expect_err("it must be refused");
    let text = refused.to_string();
    (refused, text)
}

#[test]
fn an_overlay_without_file_handles_is_refused() {
    let mut disk = Disk::new(Kind::Tmpfs);
    for name in ["lower", "upper", "work"] {
        std::fs::create_dir(disk.path(name)).unwrap();
    }
    let at = |name| disk.path(name).display().to_string();
    let layers = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
    disk.mount("merged", &["-t", "overlay", "-o", &layers, "overlay"]);
    let merged = disk.beside("merged");
    let scratch = merged.join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let (refused, text) = refuse(&merged, &scratch);
    assert!(matches!(refused, Refused::Call { ref source, .. } if source.raw_os_error() == Some(libc::EOPNOTSUPP)));
    assert!(text.starts_with("fanotify_mark(FAN_MARK_FILESYSTEM): "), "{text}");
    assert!(text.contains("overlay without nfs_export"), "{text}");
}

#[test]
fn a_btrfs_subvolume_is_refused() {
    let disk = Disk::new(Kind::Btrfs);
    run(Command::new("btrfs").args(["subvolume", "create"]).arg(disk.path("sub")));
    let scratch = disk.path("sub/scratch");
    std::fs::create_dir(&scratch).unwrap();
    let (refused, text) = refuse(&disk.path("sub"), &scratch);
    assert!(matches!(refused, Refused::Call { ref source, .. } if source.raw_os_error() == Some(libc::EXDEV)));
    assert!(text.contains("subvolume"), "{text}");
    assert!(matches!(refuse(&disk.path("root"), &scratch).0, Refused::Scratch { .. }));
}

#[test]
fn scratch_elsewhere_is_refused() {
    let (disk, other) = (Disk::new(Kind::Tmpfs), Disk::new(Kind::Tmpfs));
    let (refused, text) = refuse(&disk.path("root"), &other.path("scratch"));
    assert!(matches!(refused, Refused::Scratch { .. }));
    assert!(text.contains(other.path("scratch").to_str().unwrap()), "{text}");
}

#[test]
fn missing_directories_are_refused() {
    let disk = Disk::new(Kind::Tmpfs);
    let (root, scratch, missing) = (disk.path("root"), disk.path("scratch"), disk.path("missing"));
    std::fs::write(disk.path("file"), "").unwrap();
    for (root, scratch) in [(&missing, &scratch), (&root, &missing), (&disk.path("file"), &scratch)] {
        let (refused, text) = refuse(root, scratch);
        assert!(matches!(refused, Refused::File { call: "open", .. }), "{text}");
    }
}

#[test]
fn a_file_system_that_cannot_be_written_is_refused() {
    let disk = Disk::new(Kind::Tmpfs);
    run(Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path("")));
    let (refused, text) = refuse(&disk.path("root"), &disk.path("scratch"));
    assert!(matches!(refused, Refused::File { call: "mkdirat", .. }), "{text}");
}
