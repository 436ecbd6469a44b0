//! A file that tells a digest, or an `https://` address that is told it. A file is opened before the build, which may clear the
//! directory that it is in, and written after it.
//!
//! It is truncated and written in place, never replaced: a file that is mounted from outside, as `/dev/termination-log`, stays the
//! same file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::registry::Client;

/// Where a digest goes.
#[derive(Debug)]
pub enum DigestFile {
    /// An open file, empty until the build is done.
    File(OpenFile),
    /// An address that takes a PUT.
    Address(String),
}

/// An open file and its name.
#[derive(Debug)]
pub struct OpenFile {
    path: PathBuf,
    file: File,
}

impl DigestFile {
    /// Opens and empties the file; its directory is made if it is not there. An address is only kept.
    pub fn open(path: &Path) -> Result<Self> {
        match path.to_str().filter(|text| text.starts_with("https://")) {
            Some(address) => Ok(DigestFile::Address(address.to_owned())),
            None => Ok(DigestFile::File(OpenFile { path: path.to_owned(), file: create(path)? })),
        }
    }

    /// Tells `text`.
    pub fn write(&mut self, text: &str, client: &Client) -> Result<()> {
        match self {
            DigestFile::File(file) => file.write(text),
            DigestFile::Address(address) => Ok(client.put(address, text)?),
        }
    }
}

impl OpenFile {
    /// Writes `text` as the whole content. A file that was deleted since is made anew.
    fn write(&mut self, text: &str) -> Result<()> {
        let failed = || format!("write {}", self.path.display());
        if self.is_deleted().with_context(failed)? {
            self.file = create(&self.path)?;
        }
        // A step that ran in `/` may have written to it. What is no regular file has nothing to truncate.
        if self.file.metadata().with_context(failed)?.is_file() {
            self.file.set_len(0).and_then(|()| self.file.rewind()).with_context(failed)?;
        }
        self.file.write_all(text.as_bytes()).with_context(failed)
    }

    /// Whether no name leads to the open file any more, or another file stands at its path.
    fn is_deleted(&self) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) != (ours.dev(), ours.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn create(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path);
    file.with_context(|| format!("open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Policy;

    fn client() -> Client {
        Client::new(Policy::default()).expect("a client")
    }

    #[test]
    fn it_is_written_in_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        fs::write(&path, "something longer that stood there before").expect("a file");
        let before = fs::metadata(&path).expect("a file").ino();
        let mut file = DigestFile::open(&path).expect("open");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "");
        file.write("sha256:1", &client()).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "sha256:1");
        assert_eq!(fs::metadata(&path).expect("a file").ino(), before);
    }

    #[test]
    fn a_directory_that_vanished_comes_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a/b/digest");
        let mut file = DigestFile::open(&path).expect("open");
        fs::remove_dir_all(dir.path().join("a")).expect("removed");
        file.write("sha256:1", &client()).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "sha256:1");
    }

    #[test]
    fn what_is_no_file_works_too() {
        DigestFile::open(Path::new("/dev/null")).expect("open").write("x", &client()).expect("written");
        let mut address =
            DigestFile::open(Path::new("https://no-such-host.localhost.invalid/x?signature=secret")).expect("kept");
        let error = address.write("sha256:1", &client()).expect_err("no such host").to_string();
        assert!(error.contains("PUT to no-such-host.localhost.invalid") && !error.contains("secret"), "{error}");
    }
}
