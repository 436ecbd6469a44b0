//! The file systems of the table, all mounted at once below one directory that has the same path in every context.
//!
//! `TOP/disks/KIND` are file systems of the machine. `TOP/GROUP/GROUND` is where sequences run; the group is `machine`, or
//! `inside` for what a user namespace mounts for itself. The lower directory of an overlay holds bases to begin with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::contexts::Context;
use crate::mounted::{FileSystem, Mounted, mount_sized};
use crate::operations::{Operation, Random, building, changing};
use crate::stage::Rung;
use crate::world::World;

/// How many sequences of a cell begin in the lower directory of an overlay, so that changes copy up and white out.
pub const LOWER: u64 = 20;

/// The file systems of the machine, and how much each may hold.
const DISKS: [(&str, FileSystem); 4] =
    [("ext4", FileSystem::Ext4), ("xfs", FileSystem::Xfs), ("btrfs", FileSystem::Btrfs), ("tmpfs", FileSystem::Tmpfs)];

/// Where sequences run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// One of the machine's.
    Plain(&'static str),
    /// An overlay over one of them.
    Overlay(&'static str),
    /// An overlay on ext4 whose lower directory is on such an overlay.
    Nested,
}

impl Ground {
    pub const ALL: [Ground; 9] = [
        Ground::Plain("ext4"),
        Ground::Plain("xfs"),
        Ground::Plain("btrfs"),
        Ground::Plain("tmpfs"),
        Ground::Overlay("ext4"),
        Ground::Overlay("xfs"),
        Ground::Overlay("btrfs"),
        Ground::Overlay("tmpfs"),
        Ground::Nested,
    ];

    /// Its name in the table.
    pub fn name(self) -> String {
        match self {
            Ground::Plain(disk) => disk.to_owned(),
            Ground::Overlay(disk) => format!("overlay on {disk}"),
            Ground::Nested => "nested overlay".to_owned(),
        }
    }

    fn is_overlay(self) -> bool {
        !matches!(self, Ground::Plain(_))
    }

    /// Whether an overlay has inode numbers that do not last: over another overlay, and in a user namespace.
    pub fn hides_links(self, context: Context) -> bool {
        self == Ground::Nested || (self.is_overlay() && context == Context::UserNamespace)
    }

    /// Where `context` finds it below `top`.
    pub fn path(self, top: &Path, context: Context) -> PathBuf {
        let inside = self.is_overlay() || self == Ground::Plain("tmpfs");
        let group = if inside && context == Context::UserNamespace { "inside" } else { "machine" };
        top.join(group).join(self.name().replace(' ', "-"))
    }
}

/// Where a cell keeps its things on `ground`.
pub fn place(ground: &Path, context: Context, rung: Rung) -> PathBuf {
    ground.join(context.name()).join(rung.name())
}

/// Where sequence `number` of a cell begins, if its base lies in a lower directory.
pub fn lower_place(ground: Ground, place: &Path, number: u64) -> Option<PathBuf> {
    (ground.is_overlay() && number < LOWER).then(|| place.join(number.to_string()))
}

/// What builds a base, and what changes it.
pub fn sequence(seed: u64) -> (Vec<Operation>, Vec<Operation>) {
    let mut random = Random::new(seed);
    (building(&mut random, 30), changing(&mut random, 50))
}

/// File systems, while they are mounted; the last is unmounted first.
pub struct Grounds(Vec<Mounted>);

impl Drop for Grounds {
    fn drop(&mut self) {
        while let Some(last) = self.0.pop() {
            drop(last);
        }
    }
}

impl Grounds {
    /// All that the machine mounts. Bases are those of the sequences from `first` on.
    pub fn of_the_machine(top: &Path, first: u64) -> Grounds {
        let mut mounted = Vec::new();
        fs::create_dir_all(top.join("disks")).unwrap();
        fs::create_dir_all(top.join("machine")).unwrap();
        mounted.push(Mounted::new(top.join("copies"), Command::new("mount").args(["-t", "tmpfs", "tmpfs"])));
        for (name, kind) in DISKS {
            let image = top.join("copies").join("images").join(name);
            fs::create_dir_all(&image).unwrap();
            let place = top.join("disks").join(name);
            mounted.push(Mounted::new(place.clone(), &mut mount_sized(kind, &image, 8)));
            let plain = Ground::Plain(name).path(top, Context::Everything);
            fs::create_dir(place.join("plain")).unwrap();
            mounted.push(Mounted::new(plain, Command::new("mount").arg("--bind").arg(place.join("plain"))));
        }
        let mut grounds = Grounds(mounted);
        grounds.overlays(top, &Context::OF_THE_MACHINE, first);
        grounds
    }

    /// What the root of a user namespace mounts for itself, in a mount namespace of its own.
    pub fn of_a_user_namespace(top: &Path, first: u64) -> Grounds {
        let (context, mut grounds) = (Context::UserNamespace, Grounds(Vec::new()));
        let tmpfs = Ground::Plain("tmpfs").path(top, context);
        fs::create_dir_all(tmpfs.parent().unwrap()).unwrap();
        grounds.0.push(Mounted::new(tmpfs, Command::new("mount").args(["-t", "tmpfs", "tmpfs"])));
        grounds.overlays(top, &[context], first);
        grounds
    }

    fn overlays(&mut self, top: &Path, contexts: &[Context], first: u64) {
        let inside = contexts.contains(&Context::UserNamespace);
        let group = if inside { "inside" } else { "machine" };
        for ground in Ground::ALL.into_iter().filter(|ground| ground.is_overlay()) {
            let disk = match ground {
                // The tmpfs of a user namespace is its own.
                Ground::Overlay("tmpfs") if inside => Ground::Plain("tmpfs").path(top, Context::UserNamespace),
                Ground::Overlay(disk) => top.join("disks").join(disk),
                _ => top.join("disks/ext4"),
            };
            let parts = disk.join(group).join(ground.name().replace(' ', "-"));
            let lower = match ground {
                Ground::Nested => {
                    let under = parts.join("under");
                    fs::create_dir_all(under.join("lower")).unwrap();
                    self.0.push(overlay(&under, &under.join("lower"), under.join("merged"), inside));
                    under.join("merged")
                }
                _ => parts.join("lower"),
            };
            fs::create_dir_all(&lower).unwrap();
            bases(&lower, contexts, first);
            self.0.push(overlay(&parts, &lower, ground.path(top, contexts[0]), inside));
        }
    }
}

/// An overlay of `lower` with its other parts in `parts`. In a user namespace the file system cannot keep its notes in
/// trusted attributes.
fn overlay(parts: &Path, lower: &Path, merged: PathBuf, inside: bool) -> Mounted {
    let part = |name: &str| {
        fs::create_dir_all(parts.join(name)).unwrap();
        parts.join(name).display().to_string()
    };
    let (upper, work, more) = (part("upper"), part("work"), if inside { ",userxattr" } else { "" });
    let options = format!("lowerdir={},upperdir={upper},workdir={work}{more}", lower.display());
    Mounted::new(merged, Command::new("mount").args(["-t", "overlay", "-o", &options, "overlay"]))
}

/// The bases of the first sequences of each cell.
fn bases(lower: &Path, contexts: &[Context], first: u64) {
    let mut world = World::new(&lower.join("none"));
    for context in contexts {
        for (rung, number) in Rung::ALL.into_iter().flat_map(|rung| (0..LOWER).map(move |number| (rung, number))) {
            world.enter(&place(lower, *context, rung).join(number.to_string()));
            world.run(&sequence(first + number).0);
        }
    }
}
