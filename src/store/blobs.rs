//! A directory of blobs named by their digests: `<dir>/blobs/<algorithm>/<hex>`, as in an OCI layout.
//!
//! A blob appears under its name only when all its bytes are there and have that digest. So a name that is there can be trusted as
//! far as the directory can.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::Error;
use crate::oci::{Algorithm, Descriptor, Digest, Hasher};

/// A content-addressed directory. Cloning shares it.
#[derive(Clone, Debug)]
pub struct BlobDir {
    dir: PathBuf,
}

impl BlobDir {
    /// Opens `dir`, which is made if it is not there.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        let blobs = BlobDir { dir: dir.to_owned() };
        blobs.create_directory(Algorithm::Sha256)?;
        Ok(blobs)
    }

    fn create_directory(&self, algorithm: Algorithm) -> Result<PathBuf, Error> {
        let directory = self.dir.join("blobs").join(algorithm.name());
        fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;
        Ok(directory)
    }

    /// The directory that holds `blobs`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the blob is or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// The error of a failed call on a blob.
    pub(crate) fn failed(&self, call: &'static str, blob: &Descriptor, error: io::Error) -> Error {
        Error::io(call, &self.path(&blob.digest))(error)
    }

    /// Whether the blob is there.
    pub fn has(&self, digest: &Digest) -> bool {
        fs::symlink_metadata(self.path(digest)).is_ok_and(|metadata| metadata.is_file())
    }

    /// Opens a blob for reading.
    pub fn open(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.path(digest);
        File::open(&path).map_err(Error::io("open", &path))
    }

    /// Reads a small blob, a document, and checks it against its descriptor.
    pub fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut file = self.open(&descriptor.digest)?.take(descriptor.size.saturating_add(1));
        file.read_to_end(&mut bytes).map_err(Error::io("read", &self.path(&descriptor.digest)))?;
        check_bytes(descriptor, &bytes)?;
        Ok(bytes)
    }

    /// A writer for a blob whose digest is not known yet; it will be a SHA-256.
    pub fn writer(&self) -> Result<BlobWriter, Error> {
        self.writer_with(Algorithm::Sha256, None)
    }

    /// A writer for the blob that `descriptor` names, which refuses the first byte too many.
    pub fn writer_for(&self, descriptor: &Descriptor) -> Result<BlobWriter, Error> {
        self.writer_with(descriptor.digest.algorithm(), Some(descriptor.size))
    }

    fn writer_with(&self, algorithm: Algorithm, limit: Option<u64>) -> Result<BlobWriter, Error> {
        let directory = self.create_directory(algorithm)?;
        let mut builder = tempfile::Builder::new();
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let file = builder.prefix(".partial-").permissions(permissions).tempfile_in(&directory);
        let file = file.map_err(Error::io("create a file in", &directory))?;
        Ok(BlobWriter { blobs: self.clone(), file, hasher: Hasher::new(algorithm), size: 0, limit })
    }

    /// Stores `bytes`.
    pub fn insert(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let mut writer = self.writer()?;
        writer.write_all(bytes).map_err(Error::io("write", writer.file.path()))?;
        Ok(writer.finish(None)?.0)
    }

    /// Makes the blob of `other` appear here too: as a hard link where the file system allows, otherwise as a checked copy.
    pub fn share(&self, descriptor: &Descriptor, other: &BlobDir) -> Result<(), Error> {
        let (ours, theirs) = (self.path(&descriptor.digest), other.path(&descriptor.digest));
        let source = other.open(&descriptor.digest)?;
        if is_same_file(&ours, &theirs) {
            return Ok(());
        }
        self.create_directory(descriptor.digest.algorithm())?;
        match fs::remove_file(&ours) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", &ours)(error)),
            _ => {}
        }
        if fs::hard_link(&theirs, &ours).is_ok() { Ok(()) } else { self.copy_in(descriptor, source, &theirs) }
    }

    /// Copies the blob that `descriptor` names out of `source`, checking its digest and its size on the way.
    pub fn copy_in(&self, descriptor: &Descriptor, source: impl Read, from: &Path) -> Result<(), Error> {
        if self.has(&descriptor.digest) {
            return Ok(());
        }
        let mut writer = self.writer_for(descriptor)?;
        let mut source = BufReader::with_capacity(1 << 17, source.take(descriptor.size.saturating_add(1)));
        match io::copy(&mut source, &mut writer) {
            Err(error) if error.kind() != io::ErrorKind::FileTooLarge => return Err(Error::io("copy", from)(error)),
            _ => {}
        }
        writer.finish(Some(&descriptor.digest)).map(drop)
    }
}

