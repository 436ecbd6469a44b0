//! Which files the sources of COPY and ADD name: paths and patterns, relative to the top of a build context or of another
//! tree, and never outside it.
//!
//! `..` stops at the top and links are followed inside the tree alone, so a hostile context can name no file of the host.
//! A pattern is matched name by name as Go's `filepath.Match` does; its wildcards follow no links. What the context's
//! ignore file excludes does not exist here. Follows the Dockerfile reference ("COPY") and BuildKit.

use anyhow::{Result, anyhow};

use super::Tree;
use crate::context::Exclusion;
use crate::dockerfile::glob::{Glob, is_pattern};
use crate::dockerfile::nearest;
use crate::rootfs::{Kind, Node, RootPath, Selection};

/// Something that a source names.
pub(super) struct Found {
    /// Where it is, links followed.
    pub path: RootPath,
    /// The name that it takes in a directory.
    pub name: Vec<u8>,
    /// What it is.
    pub node: Node,
    /// Whether a link of that name led there.
    pub through_link: bool,
}

/// A source is neither in its tree nor a pattern.
#[derive(Debug, thiserror::Error)]
#[error("{source_name:?} is not in {tree}{why}")]
pub struct Missing {
    source_name: String,
    tree: &'static str,
    why: String,
}

/// What `source`, an expanded word, names in `tree`, in the order of the names. Only a pattern may name nothing.
pub(super) fn find(tree: &Tree<'_>, source: &str) -> Result<Vec<Found>> {
    let clean = |text: &str| RootPath::clean(text).ok_or_else(|| anyhow!("{source:?} has a NUL byte"));
    let path = clean(source)?;
    let text = std::str::from_utf8(path.as_bytes())?;
    let names: Vec<&str> = text.split('/').collect();
    let Some(first) = names.iter().position(|name| is_pattern(name)) else {
        return Ok(vec![named(tree, source, &path)?]);
    };
    let patterns: Vec<Glob> = names[first..].iter().map(|name| Glob::new(name)).collect::<Result<_, _>>()?;
    let base = named(tree, source, &clean(&names[..first].join("/"))?)?;
    let mut matches = Matches::default();
    if base.node.entry.is_directory() {
        matching(tree, &base.path, &patterns, &mut matches)?;
    }
    if matches.found.is_empty() {
        let left_out = matches.left_out.as_ref().and_then(|path| Some((path, tree.exclusion(path)?)));
        let why = left_out.map(|(path, why)| format!(" ({path} is {why})")).unwrap_or_default();
        tracing::warn!("nothing in {} matches {source:?}{why}", tree.name());
    }
    Ok(matches.found)
}

/// The one thing that `source`, no pattern, names in `tree`.
pub(super) fn find_one(tree: &Tree<'_>, source: &str) -> Result<Found> {
    let path = RootPath::clean(source).ok_or_else(|| anyhow!("{source:?} has a NUL byte"))?;
    named(tree, source, &path)
}

/// What stands at `path`, a link at its end followed; `source` is how the user calls it.
fn named(tree: &Tree<'_>, source: &str, path: &RootPath) -> Result<Found> {
    let exact = tree.root().resolve(path.as_bytes())?;
    let name = path.name().unwrap_or_default().to_vec();
    match tree.root().observe(&exact)? {
        Some(node) if may_name(tree, path, &node) && takes(tree, &exact, &node)? => {
            let through_link = is_link(tree, path)?;
            Ok(Found { path: exact, name, node, through_link })
        }
        node => {
            let excluded = node.and_then(|_| tree.exclusion(path).or_else(|| tree.exclusion(&exact)));
            Err(missing(tree, source, path, excluded).into())
        }
    }
}

/// Whether a link stands at `path`, where links above it lead.
fn is_link(tree: &Tree<'_>, path: &RootPath) -> Result<bool> {
    let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return Ok(false) };
    let own = tree.root().resolve(parent.as_bytes())?.join_name(name);
    Ok(tree.root().observe(&own)?.is_some_and(|node| matches!(node.entry.kind, Kind::Symlink(_))))
}

fn missing(tree: &Tree<'_>, source: &str, path: &RootPath, exclusion: Option<Exclusion<'_>>) -> Missing {
    let why = match exclusion {
        Some(exclusion) => Some(exclusion.to_string()),
        None if source.split('/').any(|part| part == "..") => Some(format!("`..` stops at its top, so this is {path}")),
        None => nearly(tree, path).map(|name| format!("did you mean {name}?")),
    };
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    Missing { source_name: source.to_owned(), tree: tree.name(), why }
}

/// What stands where `path` would and has nearly its name. Only one that the ignore rules leave.
fn nearly(tree: &Tree<'_>, path: &RootPath) -> Option<String> {
    let wanted = std::str::from_utf8(path.name()?).ok()?;
    let parent = tree.root().resolve(path.parent()?.as_bytes()).ok()?;
    let names = tree.root().read_dir(&parent).ok()?;
    let is_left = |name: &&str| tree.exclusion(&parent.join_name(name.as_bytes())).is_none();
    let names = names.iter().filter_map(|name| std::str::from_utf8(name).ok()).filter(is_left);
    nearest(wanted, names).map(str::to_owned)
}

/// What patterns match.
#[derive(Default)]
struct Matches {
    found: Vec<Found>,
    /// One that they match and the ignore file excludes.
    left_out: Option<RootPath>,
}

/// Adds what matches `patterns`, one a level, below the directory `at`.
fn matching(tree: &Tree<'_>, at: &RootPath, patterns: &[Glob], matches: &mut Matches) -> Result<()> {
    let Some((pattern, deeper)) = patterns.split_first() else { return Ok(()) };
    for name in tree.root().read_dir(at)? {
        if !pattern.matches(&name) {
            continue;
        }
        let path = at.join_name(&name);
        let Some(node) = tree.root().observe(&path)? else { continue };
        let is_directory = node.entry.is_directory();
        match deeper.is_empty() {
            false if is_directory => matching(tree, &path, deeper, matches)?,
            true if takes(tree, &path, &node)? => {
                matches.found.push(named(tree, &String::from_utf8_lossy(path.as_bytes()), &path)?);
            }
            true => matches.left_out = Some(path),
            _ => {}
        }
    }
    Ok(())
}

/// Whether the ignore rules allow to call something by `path`, which may lead through links.
fn may_name(tree: &Tree<'_>, path: &RootPath, node: &Node) -> bool {
    path.is_root() || tree.selection(path, node.entry.is_directory()) != Selection::Skip
}

/// Whether the ignore rules leave anything of the exact `path`.
fn takes(tree: &Tree<'_>, path: &RootPath, node: &Node) -> Result<bool> {
    match tree.selection(path, node.entry.is_directory()) {
        _ if path.is_root() => Ok(true),
        Selection::Take => Ok(true),
        Selection::Skip => Ok(false),
        Selection::Descend => holds_any(tree, path),
    }
}

/// Whether anything below the excluded directory `path` is taken after all.
fn holds_any(tree: &Tree<'_>, path: &RootPath) -> Result<bool> {
    for name in tree.root().read_dir(path)? {
        let child = path.join_name(&name);
        let Some(node) = tree.root().observe(&child)? else { continue };
        if takes(tree, &child, &node)? {
            return Ok(true);
        }
    }
    Ok(false)
}
