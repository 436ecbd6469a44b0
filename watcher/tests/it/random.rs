//! Random changes by two writers at once, step after step under one recorder: what a walk finds is always covered.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::RenameFlags;
use silt_watcher::Options;

use crate::disk::{Disk, Kind};
use crate::operations::{build, open};
use crate::oracle::{Tree, complete};

/// A generator of numbers that only its seed decides (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides.max(1)
    }

    /// A random name below one of `roots`, of something that may exist: few names, so that they often meet.
    fn path(&mut self, roots: &[PathBuf]) -> PathBuf {
        let top = roots[usize::from(self.roll(5) == 0)].clone();
        (0..1 + self.roll(3)).fold(top, |path, _| path.join(["d", "e", "f", "x", "sub", "n", "h"][self.roll(7)]))
    }
}

fn write(path: &Path) {
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path) {
        let _ = file.write_all(b"w");
    }
}

/// One random change. Many fail, as their names do not exist; that is no harm.
fn change(dice: &mut Dice, roots: &[PathBuf]) {
    let (one, other) = (dice.path(roots), dice.path(roots));
    let cwd = rustix::fs::CWD;
    match dice.roll(14) {
        0 | 1 => write(&one),
        2 | 3 => drop(fs::create_dir_all(&one)),
        4 => drop(fs::remove_file(&one)),
        5 => drop(fs::rename(&one, &other)),
        6 => drop(rustix::fs::renameat_with(cwd, &one, cwd, &other, RenameFlags::EXCHANGE)),
        7 | 8 => drop(fs::hard_link(&one, &other)),
        9 => drop(symlink("d", &one)),
        10 => drop(fs::set_permissions(&one, fs::Permissions::from_mode(0o600 + dice.roll(64) as u32))),
        11 => drop(OpenOptions::new().write(true).truncate(true).open(&one)),
        12 if dice.roll(4) == 0 => drop(fs::remove_dir_all(&one)),
        12 => drop(fs::remove_dir(&one)),
        _ => hide(&one, &other),
    }
}

/// Writes to a file through a link that is gone again, with the directory that it was in.
fn hide(one: &Path, other: &Path) {
    let link = other.join("link");
    if fs::create_dir(other).is_ok() {
        if !one.is_dir() && fs::hard_link(one, &link).is_ok() && !link.is_symlink() {
            write(&link);
        }
        let _ = fs::remove_file(&link);
        let _ = fs::remove_dir(other);
    }
}

fn check(kind: Kind, seed: u64) {
    const STEPS: u64 = 60;
    let disk = Disk::new(kind);
    let roots = [disk.path("root"), disk.path("outside")];
    build(&roots[0], &roots[1]);
    let mut recorder = open(&disk, &Options::default());
    let mut changes = 0;
    let mut before = Tree::walk(&roots[0]);
    recorder.start().unwrap();
    for step in 0..STEPS {
        std::thread::scope(|scope| {
            for writer in 1..=2 {
                let mut dice = Dice((seed + step * 2 + writer).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let roots = &roots;
                scope.spawn(move || (0..150).for_each(|_| change(&mut dice, roots)));
            }
        });
        let nominated = complete(recorder.take(&before));
        let after = Tree::walk(&roots[0]);
        let missed = before.missed(&after, &nominated);
        assert!(missed.is_empty(), "{kind:?}, seed {seed}, step {step}: missed {missed:?}");
        changes += before.changed(&after).len();
        before = after;
    }
    assert!(changes > 100, "{kind:?}: only {changes} changes");
}

#[test]
fn random_changes_are_covered() {
    for (kind, seed) in
        [(Kind::Tmpfs, 1), (Kind::Ext4, 1001), (Kind::Xfs, 2001), (Kind::Btrfs, 3001), (Kind::Overlay, 4001)]
    {
        check(kind, seed);
    }
}
