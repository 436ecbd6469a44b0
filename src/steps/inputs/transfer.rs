//! The inputs of COPY and ADD: the words, and what they name.

use anyhow::Result;

use super::{Input, Sight, framed};
use crate::context::digests::Owners;
use crate::dockerfile::{self, CopySource, Heredoc, Variables, remote};
use crate::oci::{Algorithm, Hasher};
use crate::rootfs::{self, RootPath, Selection};
use crate::steps::source::{Found, find};
use crate::steps::state::StageState;
use crate::steps::transfer::default_owner;
use crate::steps::{CheckOut, Tree, pattern};

pub(super) fn copy(it: &dockerfile::Copy, state: &StageState, sight: &Sight<'_>) -> Result<Vec<Input>> {
    let mut inputs = words(&it.transfer, state)?;
    inputs.push(Input::Word("--parents", vec![u8::from(it.parents)]));
    for source in &it.transfer.sources {
        match source {
            CopySource::Heredoc(document) => inputs.push(self::document(document, state)?),
            CopySource::Path(word) => local(&state.expand(word)?, &it.transfer, it.parents, state, sight, &mut inputs)?,
        }
    }
    Ok(inputs)
}

pub(super) fn add(it: &dockerfile::Add, state: &StageState, sight: &Sight<'_>) -> Result<Vec<Input>> {
    let mut inputs = words(&it.transfer, state)?;
    let said = |flag: Option<bool>| flag.map_or_else(Vec::new, |flag| vec![u8::from(flag)]);
    inputs.push(Input::Word("--unpack", said(it.unpack)));
    inputs.push(Input::Word("--keep-git-dir", said(it.keep_git_dir)));
    let checksum = it.checksum.as_deref().map(|checksum| state.expand(checksum)).transpose()?;
    let checksum = checksum.filter(|checksum| !checksum.is_empty());
    for source in &it.transfer.sources {
        match source {
            CopySource::Heredoc(document) => inputs.push(self::document(document, state)?),
            CopySource::Path(word) => {
                let word = state.expand(word)?;
                if remote::is_remote(&word) {
                    inputs.push(fetched(&word, checksum.as_deref(), it.keep_git_dir, sight)?);
                } else {
                    local(&word, &it.transfer, false, state, sight, &mut inputs)?;
                }
            }
        }
    }
    Ok(inputs)
}

fn words(transfer: &dockerfile::Transfer, state: &StageState) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for (name, word) in [("--chown", &transfer.chown), ("--chmod", &transfer.chmod)] {
        let value = word.as_ref().map(|word| state.expand(word)).transpose()?.unwrap_or_default();
        inputs.push(Input::Word(name, value.into_bytes()));
    }
    inputs.push(Input::Word("--link", vec![u8::from(transfer.link)]));
    for word in &transfer.excludes {
        inputs.push(Input::Word("--exclude", state.expand(word)?.into_bytes()));
    }
    for source in &transfer.sources {
        if let CopySource::Path(word) = source {
            inputs.push(Input::Word("source", state.expand(word)?.into_bytes()));
        }
    }
    let destination = state.expand(&transfer.destination)?;
    let path = state.path(&destination)?;
    let last = destination.rsplit('/').next().unwrap_or_default();
    let is_directory: &[u8] = if matches!(last, "" | ".") { b"/" } else { b"" };
    inputs.push(Input::Word("destination", framed([path.as_bytes(), is_directory])));
    Ok(inputs)
}

fn document(document: &Heredoc, state: &StageState) -> Result<Input> {
    let content = match document.variables {
        Variables::Expanded => state.expand_body(&document.content())?,
        Variables::Literal => document.content(),
    };
    Ok(Input::Word("document", framed([document.name.as_bytes(), content.as_bytes()])))
}

/// What an expanded word names in a context. Of a stage or an image the word is enough.
fn local(
    word: &str,
    transfer: &dockerfile::Transfer,
    parents: bool,
    state: &StageState,
    sight: &Sight<'_>,
    inputs: &mut Vec<Input>,
) -> Result<()> {
    let Some(tree) = &sight.tree else { return Ok(()) };
    let owners = owners(tree, transfer, state);
    let top = word.split_once("/./").map_or("/", |(top, _)| if top.is_empty() { "/" } else { top });
    for found in find(tree, if parents { top } else { word })? {
        inputs.push(Input::Word("name", found.name.clone()));
        if parents {
            let below = word.split_once("/./").map_or(word, |(_, below)| below);
            let includes = pattern::includes(below)?;
            inputs.extend(contents(
                tree,
                &found,
                owners,
                &|own, is_directory| pattern::selection(&includes, own.as_bytes(), is_directory),
                sight,
            )?);
        } else {
            let excludes = pattern::excludes(state, &transfer.excludes)?;
            inputs.extend(contents(
                tree,
                &found,
                owners,
                &|own, is_directory| pattern::selection(&excludes, own.as_bytes(), is_directory),
                sight,
            )?);
        }
    }
    Ok(())
}

/// The files of what was found. A directory that is copied gives its contents and nothing of its own.
fn contents(
    tree: &Tree<'_>,
    found: &Found,
    owners: Owners,
    own: &(dyn Fn(&RootPath, bool) -> Selection + Sync),
    sight: &Sight<'_>,
) -> Result<Vec<Input>> {
    let includes = |path: &RootPath, is_directory: bool| {
        let below = path.strip_prefix(&found.path).unwrap_or_else(RootPath::root);
        pattern::narrower(tree.selection(path, is_directory), own(&below, is_directory))
    };
    let mut rows = sight.digests.rows(tree.root(), &found.path, owners, &includes)?;
    if found.node.entry.is_directory() {
        rows.retain(|row| row.path != found.path);
    }
    Ok(rows.into_iter().map(|row| Input::File(row.path, row.digest)).collect())
}

fn owners(tree: &Tree<'_>, transfer: &dockerfile::Transfer, state: &StageState) -> Owners {
    let is_given = transfer.chown.is_some() || default_owner(tree, &state.compat) != rootfs::Owner::Kept;
    if is_given { Owners::Replaced } else { Owners::Count }
}

/// What an address gives, by its checksum or else by its content: what servers say of versions is not relied upon.
fn fetched(word: &str, checksum: Option<&str>, keep_git_dir: Option<bool>, sight: &Sight<'_>) -> Result<Input> {
    let name = nameable(word);
    if remote::is_git(word) {
        let repository = sight.fetch.check_out(&CheckOut { address: word, checksum, keep_git_dir })?;
        return Ok(Input::Remote(name, framed([b"commit", repository.commit.as_bytes()])));
    }
    if let Some(checksum) = checksum {
        return Ok(Input::Remote(name, framed([b"checksum", checksum.as_bytes()])));
    }
    let fetched = sight.fetch.fetch(word, None)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    std::io::copy(&mut &fetched.file, &mut hasher)?;
    let content = hasher.finish();
    Ok(Input::Remote(name, framed([b"content".as_slice(), fetched.name.as_bytes(), content.as_str().as_bytes()])))
}

/// An address without what may be a secret in it: user, password, query.
fn nameable(word: &str) -> String {
    let word = word.split(['?', '#']).next().unwrap_or_default();
    match word.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{scheme}://{}/{path}", host.rsplit('@').next().unwrap_or_default())
        }
        None => word.rsplit('@').next().unwrap_or_default().to_owned(),
    }
}
