//! COPY and ADD: files of a build context, of a finished stage, of another image, of the Dockerfile itself or of an address go
//! into the root.
//!
//! Files of a build context belong to root unless `--chown` says otherwise; those of stages and images keep their owner.
//! A directory stands for its contents. ADD unpacks tar archives and fetches addresses. Follows the Dockerfile reference
//! and, where that is silent, BuildKit.

mod placing;

use anyhow::{Context as _, Result, bail, ensure};

use super::destination::Destination;
use super::fetch::{CheckOut, Fetch, Fetched, Repository};
use super::pattern;
use super::source::{Found, find};
use super::state::StageState;
use super::{Sources, Touched, Tree, differences};
use crate::dockerfile::{self, CopySource, Heredoc, Mode, Variables, ignore::Ignore, remote};
use crate::plan::Compat;
use crate::rootfs::{Copier, Kind, Onto, Owner, Remode, Root, RootPath, Stamp, users};
use placing::Placing;

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    transfer: &'a dockerfile::Transfer,
    /// `--parents`
    parents: bool,
    archives: Archives,
    /// Whether a source may be an address, and what its content must be.
    remote: Remote<'a>,
}

/// What happens to archives among the sources.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Archives {
    /// They are files.
    Copied,
    /// The contents of those that are local come in their place.
    LocalUnpacked,
    /// The contents of all come in their place.
    Unpacked,
}

/// What a source that is an address means.
#[derive(Clone, Copy)]
enum Remote<'a> {
    /// Nothing: COPY takes paths only.
    Refused,
    /// It is fetched, or checked out.
    Fetched(Wish<'a>),
}

/// What ADD says of the source that is an address.
#[derive(Clone, Copy)]
struct Wish<'a> {
    /// `--checksum`, unexpanded.
    checksum: Option<&'a str>,
    keep_git_dir: Option<bool>,
}

/// One thing to put at the destination.
enum Item {
    /// What a path or a pattern names.
    Named(Found),
    /// What of a directory a pattern names, with the directories on the way.
    Parents(RootPath, Ignore),
    /// A file of the Dockerfile: its name and content.
    Document(String, String),
    /// What was fetched.
    Remote(Fetched),
    /// A git repository that was checked out.
    Repository(Repository),
}

impl Item {
    /// The name of a source that is a link, where what it leads to is copied.
    fn followed(&self) -> Option<String> {
        match self {
            Item::Named(found) if found.through_link => Some(String::from_utf8_lossy(&found.name).into_owned()),
            _ => None,
        }
    }
}

impl<'a> From<&'a dockerfile::Copy> for Ask<'a> {
    fn from(copy: &'a dockerfile::Copy) -> Self {
        let (archives, remote) = (Archives::Copied, Remote::Refused);
        Ask { transfer: &copy.transfer, parents: copy.parents, archives, remote }
    }
}

impl<'a> From<&'a dockerfile::Add> for Ask<'a> {
    fn from(add: &'a dockerfile::Add) -> Self {
        let archives = match add.unpack {
            None => Archives::LocalUnpacked,
            Some(true) => Archives::Unpacked,
            Some(false) => Archives::Copied,
        };
        let wish = Wish { checksum: add.checksum.as_deref(), keep_git_dir: add.keep_git_dir };
        let remote = Remote::Fetched(wish);
        Ask { transfer: &add.transfer, parents: false, archives, remote }
    }
}

