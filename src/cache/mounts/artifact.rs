//! A saved cache as an OCI artifact: one layer, and for a configuration a document of our own that says whose it is.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use sha2::{Digest as _, Sha256};

use crate::layer::Layer;
use crate::oci::{Descriptor, DiffId, Encoded, Format, Manifest, MediaType};
use crate::rootfs::{RootPath, Tree};

/// The media type of the configuration, and the artifact's type.
pub(super) const TYPE: &str = "application/vnd.silt.cache-mount.v1+json";

/// What is said of a saved cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    /// The cache's id.
    pub(super) id: String,
    /// When it was saved, in seconds since the epoch.
    pub(super) saved: u64,
    /// The digest of the layer's tar.
    pub(super) diff_id: DiffId,
    /// The mode of the directory itself, which no layer has.
    pub(super) mode: u32,
    /// Its owner.
    pub(super) uid: u32,
    /// Its group.
    pub(super) gid: u32,
}

/// A saved cache that was found.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    pub(super) about: About,
    pub(super) layer: Descriptor,
}

impl About {
    /// Of the cache `id` whose directory is the root of `tree`.
    pub(super) fn of(id: &[u8], tree: &Tree, layer: &Layer, saved: u64) -> Result<Self> {
        let id = std::str::from_utf8(id).context("its id is not UTF-8")?.to_owned();
        let root = &tree.get(&RootPath::root()).context("it has no root")?.entry;
        Ok(About { id, saved, diff_id: layer.diff_id.clone(), mode: root.mode, uid: root.uid, gid: root.gid })
    }
}

impl Saved {
    /// Reads a manifest and what it has for a configuration; both were checked against their digests.
    pub(super) fn read(manifest: Manifest, config: &[u8]) -> Result<Self> {
        ensure!(
            manifest.config.media_type.as_str() == TYPE,
            "it is {}, and no cache mount",
            manifest.config.media_type
        );
        let about: About = serde_json::from_slice(config).context("its description is malformed")?;
        match <[Descriptor; 1]>::try_from(manifest.layers) {
            Ok([layer]) if matches!(layer.media_type, MediaType::Layer(..)) => Ok(Saved { about, layer }),
            _ => bail!("it does not have one layer"),
        }
    }

    /// Whether it has the same content, and is owned by the same.
    pub(super) fn is(&self, layer: &Descriptor, about: &About) -> bool {
        self.layer.digest == layer.digest && About { saved: about.saved, ..self.about.clone() } == *about
    }
}

/// The name of an id that a tag and a file can have.
pub(super) fn key(id: &[u8]) -> String {
    Sha256::digest(id).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The documents of an artifact.
pub(super) fn encode(about: &About, layer: &Descriptor) -> Result<Encoded> {
    let config = serde_json::to_vec(about)?;
    let config_descriptor = Descriptor::of(MediaType::Other(TYPE.to_owned()), &config);
    let media_type = MediaType::Manifest(Format::Oci);
    let manifest = serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: Some(media_type.clone()),
        config: config_descriptor.clone(),
        layers: vec![layer.clone()],
        annotations: BTreeMap::new(),
        extra: Map::from_iter([("artifactType".to_owned(), TYPE.into())]),
    })?;
    let descriptor = Descriptor::of(media_type, &manifest);
    Ok(Encoded { config, config_descriptor, manifest, descriptor })
}
