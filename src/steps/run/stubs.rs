//! Stubs: what a step needs and the image lacks. They are made before it and removed after it, so that the tree is as it
//! was. For an isolated step they are mount points, for one under chroot(2) alone the few devices and files themselves.
//!
//! Guarantees: all names resolve inside the root (`RESOLVE_IN_ROOT`, Linux 5.6); only what was made here is removed, and
//! no directory that the step put something in; a parent that nobody else touched in between gets its old mtime back.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fstat, mkdirat, mknodat,
    open, openat, openat2, readlinkat, statat, unlinkat,
};
use rustix::io::{Errno, Result};

/// As many links in a row as the kernel follows.
const MOST_LINKS: u32 = 40;

/// Something that a step needs, by its path inside the root. Whatever stands there already is left alone.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub path: PathBuf,
    pub kind: Kind,
}

/// What is needed there.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// An empty directory, mode 0755.
    Directory,
    /// A file with these contents, mode 0644.
    File(Vec<u8>),
    /// A character device with this number, mode 0666; left out where the kernel permits none.
    Device(u64),
}

/// The stubs that were made, in the order of their making.
pub(super) struct Stubs {
    root: OwnedFd,
    made: Vec<Stub>,
}

struct Stub {
    parent: OwnedFd,
    name: OsString,
    /// Kept open, so that nothing that the step makes in its place gets its inode number.
    object: OwnedFd,
    /// The parent's mtime before and after the stub was made.
    before: Timespec,
    after: Timespec,
}

impl Stubs {
    /// Makes those of `needs` that are missing below `root`. After an error nothing is left.
    pub(super) fn make(root: &Path, needs: impl Iterator<Item = Need>) -> Result<Self> {
        let root = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut stubs = Stubs { root, made: Vec::new() };
        for need in needs {
            if let Err(why) = stubs.ensure(&need.path, &need.kind, MOST_LINKS) {
                stubs.remove()?;
                return Err(why);
            }
        }
        Ok(stubs)
    }

    /// Removes them, the last one first.
    pub(super) fn remove(self) -> Result<()> {
        self.made.iter().rev().try_for_each(Stub::remove)
    }

    /// Makes `path` if it is missing, and its parents; a link that leads nowhere gets something to lead to.
    fn ensure(&mut self, path: &Path, kind: &Kind, links: u32) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if self.exists(path)? {
            return Ok(());
        }
        self.ensure(parent, &Kind::Directory, links)?;
        // `a/..` is there as soon as `a` is.
        let Some(name) = path.file_name() else { return Ok(()) };
        let within = self.open(parent, OFlags::DIRECTORY)?;
        match readlinkat(&within, name, Vec::new()) {
            Ok(_) if links == 0 => Err(Errno::LOOP),
            Ok(target) => {
                let target = <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(target.as_bytes());
                self.ensure(&parent.join(target), kind, links - 1)
            }
            Err(Errno::NOENT) => {
                self.made.extend(Stub::make(within, name, kind)?);
                Ok(())
            }
            Err(why) => Err(why),
        }
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        match self.open(path, OFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(why) => Err(why),
        }
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, path, OFlags::PATH | OFlags::CLOEXEC | flags, Mode::empty(), resolve)
    }
}

impl Stub {
    fn make(parent: OwnedFd, name: &OsStr, kind: &Kind) -> Result<Option<Stub>> {
        let before = mtime(&fstat(&parent)?);
        match kind {
            Kind::Directory => mkdirat(&parent, name, Mode::from_raw_mode(0o755))?,
            Kind::File(contents) => make_file(&parent, name, contents)?,
            Kind::Device(number) => {
                match mknodat(&parent, name, FileType::CharacterDevice, Mode::from_raw_mode(0o666), *number) {
                    Err(Errno::PERM) => return Ok(None),
                    made => made?,
                }
            }
        }
        let object = openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let after = mtime(&fstat(&parent)?);
        Ok(Some(Stub { parent, name: name.to_owned(), object, before, after }))
    }

    /// Removes it if it is still there under its name, and still empty if it is a directory.
    fn remove(&self) -> Result<()> {
        let found = match statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => found?,
        };
        if found.st_ino != fstat(&self.object)?.st_ino {
            return Ok(());
        }
        let is_directory = FileType::from_raw_mode(found.st_mode).is_dir();
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let now = mtime(&fstat(&self.parent)?);
        match unlinkat(&self.parent, &self.name, flags) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(()),
            removed => removed?,
        }
        self.restore_mtime(if same(now, self.after) { self.before } else { now })
    }

    /// A descriptor opened with `O_PATH` takes no times, so the directory is opened once more.
    fn restore_mtime(&self, mtime: Timespec) -> Result<()> {
        let parent = openat(&self.parent, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: mtime };
        rustix::fs::futimens(parent, &times)
    }
}

