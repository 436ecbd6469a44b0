//! COPY and ADD: files of a build context, of a finished stage or of another image go into the root.
//!
//! Files of a build context belong to root unless `--chown` says otherwise; those of stages and images keep their owner.
//! A directory stands for its contents. ADD unpacks local tar archives. Follows the Dockerfile reference and, where that is
//! silent, BuildKit.

use anyhow::{Context as _, Result, bail};

use super::archive;
use super::destination::Destination;
use super::source::{Found, find};
use super::state::StageState;
use super::{Touched, Tree, unplanned};
use crate::dockerfile::{self, CopySource};
use crate::rootfs::{Copier, Owner, Root, Stamp, users};

/// What happens to archives among the sources.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Archives {
    /// COPY: they are files.
    Copy,
    /// ADD: their contents come in their place.
    Unpack,
}

pub(super) fn transfer(
    state: &StageState,
    root: &Root,
    tree: &Tree<'_>,
    transfer: &dockerfile::Transfer,
    archives: Archives,
) -> Result<Touched> {
    let chown = chown(state, root, transfer)?;
    let stamp = Stamp { owner: chown.unwrap_or(default_owner(tree)), mode: chmod(state, transfer)? };
    let destination = Destination::new(state, &state.expand(&transfer.destination)?)?;
    let found = sources(state, tree, transfer)?;
    destination.check_room(root, &found)?;
    let filter = |path: &_, is_directory| tree.selection(path, is_directory);
    let mut copier = Copier::new(tree.root(), root, stamp, &filter);
    for found in &found {
        let opened = if archives == Archives::Unpack { archive::open(tree.root(), found)? } else { None };
        match opened {
            Some(archive) => {
                if stamp.mode.is_some() {
                    tracing::warn!("--chmod does not apply to what ADD unpacks from {:?}", found.path);
                }
                let unpacked = archive.unpack(&mut copier, &destination.exact(root)?, chown.unwrap_or(Owner::Kept));
                unpacked.with_context(|| format!("unpack {:?}", found.path))?;
            }
            None => place(&mut copier, root, found, &destination)?,
        }
    }
    let touched = copier.into_touched();
    Ok(if touched.is_empty() { Touched::Nothing } else { Touched::Paths(touched) })
}

fn sources(state: &StageState, tree: &Tree<'_>, transfer: &dockerfile::Transfer) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for source in &transfer.sources {
        match source {
            CopySource::Path(word) => found.extend(find(tree, &state.expand(word)?)?),
            CopySource::Heredoc(_) => return Err(unplanned("a here-document (<<)")),
        }
    }
    Ok(found)
}

/// Copies one source to where it belongs.
fn place(copier: &mut Copier<'_>, root: &Root, found: &Found, destination: &Destination) -> Result<()> {
    let target = match destination.as_directory(root)? {
        _ if found.node.entry.is_directory() => destination.exact(root)?,
        Some(directory) => {
            copier.directory(&directory)?;
            directory.join_name(&found.name)
        }
        None => {
            let exact = destination.exact(root)?;
            exact.parent().map_or(Ok(()), |parent| copier.directory(&parent))?;
            exact
        }
    };
    copier.copy(&found.path, &target).with_context(|| format!("copy to {target}"))
}

/// What `--chown` says; nothing where it is empty after expansion.
fn chown(state: &StageState, root: &Root, transfer: &dockerfile::Transfer) -> Result<Option<Owner>> {
    let word = transfer.chown.as_deref().map(|word| state.expand(word)).transpose()?;
    let word = word.filter(|word| !word.is_empty());
    let owner = word.map(|word| users::resolve_owner(root, &word).context("--chown")).transpose()?;
    Ok(owner.map(Owner::Given))
}

fn default_owner(tree: &Tree<'_>) -> Owner {
    match tree {
        Tree::Context { .. } => Owner::Given(users::Owner { uid: 0, gid: 0 }),
        Tree::Files(_) => Owner::Kept,
    }
}

/// What `--chmod` says; nothing where it is empty after expansion.
fn chmod(state: &StageState, transfer: &dockerfile::Transfer) -> Result<Option<u32>> {
    let word = transfer.chmod.as_deref().map(|word| state.expand(word)).transpose()?;
    word.filter(|word| !word.is_empty()).map(|word| mode(&word)).transpose()
}

/// An octal mode. Symbolic ones are part of the language too, but not offered yet.
fn mode(text: &str) -> Result<u32> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 && !text.starts_with('+') => Ok(mode),
        _ => bail!("--chmod: {text:?} is not an octal mode from 0 to 7777; symbolic modes are not supported yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (text, expected) in [("755", 0o755), ("0644", 0o644), ("4755", 0o4755), ("0", 0), ("7777", 0o7777)] {
            assert_eq!(mode(text).expect(text), expected, "{text}");
        }
        for text in ["", "+x", "u=rwx", "888", "17777", "-1", "+755", "0x1"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
