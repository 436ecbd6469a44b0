//! The `.git` that `--keep-git-dir` asks for, as a shallow `git fetch` and a checkout leave it: the commit's pack, the reference
//! that named it, a detached `HEAD`, an index, and the address without a credential (gitrepository-layout(5)).
//!
//! All of it is written by us: nothing of the remote's own configuration, and no hook, is in it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use rustix::fd::OwnedFd;

use super::checkout::{create, make_directory};
use super::fetch::Fetched;
use super::objects::{Commit, NAMES, Objects, said};
use super::{Remote, checkout};

/// Writes `.git` into the checkout `into`.
pub(super) fn write(
    into: &OwnedFd,
    remote: &Remote,
    fetched: &Fetched,
    commit: &Commit,
    objects: &Objects,
) -> Result<()> {
    let git = make_directory(into, b".git")?;
    let refs = make_directory(&git, b"refs")?;
    let (heads, tags) = (make_directory(&refs, b"heads")?, make_directory(&refs, b"tags")?);
    let store = make_directory(&git, b"objects")?;
    let (info, packs) = (make_directory(&store, b"info")?, make_directory(&store, b"pack")?);
    for path in objects.files() {
        let name = path.file_name().context("a pack without a name")?.as_encoded_bytes();
        let mut from = File::open(path).with_context(|| format!("open {}", path.display()))?;
        io::copy(&mut from, &mut create(&packs, name, 0o444)?)?;
    }
    let file = |name: &[u8], text: &[u8]| -> Result<()> {
        let mut file = create(&git, name, 0o644)?;
        file.write_all(text)?;
        checkout::stamp(&file, Some(commit.time))
    };
    file(b"HEAD", format!("{}\n", commit.id).as_bytes())?;
    file(b"config", config(remote).as_bytes())?;
    if let Some(line) = fetched.reference.as_deref().and_then(|name| packed(name, fetched)) {
        file(b"packed-refs", line.as_bytes())?;
    }
    if !fetched.shallow.is_empty() {
        let lines = fetched.shallow.iter().fold(String::new(), |lines, id| lines + &format!("{id}\n"));
        file(b"shallow", lines.as_bytes())?;
    }
    file(b"index", &index(commit, objects)?)?;
    for directory in [&packs, &info, &store, &heads, &tags, &refs, &git] {
        checkout::stamp(directory, Some(commit.time))?;
    }
    Ok(())
}

fn config(remote: &Remote) -> String {
    let mut text = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n".to_owned();
    let url: String = remote.url.as_str().replace('\\', "\\\\").replace('"', "\\\"");
    let _ = write!(text, "[remote \"origin\"]\n\turl = \"{url}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n");
    text
}

/// A reference as a line of `packed-refs`: its name is never a path. One that git would not take is left out.
fn packed(name: &[u8], fetched: &Fetched) -> Option<String> {
    let text = std::str::from_utf8(name).ok()?;
    let is_good = text.starts_with("refs/") && gix_validate::reference::name(text.into()).is_ok();
    is_good.then(|| format!("# pack-refs with: sorted \n{} {text}\n", fetched.id))
}

/// An index without what `git status` knows of files, which it then looks at once.
fn index(commit: &Commit, objects: &Objects) -> Result<Vec<u8>> {
    let state = gix_index::State::from_tree(&commit.tree, objects, NAMES).map_err(said)?;
    let mut bytes = Vec::new();
    let file = gix_index::File::from_state(state, "index");
    file.write_to(&mut bytes, gix_index::write::Options::default()).map_err(said)?;
    Ok(bytes)
}
