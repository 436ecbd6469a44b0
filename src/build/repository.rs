//! A git repository that ADD names: checked out into a directory of ours, with the credentials that the build's secrets hold.
//!
//! As BuildKit has it, `GIT_AUTH_TOKEN` and `GIT_AUTH_HEADER` are for the host that the instruction names, and
//! `GIT_AUTH_TOKEN.host` and `GIT_AUTH_HEADER.host` for that host wherever it comes up. The variables of a context's repository
//! (`GIT_TOKEN` and its like) are not for addresses of a Dockerfile.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use tracing::info;

use crate::credentials::Network;
use crate::git::{self, Address, GitDir, Login, Logins};
use crate::rootfs::{Root, RootPath};
use crate::steps::{CheckOut, Repository, Vault};

/// Makes a login of a secret.
type Made = fn(&str) -> Login;

/// The secrets that hold logins, the first one wins.
const SECRETS: [(&str, Made); 2] = [("GIT_AUTH_HEADER", Login::header), ("GIT_AUTH_TOKEN", Login::token)];

/// Checks out what an ADD asks for, into a new directory below `dir`.
pub(super) fn check_out(ask: &CheckOut<'_>, vault: &Vault, network: &Network, dir: &Path) -> Result<Repository> {
    let mut address = Address::parse(ask.address).context("a git repository")?;
    let git_dir = settle(&mut address, ask)?;
    let logins = logins(vault, &address.remote.host())?;
    info!("Checking out {}", address.remote);
    let place = tempfile::tempdir_in(dir).context("a directory for a repository")?;
    let (packs, tree) = (place.path().join("packs"), place.path().join("tree"));
    for made in [&packs, &tree] {
        std::fs::create_dir(made).with_context(|| format!("create {}", made.display()))?;
    }
    let client = git::Client { network, logins: &logins, packs: &packs };
    let found = client.check_out(&address, git_dir, &tree)?;
    info!("Checked out commit {} of {}", found.commit, address.remote);
    let root = Root::open(&tree).with_context(|| format!("open {}", tree.display()))?;
    let top = top(&root, &address)?;
    Ok(Repository { root, top, commit: found.commit, place: Rc::new(place) })
}

/// What the flags of the instruction and the address say together.
fn settle(address: &mut Address, ask: &CheckOut<'_>) -> Result<GitDir> {
    if let Some(checksum) = ask.checksum {
        address.expect(checksum).context("--checksum")?;
    }
    address.settle();
    let asked = ask.keep_git_dir.map(|keep| if keep { GitDir::Kept } else { GitDir::Dropped });
    let is_agreed = asked.is_none() || address.git_dir.is_none() || asked == address.git_dir;
    ensure!(is_agreed, "--keep-git-dir and keep-git-dir in the address contradict each other");
    let wanted = asked.or(address.git_dir).unwrap_or(GitDir::Dropped);
    // The directory of a repository is at its top, which a subdirectory leaves out.
    Ok(if address.subdir.is_some() { GitDir::Dropped } else { wanted })
}

/// The directory that is meant: it is reached without a link.
fn top(root: &Root, address: &Address) -> Result<RootPath> {
    let Some(subdir) = &address.subdir else { return Ok(RootPath::root()) };
    let path = RootPath::clean(subdir).with_context(|| format!("{subdir:?} is no path"))?;
    let exact = root.resolve(path.as_bytes())?;
    ensure!(exact == path, "{subdir:?} of {} leads through a symbolic link, which is not followed", address.remote);
    let node = root.observe(&path)?.with_context(|| format!("{} has no directory {subdir:?}", address.remote))?;
    ensure!(node.entry.is_directory(), "{subdir:?} of {} is no directory", address.remote);
    Ok(path)
}

/// The logins that the secrets hold; those that name no host are for `host`.
fn logins(vault: &Vault, host: &str) -> Result<Logins> {
    let mut logins = Logins::default();
    let text = |id: &str, bytes: &[u8]| -> Result<String> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.trim().chars().any(char::is_control));
        Ok(text.with_context(|| format!("the secret {id} is no line of text"))?.to_owned())
    };
    for (name, login) in SECRETS {
        for (id, bytes) in vault.secrets() {
            if let Some(host) = id.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) {
                logins.add(host, login(&text(id, bytes)?));
            }
        }
    }
    for (name, login) in SECRETS {
        if let Some(bytes) = vault.secret(name) {
            logins.add(host, login(&text(name, bytes)?));
        }
    }
    Ok(logins)
}
