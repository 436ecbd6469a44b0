//! Digests of a context that are remembered between builds: what is known by stats alone, what is not believed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use silt::context::digests::{Access, Digests, Memo, Owners, Row, Work};
use silt::rootfs::{Root, RootPath, Selection, Timestamp};
use silt::snapshot::{Guard, Tick};

use crate::mounted::{FileSystem, Mounted, on};

const FILES: usize = 50;

/// `tree/` of 50 files, 5 links and 5 directories, and `cache/`, all older than now.
struct Trees {
    tree: PathBuf,
    cache: PathBuf,
}

impl Trees {
    fn new(dir: &Path) -> Self {
        let trees = Trees { tree: dir.join("tree"), cache: dir.join("cache") };
        fs::create_dir(&trees.cache).unwrap();
        for number in 0..FILES {
            let folder = trees.tree.join(format!("d{}", number % 5));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("f{number}")), format!("content {number}")).unwrap();
            if number % 10 == 0 {
                symlink(format!("f{number}"), folder.join(format!("l{number}"))).unwrap();
            }
        }
        trees.settle();
        trees
    }

    /// Waits until no stamp of the tree is of the current tick.
    fn settle(&self) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Guard::past(Timestamp { sec: now.as_secs() as i64, nsec: now.subsec_nanos() }, Tick(1));
    }

    fn at(&self, name: &str) -> PathBuf {
        self.tree.join(name)
    }

    /// One build: the rows, and what was done for them.
    fn build(&self, access: Access) -> (Vec<Row>, Work) {
        let digests = Digests::new(Some(Memo::new(&self.cache, access)));
        let rows = self.rows(&digests);
        digests.save();
        (rows, digests.work())
    }

    /// The rows, nothing remembered.
    fn afresh(&self) -> Vec<Row> {
        self.rows(&Digests::new(None))
    }

    fn rows(&self, digests: &Digests) -> Vec<Row> {
        let tree = Root::open(&self.tree).unwrap();
        let all = |_: &RootPath, _| Selection::Take;
        digests.rows(&tree, &RootPath::root(), Owners::Replaced, &all).unwrap()
    }

    /// The file that is the memo.
    fn memo(&self) -> PathBuf {
        let names = fs::read_dir(self.cache.join("silt-trees")).unwrap().map(|entry| entry.unwrap().path());
        let memos: Vec<_> = names.filter(|path| path.file_name().unwrap() != "lock").collect();
        assert_eq!(memos.len(), 1, "{memos:?}");
        memos[0].clone()
    }

    /// The next build gets right rows, and reads so many files.
    fn check(&self, access: Access, read_files: usize) {
        let (rows, work) = self.build(access);
        assert_eq!(rows, self.afresh());
        assert_eq!(work.read_files, read_files as u64, "{work:?}");
    }
}

#[test]
fn an_unchanged_tree_is_known_by_stats_alone() {
    for kind in [FileSystem::Ext4, FileSystem::Xfs, FileSystem::Btrfs] {
        on(kind, |dir, _| {
            let trees = Trees::new(dir);
            let (first, work) = trees.build(Access::ReadWrite);
            assert_eq!((first.len(), work.read_files, work.observed), (61, 50, 10), "{kind:?}");
            let (second, work) = trees.build(Access::ReadWrite);
            assert_eq!(second, first, "{kind:?}");
            let expected = Work { stats: 61, listed: 6, ..Work::default() };
            assert_eq!(work, expected, "{kind:?}");
            assert_eq!(first, trees.afresh(), "{kind:?}");
        });
    }
}

#[test]
fn nothing_is_remembered_where_ctime_does_not_tell() {
    for kind in [FileSystem::Tmpfs, FileSystem::Ext4OfWholeSeconds] {
        on(kind, |dir, _| {
            let trees = Trees::new(dir);
            trees.check(Access::ReadWrite, FILES);
            trees.check(Access::ReadWrite, FILES);
            assert!(!trees.cache.join("silt-trees").exists(), "{kind:?}");
        });
    }
}

#[test]
fn every_change_is_seen() {
    on(FileSystem::Ext4, |dir, _| {
        let trees = Trees::new(dir);
        let mut before = trees.build(Access::ReadWrite).0;
        let mut check = |name: &str, change: &dyn Fn(&Path)| {
            change(&trees.at(name));
            let (after, work) = trees.build(Access::ReadWrite);
            let changed: Vec<_> = after.iter().filter(|row| !before.contains(row)).map(|row| &row.path).collect();
            assert_eq!(changed, [&RootPath::clean(name).unwrap()], "{work:?}");
            assert_eq!(after, trees.afresh());
            trees.settle();
            before = after;
        };
        check("d0/f0", &|file| {
            let meta = fs::metadata(file).unwrap();
            fs::write(file, "CONTENT 0").unwrap();
            fs::File::open(file).unwrap().set_modified(meta.modified().unwrap()).unwrap();
            let now = fs::metadata(file).unwrap();
            assert_eq!((now.len(), now.mtime_nsec(), now.ino()), (meta.len(), meta.mtime_nsec(), meta.ino()));
        });
        check("d1/f1", &|file| fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap());
        check("d2/f2", &|file| {
            rustix::fs::setxattr(file, "user.a", b"b", rustix::fs::XattrFlags::empty()).unwrap();
        });
        check("d3", &|file| {
            rustix::fs::setxattr(file, "user.a", b"b", rustix::fs::XattrFlags::empty()).unwrap();
        });
        check("d0/l0", &|link| {
            fs::remove_file(link).unwrap();
            symlink("F0", link).unwrap();
        });
        check("d4/f4", &|file| fs::rename(file.with_file_name("f9"), file).unwrap());
    });
}