/// Writes one blob of a known or unknown size: a write of more than the known size fails with `FileTooLarge`, and `finish` then says
/// so. Hashes what passes, and gives it its name at the end. Dropped before that, it leaves nothing.
pub struct BlobWriter {
    blobs: BlobDir,
    file: NamedTempFile,
    hasher: Hasher,
    size: u64,
    limit: Option<u64>,
}

impl BlobWriter {
    /// The number of bytes written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Names the blob, after checking it against `expected`, a digest, where there is one. Returns digest and size.
    pub fn finish(self, expected: Option<&Digest>) -> Result<(Digest, u64), Error> {
        let actual = self.hasher.finish();
        let size = self.size;
        check(expected.unwrap_or(&actual), self.limit.unwrap_or(size), actual.clone(), size)?;
        let path = self.blobs.path(&actual);
        self.file.persist(&path).map_err(|error| Error::io("rename", &path)(error.error))?;
        Ok((actual, size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(limit) = self.limit
            && self.size.saturating_add(bytes.len() as u64) > limit
        {
            self.size = self.size.saturating_add(bytes.len() as u64);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the blob is longer than its descriptor says"));
        }
        let written = self.file.as_file_mut().write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path| fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    identity(a).is_some() && identity(a) == identity(b)
}

/// Checks a document against its descriptor.
pub(crate) fn check_bytes(descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
    let mut hasher = Hasher::new(descriptor.digest.algorithm());
    hasher.update(bytes);
    check(&descriptor.digest, descriptor.size, hasher.finish(), bytes.len() as u64)
}

fn check(expected: &Digest, expected_size: u64, actual: Digest, size: u64) -> Result<(), Error> {
    if size != expected_size {
        return Err(Error::Size { blob: expected.to_string(), expected: expected_size, actual: size });
    }
    if *expected != actual {
        return Err(Error::Digest { expected: expected.clone(), actual });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::MediaType;

    fn blobs() -> (tempfile::TempDir, BlobDir) {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = BlobDir::create(&dir.path().join("store")).expect("a store");
        (dir, blobs)
    }

    fn count(blobs: &BlobDir) -> usize {
        fs::read_dir(blobs.dir().join("blobs/sha256")).expect("a directory").count()
    }

    #[test]
    fn a_blob_is_named_by_its_bytes() {
        let (_dir, blobs) = blobs();
        let digest = blobs.insert(b"hello").expect("stored");
        assert_eq!(digest, Digest::of(b"hello"));
        assert_eq!(blobs.insert(b"hello").expect("stored again"), digest);
        assert_eq!((count(&blobs), fs::read(blobs.path(&digest)).expect("bytes")), (1, b"hello".to_vec()));
        assert_eq!(blobs.read(&Descriptor::of(MediaType::Other("x".into()), b"hello")).expect("bytes"), b"hello");
    }

    #[test]
    fn what_is_not_what_was_promised_leaves_nothing() {
        let (_dir, blobs) = blobs();
        let promised = Descriptor::of(MediaType::Other("x".into()), b"hello");
        let copy = |bytes: &[u8]| blobs.copy_in(&promised, bytes, Path::new("x")).expect_err("refused").to_string();
        for (bytes, expected) in
            [(&b"hellO"[..], "has"), (b"hell", "only 4 of 5"), (b"hello!", "more than"), (b"", "only 0")]
        {
            let error = copy(bytes);
            assert!(
                error.contains(expected) && error.contains(promised.digest.hex()) || error.contains("have the"),
                "{error}"
            );
            assert_eq!(count(&blobs), 0);
        }
        drop(blobs.writer().expect("a writer").write_all(b"abandoned"));
        assert_eq!(count(&blobs), 0);
        blobs.copy_in(&promised, &b"hello"[..], Path::new("x")).expect("the right bytes");
        fs::write(blobs.path(&promised.digest), b"jello").expect("spoilt");
        assert!(matches!(blobs.read(&promised), Err(Error::Digest { .. })));
    }

    #[test]
    fn sha512_has_a_directory_of_its_own() {
        let (_dir, blobs) = blobs();
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"hello");
        let descriptor = Descriptor::new(MediaType::Other("x".into()), hasher.finish(), 5);
        blobs.copy_in(&descriptor, &b"hello"[..], Path::new("x")).expect("copied");
        assert!(blobs.path(&descriptor.digest).starts_with(blobs.dir().join("blobs/sha512")));
        assert!(blobs.has(&descriptor.digest));
    }
}
