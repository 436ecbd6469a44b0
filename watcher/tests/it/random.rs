//! Random changes by two writers at once, step after step under one recorder: what a walk finds is always covered.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use silt_watcher::{Inode, Options};

use crate::changes::build;
use crate::disk::{Disk, Kind};
use crate::operations::open;
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

/// Whether files get second names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    Made,
    Avoided,
}

/// Files that got another name, as they may be written through that one.
pub type Linked = HashSet<Inode>;

/// Makes a link to exactly the file that it notes.
fn link(one: &Path, other: &Path, linked: &mut Linked) -> bool {
    let Ok(file) = rustix::fs::open(one, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) else { return false };
    linked.insert(Inode::of(&file).unwrap());
    rustix::fs::linkat(&file, c"", rustix::fs::CWD, other, AtFlags::EMPTY_PATH).is_ok()
}

/// One random change. Many fail, as their names do not exist; that is no harm.
fn change(dice: &mut Dice, roots: &[PathBuf], links: Links, linked: &mut Linked) {
    let (one, other) = (dice.path(roots), dice.path(roots));
    let cwd = rustix::fs::CWD;
    match dice.roll(14) {
        0 | 1 => write(&one),
        2 | 3 => drop(fs::create_dir_all(&one)),
        4 => drop(fs::remove_file(&one)),
        5 => drop(fs::rename(&one, &other)),
        6 => drop(rustix::fs::renameat_with(cwd, &one, cwd, &other, RenameFlags::EXCHANGE)),
        7 | 8 | 13 if links == Links::Avoided => write(&other),
        7 | 8 => drop(link(&one, &other, linked)),
        9 => drop(symlink("d", &one)),
        10 => drop(fs::set_permissions(&one, fs::Permissions::from_mode(0o600 + dice.roll(64) as u32))),
        11 => drop(OpenOptions::new().write(true).truncate(true).open(&one)),
        12 if dice.roll(4) == 0 => drop(fs::remove_dir_all(&one)),
        12 => drop(fs::remove_dir(&one)),
        _ => hide(&one, &other, linked),
    }
}

/// Writes to a file through a link that is gone again, with the directory that it was in.
fn hide(one: &Path, other: &Path, linked: &mut Linked) {
    let name = other.join("link");
    if fs::create_dir(other).is_ok() {
        if !one.is_dir() && link(one, &name, linked) && !name.is_symlink() {
            write(&name);
        }
        let _ = fs::remove_file(&name);
        let _ = fs::remove_dir(other);
    }
}

/// Two writers at once, 150 changes each; the files that they made links to.
pub fn step(seed: u64, roots: &[PathBuf], links: Links) -> Linked {
    let writer = |writer: u64| {
        let mut dice = Dice((seed + writer).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut linked = Linked::new();
        (0..150).for_each(|_| change(&mut dice, roots, links, &mut linked));
        linked
    };
    std::thread::scope(|scope| {
        let threads = [1, 2].map(|number| scope.spawn(move || writer(number)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// How many steps there are under one recorder.
pub const STEPS: u64 = 60;

fn check(kind: Kind, seed: u64) {
    let disk = Disk::new(kind);
    let roots = [disk.path("root"), disk.path("outside")];
    build(&roots[0], &roots[1]);
    let mut recorder = open(&disk, &Options::default());
    let mut changes = 0;
    let mut before = Tree::walk(&roots[0]);
    recorder.start().unwrap();
    for number in 0..STEPS {
        step(seed + number * 2, &roots, Links::Made);
        let nominated = complete(recorder.take(&before));
        let after = Tree::walk(&roots[0]);
        let missed = before.missed(&after, &nominated);
        assert!(missed.is_empty(), "{kind:?}, seed {seed}, step {number}: missed {missed:?}");
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
