//! What the benchmarks share: a tree of many small files, as a base image of a monorepo has.

use std::fs;
use std::path::Path;

use silt::rootfs::{Kind, Root, RootPath, Tree, walk};

/// Makes `count` files of 100 to 3,000 bytes below `dir`, ten in a directory; the same ones at each call.
///
/// # Panics
/// If the disk does not let it.
#[allow(clippy::expect_used)]
pub fn make_files(dir: &Path, count: usize) {
    for number in 0..count {
        let folder = dir.join(format!("d{:03}/e{:05}", number / 1000, number / 10));
        fs::create_dir_all(&folder).expect("make a directory");
        let content = format!("{number:09}\n").repeat(10 + number * 7919 % 290);
        fs::write(folder.join(format!("f{number}")), content).expect("write a file");
    }
}

/// Makes `count` empty files in `dir` alone.
///
/// # Panics
/// If the disk does not let it.
#[allow(clippy::expect_used)]
pub fn make_one_folder(dir: &Path, count: usize) {
    for number in 0..count {
        fs::write(dir.join(format!("f{number:06}")), "").expect("write a file");
    }
}

/// What stands in `root`, with the digests that unpacking would have taken.
///
/// # Panics
/// If the tree cannot be read.
#[allow(clippy::expect_used)]
pub fn record(root: &Root) -> Tree {
    let mut tree = Tree::default();
    walk::<std::io::Error>(root, &RootPath::root(), |path, mut node| {
        if let Kind::File { digest, .. } = &mut node.entry_mut().kind {
            *digest = Some(root.digest(path)?);
        }
        tree.insert(path.clone(), node);
        Ok(())
    })
    .expect("walk the tree");
    tree
}
