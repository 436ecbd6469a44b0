//! A disk that is full: which one, and what can be done about it.

use std::path::Path;

use anyhow::Error;
use rustix::fs::{StatVfs, statvfs};
use rustix::io::Errno;

use super::site::{Place, Site};
use crate::steps;

/// A file system with fewer bytes left is why a command failed that does not say why.
const LITTLE: u64 = 1 << 20;

/// `cause` with what is to be said of a full disk, if that is why a step failed.
pub(super) fn explained(cause: Error, site: &Site) -> Error {
    let says_so = format!("{cause:#}").contains(&std::io::Error::from(Errno::NOSPC).to_string());
    let is_command = matches!(cause.downcast_ref::<steps::Error>(), Some(steps::Error::Failed(_)));
    if !says_so && !is_command {
        return cause;
    }
    let root = site.root_dir();
    let dirs = [root.as_path(), site.work.as_path()];
    let found = dirs.into_iter().filter_map(|dir| Some((dir, statvfs(dir).ok()?))).min_by_key(|(_, it)| left(it));
    match found.filter(|(_, it)| says_so || left(it) < LITTLE || has_no_files(it)) {
        Some((dir, it)) => cause.context(explanation(dir, &it, &site.place)),
        None => cause,
    }
}

fn left(file_system: &StatVfs) -> u64 {
    file_system.f_bavail.saturating_mul(file_system.f_frsize)
}

/// Where inodes are not counted there are none, of none.
fn has_no_files(file_system: &StatVfs) -> bool {
    file_system.f_files > 0 && file_system.f_favail == 0
}

fn explanation(dir: &Path, it: &StatVfs, place: &Place) -> String {
    let (dir, bytes) = (dir.display(), it.f_blocks.saturating_mul(it.f_frsize));
    let what = match has_no_files(it) {
        true => format!("the file system of {dir} has none of its {} inodes left", it.f_files),
        false => format!("the file system of {dir} is full ({} of {} MiB left)", left(it) >> 20, bytes >> 20),
    };
    let advice = match place {
        Place::InPlace => {
            "give the container more storage, or with --kaniko-dir=DIR a volume for layers and kept stages"
        }
        Place::Below(_) => "give it more, or with --build-root=DIR another one",
    };
    format!("{what}; {advice}")
}
