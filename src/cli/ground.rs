//! The directories of a build: made before it, and removed after it if they are ours.

use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tracing::warn;

use super::request::Ground;
use crate::build::Place;
use crate::rootfs::{Root, clear};
use crate::steps::run::recover;

/// How often a removal is tried, and how long to wait before the next time.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// What the names of our own work directories begin with.
const PREFIX: &str = "silt-";

/// A place to build and a work directory that exists and is empty.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) place: Place,
    pub(super) work: PathBuf,
    /// What goes away at the end.
    temporary: PathBuf,
}

impl Prepared {
    /// Removes what this build made for itself; what cannot be removed is named in a warning. After a signal the build may
    /// still be making files there; it fails as soon as what it works on is gone.
    pub(super) fn remove(&self) {
        for _ in 1..ATTEMPTS {
            match remove(&self.temporary) {
                Ok(()) => return,
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        if let Err(error) = remove(&self.temporary) {
            warn!("cannot remove {}: {error}", self.temporary.display());
        }
    }
}

impl Prepared {
    /// The same for at most `limit`: what is left then is named, and stays.
    pub(super) fn remove_within(self: &Arc<Self>, limit: Duration) {
        let (done, wait) = mpsc::channel();
        let ours = Arc::clone(self);
        let removal = std::thread::Builder::new().spawn(move || {
            ours.remove();
            done.send(())
        });
        if removal.is_err() || wait.recv_timeout(limit).is_err() {
            warn!("{} could not be removed in time and stays", self.temporary.display());
        }
    }
}

/// Removes a directory with what a hostile image or step may have left in it: as deep as it likes, and never what is mounted
/// there. A link is removed itself.
fn remove(dir: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.is_dir() => std::fs::remove_file(dir),
        Ok(_) => {
            clear(&Root::open(dir)?)?;
            std::fs::remove_dir(dir)
        }
    }
}

/// Makes the directories of `ground`. Ours are for root alone: a root holds programs with setuid bits.
pub(super) fn prepare(ground: Ground) -> Result<Prepared> {
    match ground {
        Ground::InPlace(own) => {
            make(&own)?;
            remove_stale(&own);
            let work = private_dir(&own)?;
            hold(&work)?;
            Ok(Prepared { place: Place::InPlace, temporary: work.clone(), work })
        }
        Ground::Given(dir) => {
            make(&dir)?;
            let dir = std::fs::canonicalize(&dir).with_context(|| format!("resolve {}", dir.display()))?;
            if dir == Path::new("/") {
                bail!("--build-root=/ is not below anything; leave it out and give --force to build in /");
            }
            warn_if_open(&dir)?;
            let work = dir.join("work");
            put_back(&work);
            remove(&work).with_context(|| format!("remove {}, left by an earlier build", work.display()))?;
            make(&work)?;
            Ok(Prepared { place: Place::Below(dir), temporary: work.clone(), work })
        }
        Ground::Private(parent) => {
            let dir = private_dir(&parent)?;
            let work = dir.join("work");
            make(&work)?;
            Ok(Prepared { place: Place::Below(dir.clone()), work, temporary: dir })
        }
    }
}

/// Puts back what the steps of a build that was killed had in place.
fn put_back(work: &Path) {
    match recover(&work.join("mounts")) {
        Ok(problems) => {
            problems.iter().for_each(|problem| warn!("left by an earlier build, cannot be put back: {problem}"))
        }
        Err(error) => warn!("{}: cannot put back what an earlier build left: {error}", work.display()),
    }
}

/// Removes the work directories of builds in `own` that were killed. One that is locked belongs to a build that runs.
fn remove_stale(own: &Path) {
    let entries = std::fs::read_dir(own).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_ours = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes())) && path.is_dir()
    };
    for work in entries.filter(is_ours) {
        let Ok(lock) = std::fs::File::open(&work) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        put_back(&work);
        if let Err(error) = remove(&work) {
            warn!("cannot remove {}, left by an earlier build: {error}", work.display());
        }
    }
}

/// Locks a work directory for as long as this process lives.
fn hold(work: &Path) -> Result<()> {
    let lock = std::fs::File::open(work).with_context(|| format!("open {}", work.display()))?;
    lock.try_lock().with_context(|| format!("lock {}", work.display()))?;
    std::mem::forget(lock);
    Ok(())
}

/// A directory that the user made keeps its mode, whatever that lets others reach.
fn warn_if_open(dir: &Path) -> Result<()> {
    let mode = std::fs::metadata(dir).with_context(|| format!("stat {}", dir.display()))?.mode();
    if mode & 0o011 != 0 {
        warn!("Other users of this machine can enter {} and use setuid programs and devices there", dir.display());
    }
    Ok(())
}

fn make(dir: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("create {}", dir.display()))
}

fn private_dir(parent: &Path) -> Result<PathBuf> {
    let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent);
    Ok(made.with_context(|| format!("create a directory in {}", parent.display()))?.keep())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::RootPath;

    #[test]
    fn a_given_directory_stays_and_its_work_goes() {
        let dir = tempfile::tempdir().expect("dir");
        let root = dir.path().join("b");
        std::fs::create_dir_all(root.join("work/old")).expect("left over");
        let prepared = prepare(Ground::Given(root.clone())).expect("prepared");
        assert_eq!(prepared.place, Place::Below(root.canonicalize().expect("there")));
        assert_eq!(std::fs::read_dir(&prepared.work).expect("there").count(), 0);
        prepared.remove();
        assert!(root.exists() && !prepared.work.exists());
    }

    #[test]
    fn a_private_directory_goes_as_a_whole() {
        let dir = tempfile::tempdir().expect("dir");
        let prepared = prepare(Ground::Private(dir.path().to_owned())).expect("prepared");
        assert!(prepared.work.exists());
        prepared.remove();
        assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0);
    }

    #[test]
    fn a_link_is_not_followed_and_a_deep_tree_is_removed() {
        let (dir, other) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        std::fs::write(other.path().join("precious"), "").expect("write");
        let link = dir.path().join("work");
        std::os::unix::fs::symlink(other.path(), &link).expect("symlink");
        remove(&link).expect("removed");
        assert!(other.path().join("precious").exists() && link.symlink_metadata().is_err());
        let deep = Root::open(dir.path()).expect("open");
        let path = RootPath::clean(format!("work{}", "/d".repeat(1500))).expect("a path");
        deep.create_dir_all(&path, 0o755, 0, 0).expect("mkdir");
        remove(&link).expect("more levels than descriptors");
        assert!(link.symlink_metadata().is_err());
    }

    #[test]
    fn the_root_of_the_machine_is_no_build_root() {
        assert!(prepare(Ground::Given("/".into())).is_err());
    }
}
