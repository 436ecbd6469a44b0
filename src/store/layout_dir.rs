//! Reading the files of an OCI layout that someone else made. Nothing outside its directory is ever opened: every name below it is
//! opened without following symlinks, and only regular files are read.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use super::Error;
use crate::oci::{Descriptor, Digest, MAX_DOCUMENT, MediaType};

/// The directory of a layout.
pub struct LayoutDir {
    path: PathBuf,
    fd: OwnedFd,
}

impl LayoutDir {
    /// Opens the directory at `path`, a link or not.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(|error| Error::io("open", path)(error.into()))?;
        Ok(LayoutDir { path: path.to_owned(), fd })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file below these names.
    fn open_file(&self, names: &[&str]) -> Result<File, Error> {
        let path: PathBuf = names.iter().fold(self.path.clone(), |path, name| path.join(name));
        let failed = |error: rustix::io::Errno| match error {
            rustix::io::Errno::LOOP => {
                Error::Invalid(format!("{} is a symlink, which a layout must not have", path.display()))
            }
            error => Error::io("open", &path)(error.into()),
        };
        let base = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let (mut directory, last) = (None::<OwnedFd>, names.len().saturating_sub(1));
        for name in &names[..last] {
            let at = directory.as_ref().unwrap_or(&self.fd);
            // A symlink here is reported as ENOTDIR.
            directory = Some(openat(at, *name, base | OFlags::DIRECTORY, Mode::empty()).map_err(failed)?);
        }
        let at = directory.as_ref().unwrap_or(&self.fd);
        let file = openat(at, names[last], base | OFlags::NONBLOCK, Mode::empty()).map_err(failed)?;
        let kind = FileType::from_raw_mode(fstat(&file).map_err(failed)?.st_mode);
        if kind != FileType::RegularFile {
            return Err(Error::Invalid(format!("{} is not a regular file", path.display())));
        }
        Ok(File::from(file))
    }

    /// Opens a blob. Its bytes are not checked yet.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        self.open_file(&["blobs", digest.algorithm().name(), digest.hex()])
    }

    /// Reads a document among the blobs of which only the digest is known, and checks that.
    pub fn read_named(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let bytes = read_at_most(self.open_blob(digest)?, &self.path)?;
        let descriptor = Descriptor::new(MediaType::Other(String::new()), digest.clone(), bytes.len() as u64);
        super::blobs::check_bytes(&descriptor, &bytes)?;
        Ok(bytes)
    }

    /// Which directory it is: device and inode.
    pub fn identity(&self) -> Result<(u64, u64), Error> {
        let found = fstat(&self.fd).map_err(|error| Error::io("stat", &self.path)(error.into()))?;
        Ok((found.st_dev, found.st_ino))
    }

    /// Reads a document at the top of the layout.
    pub fn read_document(&self, name: &str) -> Result<Vec<u8>, Error> {
        read_at_most(self.open_file(&[name])?, &self.path.join(name))
    }

    /// Reads and checks a document among the blobs.
    pub fn read_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let bytes = read_at_most(self.open_blob(&descriptor.digest)?, &self.path)?;
        super::blobs::check_bytes(descriptor, &bytes)?;
        Ok(bytes)
    }
}

fn read_at_most(file: File, path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(Error::Invalid(format!("a document in {} is larger than {MAX_DOCUMENT} bytes", path.display())));
    }
    Ok(bytes)
}
