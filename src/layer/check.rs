//! Whether a layer is well formed: what every layer of ours promises, checked by another parser than wrote it.
//!
//! Unique clean relative names; each parent before its children and a directory; no whiteout beside an entry of the same
//! name; no real file in the name space of whiteouts; a hard link only to an earlier file of the same layer. It does not
//! ask whether the layer is right.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use tar_core::parse::{Limits, ParseEvent, ParsedEntry, Parser};

use super::header::BLOCK;
use crate::rootfs::RootPath;

/// What a well-formed layer holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Its entries by path; a whiteout under its own name, `.wh.` included.
    pub entries: BTreeMap<RootPath, Role>,
    /// Bytes of file contents.
    pub content_bytes: u64,
}

/// What an entry is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Others may be below it.
    Directory,
    /// A removal.
    Whiteout,
    /// Another name of an earlier file.
    Link,
    /// Everything else: files, symlinks, devices, pipes.
    File,
}

/// Reads a whole tar and says what is in it, or what is wrong with it.
pub fn check(mut tar: impl Read) -> Result<Summary> {
    let mut parser = Parser::new(Limits { max_metadata_size: 16 << 20, ..Limits::default() });
    // It knows no times before 1970; what it cannot read of a number does not concern this check.
    parser.set_ignore_pax_errors(true);
    let mut summary = Summary::default();
    let mut head: Vec<u8> = Vec::new();
    loop {
        let skip = match parser.parse(&head).context("the tar is malformed")? {
            ParseEvent::NeedData { min_bytes } => {
                fill(&mut tar, &mut head, min_bytes)?;
                continue;
            }
            ParseEvent::Entry { entry, .. } => {
                let name = String::from_utf8_lossy(&entry.path).into_owned();
                summary.add(&entry).with_context(|| format!("the entry {name:?}"))?;
                entry.size.next_multiple_of(BLOCK as u64)
            }
            ParseEvent::SparseEntry { .. } => bail!("the layer has a sparse entry"),
            ParseEvent::GlobalExtensions { .. } => bail!("the layer has a global header"),
            ParseEvent::End { .. } => break,
        };
        head.clear();
        let skipped = std::io::copy(&mut (&mut tar).take(skip), &mut std::io::sink()).context("read the tar")?;
        ensure!(skipped == skip, "the tar ends within an entry");
    }
    only_zeros(tar)?;
    summary.whiteouts_stand_alone()?;
    Ok(summary)
}

fn fill(tar: &mut impl Read, head: &mut Vec<u8>, wanted: usize) -> Result<()> {
    let filled = head.len();
    head.resize(wanted, 0);
    tar.read_exact(&mut head[filled..]).context("the tar ends without its two empty blocks")
}

fn only_zeros(mut tar: impl Read) -> Result<()> {
    let mut rest = Vec::new();
    tar.read_to_end(&mut rest).context("read the tar")?;
    ensure!(rest.iter().all(|byte| *byte == 0), "something follows the end of the tar");
    Ok(())
}

impl Summary {
    fn add(&mut self, entry: &ParsedEntry<'_>) -> Result<()> {
        let path = clean_name(&entry.path, entry.is_dir())?;
        ensure!(!path.is_root() || self.entries.is_empty(), "the root is not the first entry");
        self.has_parents(&path)?;
        ensure!(entry.is_file() || entry.size == 0, "it is no file and has content");
        let role = self.role(entry, &path)?;
        self.content_bytes += entry.size;
        ensure!(self.entries.insert(path, role).is_none(), "it is there twice");
        Ok(())
    }

    fn has_parents(&self, path: &RootPath) -> Result<()> {
        for parent in path.ancestors().filter(|parent| !parent.is_root()) {
            match self.entries.get(&parent) {
                Some(Role::Directory) => {}
                Some(_) => bail!("its parent {parent} is no directory"),
                None => bail!("its parent {parent} does not come before it"),
            }
        }
        Ok(())
    }

    fn role(&self, entry: &ParsedEntry<'_>, path: &RootPath) -> Result<Role> {
        let reserved = path.name().is_some_and(|name| name.starts_with(b".wh."));
        if reserved {
            return whiteout(entry, path);
        }
        if entry.is_dir() {
            return Ok(Role::Directory);
        }
        if entry.is_hard_link() {
            let target = clean_name(entry.link_target.as_deref().unwrap_or_default(), false)?;
            let earlier = self.entries.get(&target) == Some(&Role::File);
            ensure!(earlier, "it is a hard link to {target}, which is no earlier file of this layer");
            return Ok(Role::Link);
        }
        Ok(Role::File)
    }

    fn whiteouts_stand_alone(&self) -> Result<()> {
        for path in self.entries.iter().filter(|(_, role)| **role == Role::Whiteout).map(|(path, _)| path) {
            let removed = path.split().map(|(parent, name)| parent.join_name(&name[b".wh.".len()..]));
            if let Some(removed) = removed.filter(|removed| self.entries.contains_key(removed)) {
                bail!("the layer both removes and has {removed}");
            }
        }
        Ok(())
    }
}

/// The path that a name in the tar says, if it says it cleanly: relative, and with a slash at the end only for directories.
fn clean_name(name: &[u8], directory: bool) -> Result<RootPath> {
    let path = RootPath::clean(name).context("its name has a NUL")?;
    let expected = match (path.is_root(), directory) {
        (true, _) => b"./".to_vec(),
        (false, true) => [path.as_bytes(), b"/"].concat(),
        (false, false) => path.as_bytes().to_vec(),
    };
    ensure!(name == expected && (directory || !path.is_root()), "the name is not clean and relative");
    Ok(path)
}

fn whiteout(entry: &ParsedEntry<'_>, path: &RootPath) -> Result<Role> {
    let removed = path.name().map(|name| &name[b".wh.".len()..]).unwrap_or_default();
    ensure!(!removed.is_empty() && removed != b"." && removed != b"..", "it removes nothing that can be");
    ensure!(!removed.starts_with(b".wh."), "it is an opaque marker or another special whiteout");
    let bare = entry.is_file() && entry.size == 0 && entry.mode == 0 && entry.mtime == 0;
    ensure!(bare, "it has the name of a whiteout but is none");
    Ok(Role::Whiteout)
}
