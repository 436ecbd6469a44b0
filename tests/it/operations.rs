//! Random operations on a tree: what a step may do to the files of a root, seeded and reproducible.
//!
//! An operation holds numbers, which are turned into paths by what stands there when it runs; so a sequence can be cut and
//! run again.

/// A stream of numbers that depends on its seed alone (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Verb {
    Create,
    Write,
    WriteKeepingTime,
    RewriteAlike,
    Append,
    Truncate,
    MapAndStore,
    Rename,
    RenameDirectory,
    Exchange,
    DirectoryToLink,
    LinkToDirectory,
    HardLink,
    Chmod,
    Chown,
    Utimes,
    Xattr,
    Delete,
    DeleteTree,
    RemoveDirectory,
    Recreate,
    RemakeDirectory,
    MakeDirectory,
    Symlink,
    Special,
    Socket,
    TemporaryLinked,
    LinkThroughNewDirectory,
    LinkFromOutside,
    MoveOut,
    MoveIn,
    WriteUnlinked,
}

/// What builds is there more than once, or the tree would wither.
const VERBS: [Verb; 39] = [
    Verb::Create,
    Verb::Create,
    Verb::Create,
    Verb::MakeDirectory,
    Verb::MakeDirectory,
    Verb::HardLink,
    Verb::HardLink,
    Verb::MoveIn,
    Verb::Write,
    Verb::WriteKeepingTime,
    Verb::RewriteAlike,
    Verb::Append,
    Verb::Truncate,
    Verb::MapAndStore,
    Verb::Rename,
    Verb::RenameDirectory,
    Verb::Exchange,
    Verb::DirectoryToLink,
    Verb::LinkToDirectory,
    Verb::HardLink,
    Verb::Chmod,
    Verb::Chown,
    Verb::Utimes,
    Verb::Xattr,
    Verb::Delete,
    Verb::DeleteTree,
    Verb::RemoveDirectory,
    Verb::Recreate,
    Verb::RemakeDirectory,
    Verb::MakeDirectory,
    Verb::Symlink,
    Verb::Special,
    Verb::Socket,
    Verb::TemporaryLinked,
    Verb::LinkThroughNewDirectory,
    Verb::LinkFromOutside,
    Verb::MoveOut,
    Verb::MoveIn,
    Verb::WriteUnlinked,
];

/// What is done, and numbers that choose to what.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub verb: Verb,
    pub a: usize,
    pub b: usize,
    pub c: usize,
}

/// Things that build, directories first, so that there is something to change.
pub fn building(random: &mut Random, count: usize) -> Vec<Operation> {
    let first = (0..count / 4).map(|_| Verb::MakeDirectory);
    let verbs = [Verb::Create, Verb::Create, Verb::Create, Verb::HardLink, Verb::Symlink, Verb::Special];
    let rest = (count / 4..count).map(|number| verbs[number % verbs.len()]);
    first.chain(rest).map(|verb| operation(verb, random)).collect()
}

/// Anything.
pub fn changing(random: &mut Random, count: usize) -> Vec<Operation> {
    (0..count).map(|_| operation(VERBS[random.below(VERBS.len())], random)).collect()
}

fn operation(verb: Verb, random: &mut Random) -> Operation {
    let mut number = || random.below(1 << 16);
    Operation { verb, a: number(), b: number(), c: number() }
}

/// The shortest part of `operations` that still fails, as far as leaving out runs of them finds it.
pub fn minimised(operations: &[Operation], fails: &mut dyn FnMut(&[Operation]) -> bool) -> Vec<Operation> {
    let mut kept = operations.to_vec();
    let mut chunk = kept.len().div_ceil(2);
    while chunk > 0 {
        let mut start = 0;
        while start < kept.len() {
            let end = (start + chunk).min(kept.len());
            let without = [&kept[..start], &kept[end..]].concat();
            if fails(&without) { kept = without } else { start = end }
        }
        chunk /= 2;
    }
    kept
}
