//! The directories of a build: made before it, and removed after it if they are ours.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tracing::warn;

use super::request::Ground;
use crate::build::Place;

/// A place to build and a work directory that exists and is empty.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) place: Place,
    pub(super) work: PathBuf,
    /// What goes away at the end.
    temporary: PathBuf,
}

impl Prepared {
    /// Removes what this build made for itself; what cannot be removed is named in a warning.
    pub(super) fn remove(&self) {
        if let Err(error) = remove(&self.temporary) {
            warn!("cannot remove {}: {error}", self.temporary.display());
        }
    }
}

fn remove(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the directories of `ground`. Ours are for root alone: a root holds programs with setuid bits.
pub(super) fn prepare(ground: Ground) -> Result<Prepared> {
    match ground {
        Ground::InPlace(own) => {
            make(&own)?;
            let work = private_dir(&own)?;
            Ok(Prepared { place: Place::InPlace, temporary: work.clone(), work })
        }
        Ground::Given(dir) => {
            make(&dir)?;
            let dir = std::fs::canonicalize(&dir).with_context(|| format!("resolve {}", dir.display()))?;
            if dir == Path::new("/") {
                bail!("--build-root=/ is not below anything; leave it out and give --force to build in /");
            }
            let work = dir.join("work");
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

fn make(dir: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("create {}", dir.display()))
}

fn private_dir(parent: &Path) -> Result<PathBuf> {
    let made = tempfile::Builder::new().prefix("silt-").tempdir_in(parent);
    Ok(made.with_context(|| format!("create a directory in {}", parent.display()))?.keep())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_root_of_the_machine_is_no_build_root() {
        assert!(prepare(Ground::Given("/".into())).is_err());
    }
}
