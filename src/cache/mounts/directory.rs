//! Saved caches in a directory: an OCI layout for each, which others can copy with any tool for images.
//!
//! A layout is made beside its place and exchanged with the one that is there, so that readers see the old one or the new one.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::artifact::{About, Saved, encode};
use crate::cache::partial::{Making, Partial, remove_stale};
use crate::oci::{Descriptor, Document, Index, Platform};
use crate::store::{self, BlobDir, LayoutDir};

/// How often a layout that is replaced while it is read is read again.
const ATTEMPTS: usize = 3;

/// What is saved under a key, if anything is.
pub(super) fn find(dir: &Path, key: &str) -> Result<Option<Saved>> {
    let path = dir.join(key);
    let mut attempt = 1;
    loop {
        match LayoutDir::open(&path) {
            Err(store::Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => {
                let layout = opened?;
                match read(&layout) {
                    Err(_) if attempt < ATTEMPTS && is_replaced(&layout, &path) => attempt += 1,
                    read => return read.map(Some).with_context(|| path.display().to_string()),
                }
            }
        }
    }
}

fn is_replaced(layout: &LayoutDir, path: &Path) -> bool {
    let there = LayoutDir::open(path).and_then(|there| there.identity());
    !matches!((there, layout.identity()), (Ok(there), Ok(ours)) if there == ours)
}

fn read(layout: &LayoutDir) -> Result<Saved> {
    let index: Index = serde_json::from_slice(&layout.read_document("index.json")?).context("index.json")?;
    ensure!(index.manifests.len() == 1, "its index.json does not list one artifact");
    let bytes = layout.read_blob(&index.manifests[0])?;
    let Document::Manifest(manifest) = Document::parse(&bytes, Some(&index.manifests[0].media_type))? else {
        anyhow::bail!("it is an index");
    };
    let config = layout.read_blob(&manifest.config)?;
    Saved::read(*manifest, &config)
}

/// Copies the layer into `blobs`.
pub(super) fn fetch(dir: &Path, key: &str, layer: &Descriptor, blobs: &BlobDir) -> Result<()> {
    let layout = LayoutDir::open(&dir.join(key))?;
    Ok(blobs.copy_in(layer, layout.open_blob(&layer.digest)?, layout.path())?)
}

/// Saves the layer, which is in `blobs`, under a key.
pub(super) fn store(
    dir: &Path,
    key: &str,
    about: &About,
    layer: &Descriptor,
    blobs: &BlobDir,
    making: &Making,
) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    remove_stale(dir);
    let encoded = encode(about, layer)?;
    let partial = Partial::begin(dir, making)?;
    partial.blobs.copy_in(layer, blobs.open(&layer.digest)?, blobs.dir())?;
    let documents = [(&encoded.descriptor, &encoded.manifest[..]), (&encoded.config_descriptor, &encoded.config[..])];
    store::write_known_layout(&partial.blobs, documents, Platform::host(), key)?;
    let path = dir.join(key);
    partial.place(&path).with_context(|| format!("put it to {}", path.display()))
}