/// A change in the very tick of the stamp that was read may leave no trace, so such a stamp is not remembered.
#[test]
fn young_stamps_are_not_remembered() {
    on(FileSystem::Ext4, |dir, _| {
        let trees = Trees::new(dir);
        trees.build(Access::ReadWrite);
        let file = trees.at("d0/f0");
        for number in 0..100 {
            fs::write(&file, format!("a {number:03}")).unwrap();
            let modified = fs::metadata(&file).unwrap().modified().unwrap();
            let before = trees.build(Access::ReadWrite).0;
            fs::write(&file, format!("b {number:03}")).unwrap();
            fs::File::open(&file).unwrap().set_modified(modified).unwrap();
            let after = trees.build(Access::ReadWrite).0;
            assert_ne!(before, after);
            assert_eq!(after, trees.afresh());
        }
    });
}

#[test]
fn a_memo_from_elsewhere_is_not_believed() {
    on(FileSystem::Ext4, |dir, scratch| {
        let trees = Trees::new(dir);
        trees.build(Access::ReadWrite);
        let memo = fs::read(trees.memo()).unwrap();
        // The same bytes under the name that they would have on another file system.
        fs::create_dir(scratch.join("other")).unwrap();
        let image = scratch.join("other/image");
        fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).unwrap();
        let made = std::process::Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
        assert!(made.unwrap().success());
        let mut mount = std::process::Command::new("mount");
        let other = Mounted::new(scratch.join("other/fs"), mount.args(["-o", "loop"]).arg(&image));
        let others = Trees::new(other.path());
        others.build(Access::ReadWrite);
        assert_ne!(trees.memo().file_name(), others.memo().file_name());
        fs::write(others.memo(), memo).unwrap();
        others.check(Access::ReadWrite, FILES);
        others.check(Access::ReadWrite, 0);
    });
}

#[test]
fn a_broken_memo_costs_time_and_is_replaced() {
    on(FileSystem::Ext4, |dir, _| {
        let trees = Trees::new(dir);
        trees.build(Access::ReadWrite);
        let whole = fs::read(trees.memo()).unwrap();
        let broken = |at: usize| [&whole[..at], &[!whole[at]], &whole[at + 1..]].concat();
        let cut = whole.len() / 2;
        for bytes in [broken(0), broken(20), broken(100), broken(whole.len() - 1), whole[..cut].to_vec(), Vec::new()] {
            fs::write(trees.memo(), bytes).unwrap();
            trees.check(Access::ReadOnly, FILES);
            trees.check(Access::ReadWrite, FILES);
            trees.check(Access::ReadOnly, 0);
        }
        let memo = trees.memo();
        fs::remove_file(&memo).unwrap();
        fs::create_dir(memo).unwrap();
        trees.check(Access::ReadWrite, FILES);
    });
}

#[test]
fn a_cache_that_may_not_be_written_is_no_error() {
    on(FileSystem::Ext4, |dir, _| {
        let trees = Trees::new(dir);
        trees.check(Access::ReadOnly, FILES);
        assert_eq!(fs::read_dir(&trees.cache).unwrap().count(), 0, "nothing is made");
        trees.build(Access::ReadWrite);
        let memo = fs::read(trees.memo()).unwrap();
        fs::write(trees.at("d0/f0"), "changed").unwrap();
        trees.settle();
        trees.check(Access::ReadOnly, 1);
        assert_eq!(fs::read(trees.memo()).unwrap(), memo);
        let mount = |options: &str, target: &Path| {
            let mut mount = std::process::Command::new("mount");
            assert!(mount.args(["-o", options]).arg(&trees.cache).arg(target).status().unwrap().success());
        };
        mount("bind", &trees.cache);
        mount("remount,bind,ro", &trees.cache);
        trees.check(Access::ReadWrite, 1);
        assert!(std::process::Command::new("umount").arg(&trees.cache).status().unwrap().success());
        assert_eq!(fs::read(trees.memo()).unwrap(), memo);
        fs::remove_dir_all(&trees.cache).unwrap();
        trees.check(Access::ReadWrite, FILES);
        assert!(!trees.cache.exists(), "a directory of caches is not made");
    });
}
