//! Where a build takes place: the root that becomes the image, and our own directory beside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::protected::{inside, mounts_below};
use crate::rootfs::{Entry, Kind, Root, RootPath, Timestamp, Xattrs, clear};

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
            refuse_link(&dir)?;
        }
        if !(first && self.place == Place::InPlace) {
            let sparing = self.spare(self.protected_root(&dir)?);
            clear(&sparing).with_context(|| format!("clear {}", dir.display()))?;
        }
        let root = self.protected_root(&dir)?;
        if self.place != Place::InPlace {
            root.set_attributes(&RootPath::root(), &fresh_root()).context("reset the root's attributes")?;
        }
        Ok(root)
    }

    /// Empties the root after a build (`--cleanup`). What is not the image's stays, and so does the context.
    ///
    /// # Errors
    /// Those of removing; what could be removed until then is gone.
    pub fn clean(&self) -> Result<()> {
        let dir = self.root_dir();
        match Root::open(&dir) {
            // A build that failed early may not have made it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => clear(&self.spare(self.protected_root(&dir)?)).with_context(|| format!("clear {}", dir.display())),
        }
    }

    /// `root` with what must survive between stages protected too.
    fn spare(&self, mut root: Root) -> Root {
        self.spared.iter().cloned().for_each(|path| root.protect(path));
        root
    }

    fn protected_root(&self, dir: &Path) -> Result<Root> {
        let mut root = Root::open(dir)?;
        let dir = fs::canonicalize(dir).with_context(|| format!("resolve {}", dir.display()))?;
        mounts(&dir)?.into_iter().for_each(|path| root.protect(path));
        self.ignored.iter().cloned().for_each(|path| root.protect(path));
        let own = fs::canonicalize(self.own_directory()).with_context(|| format!("resolve {}", self.work.display()))?;
        if let Some(path) = inside(&dir, std::os::unix::ffi::OsStrExt::as_bytes(own.as_os_str())) {
            root.protect(path);
        }
        Ok(root)
    }

    /// What is ours as a whole. In `/` that is the directory around the work directory: our program and its certificates are
    /// there too, as in kaniko's image, for the next build in the same container.
    fn own_directory(&self) -> &Path {
        match &self.place {
            Place::InPlace => self.work.parent().unwrap_or(&self.work),
            Place::Below(_) => &self.work,
        }
    }

    /// Where cache mounts are kept for the builds to come, on the root's file system where possible.
    pub(super) fn caches(&self) -> PathBuf {
        match &self.place {
            Place::InPlace => self.own_directory().join("caches"),
            Place::Below(dir) => dir.join("caches"),
        }
    }

    /// A directory of ours below the work directory, made if missing.
    pub(super) fn own_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.work.join(name);
        make_directory(&dir)?;
        Ok(dir)
    }
}

/// What is mounted now below `dir`, which is the canonical path of a root.
pub(super) fn mounts(dir: &Path) -> Result<Vec<RootPath>> {
    let mountinfo = fs::read("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    Ok(mounts_below(dir, &mountinfo))
}

/// Everything in the root is removed, so it must not be the way to another directory.
fn refuse_link(dir: &Path) -> Result<()> {
    let found = fs::symlink_metadata(dir).with_context(|| format!("stat {}", dir.display()))?;
    ensure!(found.is_dir(), "{} is a symlink; the root must be a directory of its own", dir.display());
    Ok(())
}

/// The root directory where no layer describes it: neither our umask nor an earlier stage has a say in it.
fn fresh_root() -> Entry {
    let mtime = Timestamp::now();
    Entry { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0, mtime, xattrs: Xattrs::new() }
}

fn make_directory(dir: &Path) -> Result<()> {
    match fs::create_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("create {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn site(dir: &Path) -> Site {
        let work = dir.join("work");
        fs::create_dir(&work).expect("mkdir");
        Site { place: Place::Below(dir.to_owned()), work, ignored: Vec::new(), spared: Vec::new() }
    }

    #[test]
    fn a_root_begins_empty_and_with_attributes_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let site = site(dir.path());
        fs::create_dir_all(site.root_dir().join("left/over")).expect("mkdir");
        fs::set_permissions(site.root_dir(), fs::Permissions::from_mode(0o1700)).expect("chmod");
        std::os::unix::fs::chown(site.root_dir(), Some(7), Some(7)).expect("chown");
        let root = site.open_root(true).expect("opened");
        assert!(root.read_dir(&RootPath::root()).expect("list").is_empty());
        let found = fs::metadata(site.root_dir()).expect("stat");
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o755, 0, 0));
    }

    #[test]
    fn a_root_that_is_a_link_is_refused_and_what_it_leads_to_stays() {
        let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        fs::write(other.path().join("precious"), "").expect("write");
        let site = site(dir.path());
        symlink(other.path(), site.root_dir()).expect("symlink");
        let error = site.open_root(true).expect_err("refused").to_string();
        assert!(error.contains("symlink"), "{error}");
        assert!(other.path().join("precious").exists());
    }

    #[test]
    fn cleaning_empties_the_root_and_keeps_what_is_not_the_images() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut site = site(dir.path());
        site.clean().expect("no root yet");
        for path in ["etc/x", "keep/y", "context/Dockerfile"] {
            let path = site.root_dir().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
            fs::write(path, "").expect("write");
        }
        site.ignored = vec![RootPath::clean("/keep").expect("a path")];
        site.spared = vec![RootPath::clean("/context").expect("a path")];
        site.clean().expect("cleaned");
        let left = fs::read_dir(site.root_dir()).expect("list").map(|entry| entry.expect("an entry").file_name());
        assert_eq!(left.collect::<std::collections::BTreeSet<_>>(), ["context".into(), "keep".into()].into());
        assert!(site.root_dir().join("context/Dockerfile").exists());
    }

    #[test]
    fn in_place_the_directory_of_the_program_is_protected() {
        let own = tempfile::tempdir().expect("a directory");
        let work = own.path().join("silt-x");
        fs::create_dir(&work).expect("mkdir");
        let site = Site { place: Place::InPlace, work, ignored: Vec::new(), spared: Vec::new() };
        let root = site.protected_root(Path::new("/")).expect("opened");
        let inside = |name: &str| inside(Path::new("/"), own.path().join(name).as_os_str().as_encoded_bytes());
        assert!(root.is_protected(&inside("executor").expect("a path")));
        assert!(!root.is_protected(&RootPath::clean("tmp").expect("a path")));
    }
}
