//! Git repositories from elsewhere: one commit of one, checked out into a directory of ours (git-http-backend(1),
//! gitprotocol-v2(5), gitformat-pack(5)).
//!
//! It is one request with depth 1, over `https://`, `http://` or `git://`. There is no repository on this side whose
//! configuration could be honoured, and none of the other's hooks, filters, attributes, alternates or configuration is: the
//! objects of a pack are written as files, directories and links, and nothing else is made of them. A name that git itself
//! would not check out is refused, and nothing is written through a link. A credential goes to the host that it is for, over
//! TLS alone, and is in no message. The caller says which it is, and owns the directory.

mod address;
mod body;
mod bounds;
mod checkout;
mod dot_git;
mod fetch;
mod http;
mod login;
mod objects;
mod revision;
mod submodule;
#[cfg(test)]
mod tests;
mod transport;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

pub use address::{Address, Mtime, Remote, Submodules};
pub use login::{Login, Logins};
pub use revision::Revision;

use crate::credentials::Network;
use checkout::Checkout;
use fetch::Fetched;
use gix_hash::ObjectId;
use objects::Objects;

/// As many repositories below one another, and as many in all, as submodules may bring.
const DEEPEST: u32 = 10;
const MOST: u32 = 200;

/// Whether a `.git` stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitDir {
    /// It does not.
    Dropped,
    /// One with the commit, its reference and the address, without hooks and without a credential.
    Kept,
}

/// What repositories are fetched with.
pub struct Client<'a> {
    /// How hosts are found and trusted.
    pub network: &'a Network,
    /// What proves to a host who we are.
    pub logins: &'a Logins,
    /// An empty directory of ours, which packs are written to; it is empty again after.
    pub packs: &'a Path,
}

/// What was checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedOut {
    /// The commit, in hexadecimal.
    pub commit: String,
    /// When it was committed, in seconds since the epoch.
    pub time: i64,
}

/// What is to be checked out: of the repository that was named, or of a submodule.
struct Task<'a> {
    remote: &'a Remote,
    revision: &'a Revision,
    checksum: Option<&'a str>,
    git_dir: GitDir,
    submodules: Submodules,
    mtime: Mtime,
    depth: u32,
}

impl Client<'_> {
    /// Checks out what `address` names into `into`, an empty directory of ours, whole: a subdirectory of the address is for
    /// the caller to pick.
    ///
    /// # Errors
    /// One line that names the repository: it cannot be had, it has no such reference, its commit is not what the checksum
    /// says, or something in it cannot be a file here.
    pub fn check_out(&self, address: &Address, git_dir: GitDir, into: &Path) -> Result<CheckedOut> {
        let task = Task {
            remote: &address.remote,
            revision: &address.revision,
            checksum: address.checksum.as_deref(),
            git_dir,
            submodules: address.submodules,
            mtime: address.mtime,
            depth: 0,
        };
        let directory = checkout::open(into).with_context(|| format!("open {}", into.display()))?;
        self.task(&task, &directory, &mut bounds::Room::default(), &mut 0)
    }

    fn task(
        &self,
        task: &Task<'_>,
        into: &rustix::fd::OwnedFd,
        room: &mut bounds::Room,
        count: &mut u32,
    ) -> Result<CheckedOut> {
        *count += 1;
        ensure!(task.depth <= DEEPEST && *count <= MOST, "{}: too many submodules", task.remote);
        let pack = tempfile::tempdir_in(self.packs).context("a directory for a pack")?;
        let fetched = fetch::fetch(self, task.remote, task.revision, pack.path());
        let fetched = fetched.with_context(|| format!("git repository {}", task.remote))?;
        self.write(task, &fetched, into, room, count).with_context(|| format!("git repository {}", task.remote))
    }

    fn write(
        &self,
        task: &Task<'_>,
        fetched: &Fetched,
        into: &rustix::fd::OwnedFd,
        room: &mut bounds::Room,
        count: &mut u32,
    ) -> Result<CheckedOut> {
        let objects = Objects::open(&fetched.index)?;
        let commit = objects.commit(fetched.id)?;
        check(task.checksum, fetched.id, commit.id)?;
        let mtime = match task.mtime {
            Mtime::Commit => Some(commit.time),
            Mtime::Checkout => None,
        };
        let mut checkout = Checkout::new(&objects, room, mtime);
        checkout.write(commit.tree, into)?;
        let links = checkout.into_submodules();
        if task.git_dir == GitDir::Kept {
            dot_git::write(into, task.remote, fetched, &commit, &objects).context("write .git")?;
        }
        if task.submodules == Submodules::Fetched && !links.is_empty() {
            let modules = objects.file(commit.tree, b".gitmodules")?;
            let places = submodule::places(modules.as_deref().unwrap_or_default(), &links, task.remote)?;
            for place in places {
                self.submodule(task, &place, into, room, count)?;
            }
        }
        checkout::stamp(into, mtime)?;
        Ok(CheckedOut { commit: commit.id.to_string(), time: commit.time })
    }

    fn submodule(
        &self,
        task: &Task<'_>,
        place: &submodule::Place,
        into: &rustix::fd::OwnedFd,
        room: &mut bounds::Room,
        count: &mut u32,
    ) -> Result<()> {
        let revision = Revision::Commit(place.commit.to_string());
        let below = checkout::below(into, &place.path)?;
        let (remote, depth) = (&place.remote, task.depth + 1);
        let inner = Task { remote, revision: &revision, checksum: None, git_dir: GitDir::Dropped, depth, ..*task };
        self.task(&inner, &below, room, count).with_context(|| format!("submodule {}", place.shown()))?;
        Ok(())
    }
}

/// A checksum is the start of the commit's name, or of that of the annotated tag that leads to it.
fn check(checksum: Option<&str>, named: ObjectId, commit: ObjectId) -> Result<()> {
    let Some(checksum) = checksum else { return Ok(()) };
    if !commit.to_string().starts_with(checksum) && !named.to_string().starts_with(checksum) {
        bail!("the commit is {commit}, but the checksum says {checksum}");
    }
    Ok(())
}
