//! What stands in a tree, with the digests of contents. Links are not followed, and nothing is changed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use sha2::{Digest as _, Sha256};

use super::row::{Body, Found, Part, Sort};
use super::{Error, Includes};
use crate::rootfs::{ContentDigest, Cursor, Kind, Node, Root, RootPath, Selection};

/// All that `includes` lets through at and below `top`, and the directories on the way.
pub(super) fn walk(tree: &Root, top: &RootPath, includes: Includes<'_>) -> Result<Vec<Found>, Error> {
    let mut cursor = Cursor::new(tree);
    let mut found = Vec::new();
    let first = cursor.observe(top)?.ok_or_else(|| Error::Missing(top.clone()))?;
    let mut todo = vec![(top.clone(), first, Part::Taken)];
    while let Some((path, node, part)) = todo.pop() {
        if node.entry.is_directory() {
            for name in cursor.read_dir(&path)? {
                let path = path.join_name(&name);
                let node = cursor.observe(&path)?.ok_or_else(|| Error::Changed(path.clone()))?;
                match includes(&path, node.entry.is_directory()) {
                    Selection::Take => todo.push((path, node, Part::Taken)),
                    Selection::Descend if node.entry.is_directory() => todo.push((path, node, Part::Way)),
                    Selection::Descend | Selection::Skip => {}
                }
            }
        }
        found.extend(look(&mut cursor, path, &node, part)?);
    }
    Ok(found)
}

/// What stands at `path`; nothing if no layer can carry it.
fn look(cursor: &mut Cursor<'_>, path: RootPath, node: &Node, part: Part) -> Result<Option<Found>, Error> {
    let entry = &node.entry;
    let Some(sort) = Sort::of(&entry.kind) else { return Ok(None) };
    let body = match entry.kind {
        Kind::File { .. } => Body::file(&content(cursor, &path, node)?, &entry.xattrs),
        _ => Body::of(&entry.kind, &entry.xattrs),
    };
    let shared = (sort == Sort::File && node.nlink > 1).then_some(node.inode);
    Ok(Some(Found { path, sort, mode: entry.mode, owner: (entry.uid, entry.gid), body, shared, part }))
}

/// The digest of the file at `path`, which must be what `node` says before and after it was read.
fn content(cursor: &mut Cursor<'_>, path: &RootPath, node: &Node) -> Result<ContentDigest, Error> {
    let mut file = cursor.open_file(path)?;
    confirm(&file, path, node)?;
    let digest = hash(&mut file).map_err(|e| io::Error::new(e.kind(), format!("{path}: read: {e}")))?;
    confirm(&file, path, node)?;
    Ok(digest)
}

fn confirm(file: &File, path: &RootPath, node: &Node) -> Result<(), Error> {
    let meta = file.metadata()?;
    let ctime = (node.ctime.sec, i64::from(node.ctime.nsec));
    match (meta.ino(), meta.ctime(), meta.ctime_nsec()) == (node.inode.ino, ctime.0, ctime.1) {
        true => Ok(()),
        false => Err(Error::Changed(path.clone())),
    }
}

fn hash(file: &mut File) -> io::Result<ContentDigest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