fn make_file(parent: &OwnedFd, name: &OsStr, contents: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::from_raw_mode(0o644))?;
    let written = std::fs::File::from(file).write_all(contents);
    written.map_err(|why| Errno::from_io_error(&why).unwrap_or(Errno::IO))
}

fn mtime(stat: &Stat) -> Timespec {
    Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() }
}

fn same(a: Timespec, b: Timespec) -> bool {
    (a.tv_sec, a.tv_nsec) == (b.tv_sec, b.tv_nsec)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::time::{Duration, SystemTime};

    use super::*;

    const LONG_AGO: Duration = Duration::from_secs(1_000_000_000);

    fn need(path: &str, kind: Kind) -> Need {
        Need { path: path.into(), kind }
    }

    fn set_old(path: &Path) {
        fs::File::open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH + LONG_AGO).unwrap();
    }

    /// Every path below `root` with its mtime, and that of `root`.
    fn listing(root: &Path) -> Vec<(PathBuf, i64, i64)> {
        let mut found = vec![];
        let mut open = vec![root.to_owned()];
        while let Some(path) = open.pop() {
            let data = fs::symlink_metadata(&path).unwrap();
            if data.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            found.push((path, data.mtime(), data.mtime_nsec()));
        }
        found.sort();
        found
    }

    /// Makes `kind` at `path` in a root that `prepare` fills; it appears at `at`, and is gone without a trace after.
    fn check(prepare: fn(&Path), path: &str, kind: Kind, at: &str) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        prepare(&root);
        set_old(&root);
        let before = listing(dir.path());
        let stubs = Stubs::make(&root, [need(path, kind)].into_iter()).unwrap();
        assert!(fs::symlink_metadata(root.join(at)).is_ok(), "{at} was not made for {path}");
        stubs.remove().unwrap();
        assert_eq!(listing(dir.path()), before, "{path}");
    }

    #[test]
    fn stubs_are_made_where_the_links_lead_and_leave_no_trace() {
        check(|_| (), "proc", Kind::Directory, "proc");
        check(|_| (), "etc/hosts", Kind::File(b"x".to_vec()), "etc/hosts");
        check(|_| (), "dev/null", Kind::Device(rustix::fs::makedev(1, 3)), "dev/null");
        check(
            |root| symlink("../../../../run/x/file", root.join("file")).unwrap(),
            "file",
            Kind::File(vec![]),
            "run/x/file",
        );
        check(|root| symlink("/a/b", root.join("etc")).unwrap(), "etc/hosts", Kind::File(vec![]), "a/b/hosts");
        check(|root| symlink("new/../other", root.join("proc")).unwrap(), "proc", Kind::Directory, "other");
    }

    #[test]
    fn a_ring_of_links_is_an_error_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        let needs = [need("c", Kind::Directory), need("a", Kind::Directory)];
        assert_eq!(Stubs::make(root.path(), needs.into_iter()).err(), Some(Errno::LOOP));
        assert!(!root.path().join("c").exists());
    }

    #[test]
    fn what_replaces_a_stub_is_never_taken_for_it() {
        // A file system that hands out the number of a removed file at once would show it at the first try.
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        let needs = [need("file", Kind::File(vec![])), need("dir", Kind::Directory)];
        let stubs = Stubs::make(root.path(), needs.into_iter()).unwrap();
        let (file, dir) = (root.path().join("file"), root.path().join("dir"));
        fs::remove_file(&file).unwrap();
        fs::write(&file, "the step's own").unwrap();
        fs::remove_dir(&dir).unwrap();
        fs::create_dir(&dir).unwrap();
        stubs.remove().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"the step's own");
        assert!(dir.exists());
    }

    #[test]
    fn what_the_step_made_of_a_stub_stays() {
        let root = tempfile::tempdir().unwrap();
        set_old(root.path());
        let needs = ["kept/gone", "replaced", "untouched"].map(|path| need(path, Kind::File(vec![])));
        let stubs = Stubs::make(root.path(), needs.into_iter()).unwrap();
        let at = |path: &str| root.path().join(path);
        fs::write(at("kept/new"), "x").unwrap();
        fs::write(at("other"), "x").unwrap();
        fs::rename(at("other"), at("replaced")).unwrap();
        stubs.remove().unwrap();
        assert_eq!(fs::read(at("replaced")).unwrap(), b"x");
        assert!(at("kept/new").exists() && !at("kept/gone").exists() && !at("untouched").exists());
        assert!(fs::metadata(root.path()).unwrap().mtime() > LONG_AGO.as_secs().cast_signed());
    }
}
