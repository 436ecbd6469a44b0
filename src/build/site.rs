//! Where a build takes place: the root that becomes the image, and our own directory beside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::protected::{inside, mounts_below};
use crate::rootfs::{Root, RootPath, clear};

/// Where the root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In `/`, as kaniko builds.
    InPlace,
    /// In `DIR/rootfs`.
    Below(PathBuf),
}

/// The root's place, our work directory, and what flags keep out of the image.
#[derive(Clone, Debug)]
pub struct Site {
    /// Where the root is.
    pub place: Place,
    /// Our own files: blobs, kept stages, scratch. On the file system of the root where possible.
    pub work: PathBuf,
    /// `--ignore-path` and the like, as paths of the image.
    pub ignored: Vec<RootPath>,
    /// What lies in the root and must survive between stages although the image may have a path of that name: the context.
    pub spared: Vec<RootPath>,
}

impl Site {
    /// The directory of the root.
    pub fn root_dir(&self) -> PathBuf {
        match &self.place {
            Place::InPlace => PathBuf::from("/"),
            Place::Below(dir) => dir.join("rootfs"),
        }
    }

    /// Opens the root for a stage: made if missing, emptied unless it is the first stage in `/`, what is not the image's
    /// protected. Whatever an earlier build left below a build root goes.
    pub(super) fn open_root(&self, first: bool) -> Result<Root> {
        let dir = self.root_dir();
        if self.place != Place::InPlace {
            make_directory(&dir)?;
        }
        if !(first && self.place == Place::InPlace) {
            let sparing = self.spare(self.protected_root(&dir)?);
            clear(&sparing).with_context(|| format!("clear {}", dir.display()))?;
        }
        self.protected_root(&dir)
    }

    /// `root` with what must survive between stages protected too.
    pub(super) fn spare(&self, mut root: Root) -> Root {
        self.spared.iter().cloned().for_each(|path| root.protect(path));
        root
    }

    fn protected_root(&self, dir: &Path) -> Result<Root> {
        let mut root = Root::open(dir)?;
        let dir = fs::canonicalize(dir).with_context(|| format!("resolve {}", dir.display()))?;
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        mounts_below(&dir, &mountinfo).into_iter().for_each(|path| root.protect(path));
        self.ignored.iter().cloned().for_each(|path| root.protect(path));
        let work = fs::canonicalize(&self.work).with_context(|| format!("resolve {}", self.work.display()))?;
        if let Some(path) = inside(&dir, std::os::unix::ffi::OsStrExt::as_bytes(work.as_os_str())) {
            root.protect(path);
        }
        Ok(root)
    }

    /// A directory of ours below the work directory, made if missing.
    pub(super) fn own_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.work.join(name);
        make_directory(&dir)?;
        Ok(dir)
    }
}

fn make_directory(dir: &Path) -> Result<()> {
    match fs::create_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("create {}", dir.display()))
        }
        _ => Ok(()),
    }
}
