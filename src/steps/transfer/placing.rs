//! Items of COPY and ADD on their way to the one destination.

use std::io::{Read, Seek};

use anyhow::{Context as _, Result, ensure};

use super::{Archives, Item};
use crate::codec::Encoding;
use crate::dockerfile::ignore::Ignore;
use crate::rootfs::{Copier, Entry, Kind, Owner, Root, RootPath, Timestamp, Xattrs};
use crate::steps::archive::{self, Archive};
use crate::steps::destination::Destination;
use crate::steps::fetch::{Fetched, Repository};
use crate::steps::source::Found;
use crate::steps::{Tree, pattern};

/// The mode of a file that stands in the Dockerfile.
const DOCUMENT_MODE: u32 = 0o644;
/// The mode of what was fetched.
const FETCHED_MODE: u32 = 0o600;

/// A COPY or an ADD whose sources are known.
pub(super) struct Placing<'a> {
    pub(super) copier: Copier<'a>,
    pub(super) root: &'a Root,
    pub(super) tree: &'a Tree<'a>,
    pub(super) destination: &'a Destination,
    pub(super) excludes: &'a Ignore,
    pub(super) archives: Archives,
    /// Whom the members of archives belong to.
    pub(super) members: Owner,
    /// Whether `--chmod` says something.
    pub(super) is_stamped: bool,
    /// How the archive that was unpacked last was compressed.
    pub(super) unpacked: Option<Encoding>,
}

impl<'a> Placing<'a> {
    pub(super) fn item(&mut self, item: &'a Item) -> Result<()> {
        match item {
            Item::Named(found) if !is_directory(found) && self.excludes.excluded(&found.name).is_some() => Ok(()),
            Item::Named(found) => match self.archive(found)? {
                Some(archive) => self.unpack(archive).with_context(|| format!("unpack {:?}", found.path)),
                None => self.named(found),
            },
            Item::Parents(top, includes) => self.parents(top, includes),
            Item::Document(name, content) => {
                let entry = plain(DOCUMENT_MODE, Timestamp::now());
                self.file(name.as_bytes(), &mut content.as_bytes(), &entry)
            }
            Item::Remote(fetched) => self.remote(fetched),
            Item::Repository(repository) => self.repository(repository),
        }
    }

    fn archive(&self, found: &Found) -> Result<Option<Archive>> {
        let is_file = matches!(found.node.entry.kind, Kind::File { .. });
        if self.archives == Archives::Copied || !is_file {
            return Ok(None);
        }
        archive::open(self.tree.root().open_file(&found.path)?)
    }

    fn unpack(&mut self, archive: Archive) -> Result<()> {
        if self.is_stamped {
            tracing::warn!("--chmod does not apply to what ADD unpacks");
        }
        self.unpacked = Some(archive.encoding()?);
        archive.unpack(&mut self.copier, &self.destination.exact(self.root)?, self.members)
    }

    /// Copies what a path names to where it belongs.
    fn named(&mut self, found: &Found) -> Result<()> {
        let target =
            if is_directory(found) { self.destination.exact(self.root)? } else { self.place_for(&found.name)? };
        let filter = |path: &RootPath, is_directory| {
            let own = path.strip_prefix(&found.path).unwrap_or_else(RootPath::root);
            let taken = self.tree.selection(path, is_directory);
            pattern::narrower(taken, pattern::selection(self.excludes, own.as_bytes(), is_directory))
        };
        let copied = self.copier.copy(&found.path, &target, &filter);
        copied.with_context(|| format!("copy to {target}"))
    }

    /// Copies what of the directory `top` is included, with the directories on the way.
    fn parents(&mut self, top: &RootPath, includes: &Ignore) -> Result<()> {
        let target = self.destination.exact(self.root)?;
        self.copier.directory(&target)?;
        let filter = |path: &RootPath, is_directory| {
            let own = path.strip_prefix(top).unwrap_or_else(RootPath::root);
            let asked = pattern::selection(includes, own.as_bytes(), is_directory);
            let asked = pattern::narrower(asked, pattern::selection(self.excludes, own.as_bytes(), is_directory));
            pattern::narrower(asked, self.tree.selection(path, is_directory))
        };
        let copied = self.copier.copy(top, &target, &filter);
        copied.with_context(|| format!("copy to {target}"))
    }

    /// Copies the files of a repository into the destination, which is a directory.
    fn repository(&mut self, repository: &'a Repository) -> Result<()> {
        let target = self.destination.exact(self.root)?;
        let filter = |path: &RootPath, is_directory| {
            let own = path.strip_prefix(&repository.top).unwrap_or_else(RootPath::root);
            pattern::selection(self.excludes, own.as_bytes(), is_directory)
        };
        self.copier.turn_to(&repository.root);
        let copied = self.copier.copy(&repository.top, &target, &filter);
        self.copier.turn_to(self.tree.root());
        copied.with_context(|| format!("copy to {target}"))
    }

    fn remote(&mut self, fetched: &Fetched) -> Result<()> {
        let Fetched { file, name, modified } = fetched;
        let mut file = file.try_clone()?;
        if self.archives == Archives::Unpacked
            && let Some(archive) = archive::open(file.try_clone()?)?
        {
            return self.unpack(archive).with_context(|| format!("unpack {name}"));
        }
        file.rewind()?;
        self.file(name.as_bytes(), &mut file, &plain(FETCHED_MODE, *modified))
    }

    /// Writes a file that is in no tree.
    fn file(&mut self, name: &[u8], content: &mut dyn Read, entry: &Entry) -> Result<()> {
        let is_bad = matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0);
        ensure!(!is_bad, "{:?} cannot be the name of a file", String::from_utf8_lossy(name));
        let target = self.place_for(name)?;
        self.copier.write(&target, content, entry).with_context(|| format!("write {target}"))
    }

    /// Where a file of this name goes; the directories on the way are made.
    fn place_for(&mut self, name: &[u8]) -> Result<RootPath> {
        let exact = self.destination.exact(self.root)?;
        if self.destination.is_directory(self.root)? || self.copier.has_made(&exact) {
            self.copier.directory(&exact)?;
            return Ok(exact.join_name(name));
        }
        exact.parent().map_or(Ok(()), |parent| self.copier.directory(&parent))?;
        Ok(exact)
    }
}

fn is_directory(found: &Found) -> bool {
    found.node.entry.is_directory()
}

/// A file of root.
fn plain(mode: u32, mtime: Timestamp) -> Entry {
    let kind = Kind::File { size: 0, digest: None };
    Entry { kind, mode, uid: 0, gid: 0, mtime, xattrs: Xattrs::new() }
}
