//! Where `ctime` tells of every change, and what happens where it does not: a page of a shared mapping is read and then
//! stored to.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use silt::rootfs::Root;
use silt::snapshot::{Distrust, Guard, Tick, ctime_tells};

use crate::mapper::Mapper;
use crate::mounted::{FileSystem, Mounted, on, overlay};

/// Whether `ctime` moves with a store to a page that was read; the content does.
fn store_moves_ctime(dir: &Path) -> bool {
    let file = dir.join("mapped");
    fs::write(&file, "a").expect("write");
    let ctime = || fs::metadata(&file).map(|meta| (meta.ctime(), meta.ctime_nsec())).expect("stat");
    let before = ctime();
    let newest = silt::rootfs::Timestamp { sec: before.0, nsec: before.1 as u32 };
    Guard::past(newest, Tick(1));
    Mapper::start().read_then_store(&file, b'b').expect("store");
    assert_eq!(fs::read(&file).expect("read"), b"b");
    before != ctime()
}

/// What is said of a root and a scratch directory below `dir`.
fn verdict(dir: &Path) -> Result<(), Distrust> {
    let (root, scratch) = (dir.join("root"), dir.join("scratch"));
    fs::create_dir_all(&root).expect("mkdir");
    fs::create_dir_all(&scratch).expect("mkdir");
    let verdict = ctime_tells(&Root::open(&root).expect("root"), &scratch);
    assert_eq!(fs::read_dir(&scratch).expect("readdir").count(), 0, "nothing is left");
    verdict
}

#[test]
fn ctime_tells_of_a_store_on_the_file_systems_of_the_list() {
    for kind in [FileSystem::Ext4, FileSystem::Xfs, FileSystem::Btrfs, FileSystem::Overlay] {
        on(kind, |dir, _| {
            assert!(store_moves_ctime(dir), "{kind:?}");
            verdict(dir).unwrap_or_else(|why| panic!("{kind:?}: {why}"));
        });
    }
}

#[test]
fn a_store_on_tmpfs_leaves_no_trace() {
    on(FileSystem::Tmpfs, |dir, _| {
        assert!(!store_moves_ctime(dir), "the content changed and ctime did not");
        assert!(matches!(verdict(dir), Err(Distrust::FileSystem(_))));
    });
}

#[test]
fn an_overlay_is_as_good_as_what_it_writes_to() {
    on(FileSystem::Tmpfs, |dir, _| {
        fs::create_dir_all(dir.join("lower")).expect("mkdir");
        let merged = overlay(dir);
        assert!(!store_moves_ctime(merged.path()));
        assert!(matches!(verdict(merged.path()), Err(Distrust::Upper(_))));
    });
}

/// As in a container: the mount table names a path of the host.
#[test]
fn an_overlay_whose_upper_directory_cannot_be_seen_is_tested() {
    let hidden = |kind: FileSystem, expected: fn(Result<(), Distrust>) -> bool| {
        on(kind, |dir, copy| {
            fs::create_dir_all(dir.join("lower")).expect("mkdir");
            let place = copy.join("merged");
            fs::create_dir(&place).expect("mkdir");
            let merged = overlay(dir).moved_to(&place);
            // Another directory's files now stand where the upper directory is said to be.
            let cover = Mounted::over(dir, Command::new("mount").args(["-t", "ramfs", "ramfs"]));
            assert!(expected(verdict(merged.path())), "{kind:?}");
            drop(cover);
        });
    };
    hidden(FileSystem::Tmpfs, |verdict| matches!(verdict, Err(Distrust::StoreUnseen)));
    hidden(FileSystem::Ext4, |verdict| verdict.is_ok());
}

#[test]
fn whole_seconds_are_too_coarse() {
    on(FileSystem::Ext4OfWholeSeconds, |dir, _| {
        assert!(matches!(verdict(dir), Err(Distrust::Coarse { .. })));
    });
}

#[test]
fn the_test_must_be_made_on_the_roots_file_system() {
    on(FileSystem::Ext4, |dir, copy| {
        let root = Root::open(dir).expect("root");
        assert!(matches!(ctime_tells(&root, copy), Err(Distrust::Scratch(_))));
        let missing = copy.join("missing");
        assert!(matches!(ctime_tells(&root, &missing), Err(Distrust::Test { .. })));
    });
}
