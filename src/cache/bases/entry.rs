//! One cached base image, a layout or an archive, and reading it with everything checked.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::oci::{Descriptor, Digest, Document, Hasher, Image, Index, Manifest, Platform, Repository};
use crate::store::{self, BlobDir, LayoutDir};

/// Where an image is, and which directory or file that was when it was opened.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    path: PathBuf,
    kind: Kind,
    identity: (u64, u64),
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An OCI layout.
    Layout,
    /// A docker archive, with its manifest beside it.
    Archive,
}

impl Entry {
    /// What stands at `path`, if that is a directory or a file.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?;
        let kind = match found.file_type() {
            kind if kind.is_dir() => Kind::Layout,
            kind if kind.is_file() => Kind::Archive,
            _ => return None,
        };
        Some(Entry { path: path.to_owned(), kind, identity: (found.dev(), found.ino()) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether something else stands there by now.
    pub(super) fn is_replaced(&self) -> bool {
        fs::symlink_metadata(&self.path).map_or(true, |found| (found.dev(), found.ino()) != self.identity)
    }

    /// The image, its manifest and its configuration checked. The layers of an archive are copied, those of a layout are not.
    pub(super) fn image(
        &self,
        digest: &Digest,
        platform: &Platform,
        origin: &Repository,
        blobs: &BlobDir,
    ) -> Result<Image> {
        match self.kind {
            Kind::Layout => {
                let layout = LayoutDir::open(&self.path)?;
                let manifest = manifest(&layout.read_named(digest)?)?;
                Image::check_config_type(&manifest.config.media_type)?;
                let config = layout.read_blob(&manifest.config)?;
                Ok(Image::from_parts(manifest, &config, platform, Some(origin))?)
            }
            Kind::Archive => {
                let manifest = self.manifest_beside(digest)?;
                Ok(store::read_known_archive(&self.path, manifest, platform, origin, blobs)?)
            }
        }
    }

    /// Copies a layer into `blobs`, and checks it meanwhile.
    pub(super) fn layer(&self, layer: &Descriptor, blobs: &BlobDir) -> Result<()> {
        ensure!(self.kind == Kind::Layout, "the layers of an archive are copied with the image");
        let layout = LayoutDir::open(&self.path)?;
        Ok(blobs.copy_in(layer, layout.open_blob(&layer.digest)?, &self.path)?)
    }

    /// Reads and checks every byte; nothing is kept. `scratch` is for what must be written down meanwhile.
    pub(super) fn verify(&self, digest: &Digest, scratch: impl FnOnce() -> Result<BlobDir>) -> Result<()> {
        match self.kind {
            Kind::Layout => {
                let layout = LayoutDir::open(&self.path)?;
                let manifest = manifest(&layout.read_named(digest)?)?;
                layout.read_blob(&manifest.config)?;
                manifest.layers.iter().try_for_each(|layer| verify_blob(&layout, layer))?;
                let index: Index =
                    serde_json::from_slice(&layout.read_document("index.json")?).context("index.json")?;
                let is_ours = matches!(&index.manifests[..], [only] if only.digest == *digest);
                ensure!(is_ours, "its index.json is not that of {digest}");
                layout.read_document("oci-layout").map(drop).map_err(Into::into)
            }
            Kind::Archive => {
                let manifest = self.manifest_beside(digest)?;
                let origin = Repository::new("localhost", "nowhere")?;
                store::read_known_archive(&self.path, manifest, &Platform::host(), &origin, &scratch()?)?;
                Ok(())
            }
        }
    }

    /// The file that kaniko's warmer writes beside an archive, which knows no manifest itself.
    fn manifest_beside(&self, digest: &Digest) -> Result<Manifest> {
        let name = format!("{digest}.json");
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let failed = || format!("the manifest of an archive, {}", dir.join(&name).display());
        let bytes = LayoutDir::open(dir).and_then(|dir| dir.read_document(&name)).with_context(failed)?;
        ensure!(digest.verifies(&bytes), "{name} is not the manifest {digest}");
        manifest(&bytes)
    }
}

fn manifest(bytes: &[u8]) -> Result<Manifest> {
    match Document::parse(bytes, None)? {
        Document::Manifest(manifest) => Ok(*manifest),
        Document::Index(_) => bail!("it is an index"),
    }
}

fn verify_blob(layout: &LayoutDir, blob: &Descriptor) -> Result<()> {
    let mut file = layout.open_blob(&blob.digest)?.take(blob.size.saturating_add(1));
    let mut hasher = Hasher::new(blob.digest.algorithm());
    let size = io::copy(&mut file, &mut hasher).with_context(|| format!("read blob {}", blob.digest))?;
    ensure!(size == blob.size && hasher.finish() == blob.digest, "blob {} is corrupt", blob.digest);
    Ok(())
}
