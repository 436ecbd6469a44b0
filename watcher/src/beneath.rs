//! Opens directories below a root, by their path, such that no link on the way is followed and nothing leads out.
//!
//! `openat2(2)` does it in one call. Where that is missing or forbidden (old kernels, old seccomp profiles, gVisor), and for
//! paths that are too long for one call, the path is walked name by name.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What a path as a whole may have (`PATH_MAX`), its NUL included.
const LONGEST: usize = 4096;

const FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How directories are opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// `openat2(2)`, one call a path.
    Kernel,
    /// `openat(2)`, one call a name.
    Walk,
}

impl Opener {
    /// What works below `root`.
    pub fn probe(root: &OwnedFd) -> Self {
        if openat2(root, b".").is_ok() { Opener::Kernel } else { Opener::Walk }
    }

    /// Opens (`O_PATH`) the directory `path` below `root`; the empty path is the root. `ELOOP` or `ENOTDIR` for a link,
    /// `EXDEV` for `..`.
    pub fn open(self, root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
        match self {
            _ if path.is_empty() => rustix::fs::openat(root, c".", FLAGS, Mode::empty()),
            Opener::Kernel if path.len() < LONGEST => openat2(root, path),
            _ => walk(root, path),
        }
    }
}

fn openat2(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, FLAGS, Mode::empty(), resolve)
}

fn walk(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let mut names = path.split(|byte| *byte == b'/');
    let open = |parent: &OwnedFd, name: &[u8]| match name {
        b".." | b"" => Err(Errno::XDEV),
        _ => rustix::fs::openat(parent, name, FLAGS, Mode::empty()),
    };
    let first = open(root, names.next().unwrap_or_default())?;
    names.try_fold(first, |parent, name| open(&parent, name))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::inode::Inode;

    #[test]
    fn directories_are_opened_and_links_are_not() {
        let top = tempfile::TempDir::new().unwrap();
        let path = |name: &str| top.path().join(name);
        fs::create_dir_all(path("root/a/b/c")).unwrap();
        fs::create_dir_all(path("outside/b")).unwrap();
        fs::write(path("root/file"), "").unwrap();
        symlink("a", path("root/link")).unwrap();
        symlink(path("outside"), path("root/out")).unwrap();
        let root: OwnedFd = fs::File::open(path("root")).unwrap().into();
        assert_eq!(Opener::probe(&root), Opener::Kernel);
        for opener in [Opener::Kernel, Opener::Walk] {
            for name in ["", "a", "a/b", "a/b/c"] {
                let expected = Inode::of(fs::File::open(path("root").join(name)).unwrap()).unwrap();
                let opened = opener.open(&root, name.as_bytes()).unwrap();
                assert_eq!(Inode::of(opened).unwrap(), expected, "{opener:?}: {name}");
            }
            for name in ["link", "link/b", "out", "out/b", "file", "file/x", "..", "a/../..", "/", "none"] {
                assert!(opener.open(&root, name.as_bytes()).is_err(), "{opener:?}: {name}");
            }
        }
    }

    #[test]
    fn a_path_may_be_longer_than_one_call_takes() {
        let top = tempfile::TempDir::new().unwrap();
        let root: OwnedFd = fs::File::open(top.path()).unwrap().into();
        let name = [b'n'; 200];
        let mut last = Opener::Walk.open(&root, b"").unwrap();
        for _ in 0..30 {
            rustix::fs::mkdirat(&last, &name[..], Mode::RWXU).unwrap();
            last = Opener::Walk.open(&last, &name).unwrap();
        }
        let path = [&name[..]; 30].join(&b'/');
        assert!(path.len() > LONGEST);
        let opened = Opener::Kernel.open(&root, &path).unwrap();
        assert_eq!(Inode::of(opened).unwrap(), Inode::of(last).unwrap());
    }
}
