//! The objects of a pack. Each has the name that its content gives it: the index that finds them was counted from the contents.

use std::cell::RefCell;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use gix_hash::{ObjectId, oid};
use gix_object::{CommitRef, Find, Kind, TagRef, TreeRefIter};
use gix_pack::Bundle;
use gix_pack::cache::Never;
use gix_zlib::Inflate;

use super::bounds;
use super::transport::line;

const SHA1: gix_hash::Kind = gix_hash::Kind::Sha1;

/// The most annotated tags on the way to a commit.
const TAGS: u32 = 10;

/// The largest file that we read ourselves, in bytes.
const READ: usize = 1 << 20;

/// The latest time that is written: the end of the year 9999.
const LATEST: i64 = 253_402_300_799;

/// The objects of one pack.
pub(super) struct Objects {
    bundle: Bundle,
    inflate: RefCell<Inflate>,
}

/// What matters of a commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub id: ObjectId,
    pub tree: ObjectId,
    /// When it was committed, in seconds since the epoch; never before that.
    pub time: i64,
}

impl Objects {
    /// Opens the pack beside `index`.
    pub(super) fn open(index: &Path) -> Result<Self> {
        let mut bundle = Bundle::at(index, SHA1).map_err(said)?;
        bundle.pack = bundle.pack.with_alloc_limit_bytes(Some(bounds::OBJECT));
        Ok(Objects { bundle, inflate: RefCell::default() })
    }

    /// Reads an object into `buffer`.
    ///
    /// # Errors
    /// It is not there, is broken, or is not of `kind`.
    pub(super) fn read(&self, id: &oid, kind: Kind, buffer: &mut Vec<u8>) -> Result<()> {
        let found = self.try_find(id, buffer).map_err(said)?.map(|object| object.kind);
        let found = found.ok_or_else(|| anyhow!("the object {id} is not there"))?;
        ensure!(found == kind, "the object {id} is a {found} where a {kind} is expected");
        Ok(())
    }

    /// The commit that `id` names, or that the annotated tag `id` leads to.
    pub(super) fn commit(&self, id: ObjectId) -> Result<Commit> {
        let (mut id, mut buffer) = (id, Vec::new());
        for _ in 0..=TAGS {
            let object = self.try_find(&id, &mut buffer).map_err(said)?;
            let object = object.ok_or_else(|| anyhow!("the object {id} is not there"))?;
            match object.kind {
                Kind::Commit => {
                    let commit = CommitRef::from_bytes(object.data, SHA1).map_err(said)?;
                    let time = commit.time().map_err(said)?.seconds.clamp(0, LATEST);
                    return Ok(Commit { id, tree: commit.tree(), time });
                }
                Kind::Tag => id = TagRef::from_bytes(object.data, SHA1).map_err(said)?.target(),
                kind => bail!("{id} is a {kind} and no commit"),
            }
        }
        bail!("there are more than {TAGS} tags on the way to a commit")
    }

    /// The content of the file `name` at the top of `tree`, where it is a file.
    pub(super) fn file(&self, tree: ObjectId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut buffer = Vec::new();
        self.read(&tree, Kind::Tree, &mut buffer)?;
        for entry in TreeRefIter::from_bytes(&buffer, SHA1) {
            let entry = entry.map_err(said)?;
            if entry.filename == name && entry.mode.is_blob() {
                let mut content = Vec::new();
                self.read(entry.oid, Kind::Blob, &mut content)?;
                ensure!(content.len() <= READ, "{} is larger than {READ} bytes", String::from_utf8_lossy(name));
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    /// The pack and its index.
    pub(super) fn files(&self) -> [&Path; 2] {
        [self.bundle.pack.path(), self.bundle.index.path()]
    }
}

impl Find for Objects {
    fn try_find<'b>(&self, id: &oid, buffer: &'b mut Vec<u8>) -> gix_error::Result<Option<gix_object::Data<'b>>> {
        let found = self.bundle.find(id, buffer, &mut self.inflate.borrow_mut(), &mut Never)?;
        Ok(found.map(|(data, _)| data))
    }
}

/// An error of the library as one line.
pub(super) fn said(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{}", line(&error.to_string()))
}

/// An entry of a tree, with a name that can be a file's here.
pub(super) struct Entry {
    pub name: Vec<u8>,
    pub kind: gix_object::tree::EntryKind,
    pub id: ObjectId,
}

/// The entries of a tree.
///
/// # Errors
/// One has a name that git itself would not check out (`..`, `.git` in all its spellings, a slash), or that no file can have.
pub(super) fn entries(tree: &[u8]) -> Result<Vec<Entry>> {
    TreeRefIter::from_bytes(tree, SHA1)
        .map(|entry| {
            let entry = entry.map_err(said)?;
            let kind = entry.mode.kind();
            let is_link = kind == gix_object::tree::EntryKind::Link;
            let mode = is_link.then_some(gix_validate::path::component::Mode::Symlink);
            let shown = || format!("{:?}", String::from_utf8_lossy(entry.filename));
            gix_validate::path::component(entry.filename, mode, NAMES)
                .map_err(said)
                .with_context(|| format!("the name {} is not checked out", shown()))?;
            let is_good = !entry.filename.contains(&0) && entry.filename.len() <= 255;
            ensure!(is_good, "the name {} is not checked out: no file can have it", shown());
            Ok(Entry { name: entry.filename.to_vec(), kind, id: entry.oid.to_owned() })
        })
        .collect()
}

/// As strict as git where files may come to other systems, less what Windows alone forbids.
pub(super) const NAMES: gix_validate::path::component::Options =
    gix_validate::path::component::Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_or_refused() {
        let entry = |mode: &str, name: &[u8]| [mode.as_bytes(), b" ", name, b"\0", &[7; 20]].concat();
        let read = |tree: &[u8]| entries(tree).map(|entries| entries.len()).map_err(|error| format!("{error:#}"));
        assert_eq!(read(&[entry("100644", b"a \xff\x01\n"), entry("40000", b"d")].concat()), Ok(2));
        for bad in
            [entry("100644", b""), entry("40000", b".."), entry("120000", b".gitmodules"), entry("100644", b"a/b")]
        {
            assert!(read(&bad).expect_err("a bad name").contains("is not checked out"));
        }
        assert!(read(&entry("100644", b"a")[..20]).is_err(), "cut short");
    }
}