pub(super) fn transfer(state: &mut StageState, root: &Root, sources: &Sources<'_>, ask: Ask<'_>) -> Result<Touched> {
    let tree = &sources.tree;
    let chown = chown(state, root, ask.transfer)?;
    let mode = chmod(state, ask.transfer)?;
    let remode = mode.as_ref().map(|mode| |old: u32, is_directory: bool| mode.apply(old, is_directory));
    let remode = remode.as_ref().map(|remode| remode as Remode<'_>);
    let stamp = Stamp { owner: chown.unwrap_or(default_owner(tree, &state.compat)), mode: remode };
    let onto = if ask.transfer.link { Onto::Fresh } else { Onto::Standing };
    let destination = Destination::new(state, &state.expand(&ask.transfer.destination)?, onto)?;
    let items = items(state, sources, &ask)?;
    let excludes = pattern::excludes(state, &ask.transfer.excludes)?;
    check_room(&destination, root, &items)?;
    let mut placing = Placing {
        copier: Copier::new(tree.root(), root, stamp, onto),
        root,
        tree,
        destination: &destination,
        excludes: &excludes,
        archives: ask.archives,
        members: chown.unwrap_or(Owner::Kept),
        is_stamped: mode.is_some(),
        unpacked: None,
    };
    let way = mode
        .as_ref()
        .map(|mode| destination.missing_way(root).map(|way| way.filter(|_| mode.apply(0o755, true) != 0o755)));
    let way = way.transpose()?.flatten();
    items.iter().try_for_each(|item| placing.item(item))?;
    let mut noticed = placing.copier.noticed();
    noticed.replaced_owner = noticed.replaced_owner.filter(|_| chown.is_none());
    let (tar, link) = (placing.unpacked, items.iter().find_map(Item::followed));
    state.differences.extend(differences::of_transfer(noticed, tar, link, way));
    let touched = placing.copier.into_touched();
    Ok(if touched.is_empty() { Touched::Nothing } else { Touched::Paths(touched) })
}

/// Several sources need a directory, unless they are directories themselves.
fn check_room(destination: &Destination, root: &Root, items: &[Item]) -> Result<()> {
    let is_alone = |item: &Item| match item {
        Item::Named(found) => found.node.entry.kind != Kind::Directory,
        Item::Parents(..) | Item::Repository(_) => false,
        Item::Document(..) | Item::Remote(_) => true,
    };
    destination.check_room(root, items.len(), items.iter().any(is_alone))
}

fn items(state: &StageState, sources: &Sources<'_>, ask: &Ask<'_>) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for source in &ask.transfer.sources {
        match source {
            CopySource::Heredoc(document) => items.push(self::document(state, document)?),
            CopySource::Path(word) => {
                let word = state.expand(word)?;
                match ask.remote {
                    Remote::Fetched(wish) if remote::is_remote(&word) => {
                        items.push(fetch(state, sources.fetch, &word, wish)?);
                    }
                    Remote::Refused if remote::is_http(&word) => bail!("COPY cannot fetch {word}; ADD can"),
                    _ => items.extend(local(&sources.tree, &word, ask.parents)?),
                }
            }
        }
    }
    if let Remote::Fetched(wish) = ask.remote {
        let is_one_address = matches!(items.as_slice(), [Item::Remote(_) | Item::Repository(_)]);
        ensure!(wish.checksum.is_none() || is_one_address, "--checksum goes with one source, which is an address");
        let has_repository = items.iter().any(|item| matches!(item, Item::Repository(_)));
        if wish.keep_git_dir.is_some() && !has_repository {
            tracing::warn!("--keep-git-dir means nothing here: no source is a git repository");
        }
    }
    Ok(items)
}

fn local(tree: &Tree<'_>, word: &str, parents: bool) -> Result<Vec<Item>> {
    if !parents {
        return Ok(find(tree, word)?.into_iter().map(Item::Named).collect());
    }
    let (top, pattern) = word.split_once("/./").unwrap_or(("", word));
    if !word.split('/').any(dockerfile::glob::is_pattern) {
        find(tree, word)?;
    }
    let tops = find(tree, if top.is_empty() { "/" } else { top })?;
    let item = |found: Found| Ok(Item::Parents(found.path, pattern::includes(pattern)?));
    tops.into_iter().map(item).collect()
}

fn document(state: &StageState, document: &Heredoc) -> Result<Item> {
    let content = match document.variables {
        Variables::Expanded => state.expand_body(&document.content())?,
        Variables::Literal => document.content(),
    };
    Ok(Item::Document(document.name.clone(), content))
}

fn fetch(state: &StageState, fetcher: &dyn Fetch, word: &str, wish: Wish<'_>) -> Result<Item> {
    let checksum = wish.checksum.map(|checksum| state.expand(checksum)).transpose()?;
    let checksum = checksum.as_deref().filter(|checksum| !checksum.is_empty());
    if !remote::is_git(word) {
        return Ok(Item::Remote(fetcher.fetch(word, checksum)?));
    }
    let ask = CheckOut { address: word, checksum, keep_git_dir: wish.keep_git_dir };
    Ok(Item::Repository(fetcher.check_out(&ask)?))
}

/// What `--chown` says; nothing where it is empty after expansion.
fn chown(state: &StageState, root: &Root, transfer: &dockerfile::Transfer) -> Result<Option<Owner>> {
    let word = transfer.chown.as_deref().map(|word| state.expand(word)).transpose()?;
    let word = word.filter(|word| !word.is_empty());
    let owner = word.map(|word| users::resolve_owner(root, &word).context("--chown")).transpose()?;
    Ok(owner.map(Owner::Given))
}

/// Whom copies out of `tree` belong to.
pub(super) fn default_owner(tree: &Tree<'_>, compat: &Compat) -> Owner {
    match tree {
        Tree::Context { .. } if !compat.copy_keeps_owner => Owner::Given(users::Owner { uid: 0, gid: 0 }),
        Tree::Context { .. } | Tree::Files(_) => Owner::Kept,
    }
}

/// What `--chmod` says; nothing where it is empty after expansion.
fn chmod(state: &StageState, transfer: &dockerfile::Transfer) -> Result<Option<Mode>> {
    let word = transfer.chmod.as_deref().map(|word| state.expand(word)).transpose()?;
    let word = word.filter(|word| !word.is_empty());
    word.map(|word| Mode::parse(&word).context("--chmod")).transpose()
}
