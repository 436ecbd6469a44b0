//! Entries in a directory: an OCI layout for each key, `DIR/KEY`, and for each place a document about its newest entry,
//! `DIR/newest-….json`.
//!
//! Both are made under another name and put in place whole, so whoever reads sees an entry or none, whatever other builds do or how
//! they end. What a build that was killed left behind is removed after a day.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{Entry, Key, Record};
use crate::oci::{Image, Platform};
use crate::store::{self, BlobDir, LayoutDir, LayoutSource};

/// How names begin that are not in place yet.
const UNFINISHED: &str = ".new-";

/// The most bytes that a layer may hold: what decompresses without an end is not read to one.
const LARGEST: u64 = 1 << 38;

/// How long something unfinished may be of a build that still goes on.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The entry of `key`, its layer copied into `blobs`, every byte of it and of what it holds checked; `None` if there is none.
pub(super) fn read(dir: &Path, key: &Key, blobs: &BlobDir) -> Result<Option<Entry>> {
    let source = LayoutSource { path: dir.join(key.as_str()), tag: None, digest: None };
    if fs::symlink_metadata(&source.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let image = store::read_layout(&source, &Platform::host(), blobs)?;
    let entry = Entry::read(&image, key)?;
    // It may go into the image without ever being unpacked.
    image.layers().iter().try_for_each(|layer| store::check_contents(layer, blobs, LARGEST))?;
    Ok(Some(entry))
}

/// What is recorded of the newest entry of a place.
pub(super) fn newest(dir: &Path, tag: &str) -> Option<Record> {
    let document = LayoutDir::open(dir).and_then(|dir| dir.read_document(&format!("{tag}.json"))).ok()?;
    serde_json::from_slice(&document).ok()
}

/// Puts an entry in place, and the document about it.
pub(super) fn write(dir: &Path, entry: &Entry, image: &Image, tag: &str, blobs: &BlobDir) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let new = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(dir).context("begin an entry")?;
    let layout = new.path().join("layout");
    store::write_layout(&layout, image, blobs, None)?;
    fs::set_permissions(&layout, fs::Permissions::from_mode(0o755))?;
    place(&layout, &dir.join(entry.key.as_str())).context("put an entry in place")?;
    let mut document = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir)?;
    document.write_all(&serde_json::to_vec(&entry.record)?)?;
    document.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    document.persist(dir.join(format!("{tag}.json"))).map_err(|error| error.error)?;
    Ok(())
}

/// Gives a whole layout its name; what had it goes with the temporary directory.
fn place(new: &Path, to: &Path) -> io::Result<()> {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    match fs::rename(new, to) {
        // Something else than a layout may stand there too.
        Err(error) if matches!(error.kind(), DirectoryNotEmpty | AlreadyExists | NotADirectory) => {}
        placed => return placed,
    }
    if renameat_with(CWD, new, CWD, to, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    // A file system that cannot exchange: for a moment there is no entry.
    fs::rename(to, new.with_extension("old"))?;
    fs::rename(new, to)
}

/// Removes what builds left unfinished that cannot go on any more.
pub(super) fn clean(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let is_old = modified.and_then(|at| SystemTime::now().duration_since(at).ok()).is_some_and(|age| age > LONGEST);
        if is_unfinished && is_old {
            let removed =
                if entry.path().is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            removed.unwrap_or_else(|error| tracing::debug!("{}: {error}", entry.path().display()));
        }
    }
}
