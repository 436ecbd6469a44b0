//! Saved caches in a repository of a registry: one tag for each.

use anyhow::Result;

use super::Means;
use super::artifact::{About, Saved, encode};
use crate::layer::Layer;
use crate::oci::{ImageLayer, Reference, Repository};
use crate::registry::Client;

fn reference(repository: &Repository, key: &str) -> Result<Reference> {
    Ok(format!("{repository}:mount-{key}").parse()?)
}

/// What is saved under a key, if anything is.
pub(super) fn find(repository: &Repository, key: &str, client: &Client) -> Result<Option<Saved>> {
    let found = client.artifact(&reference(repository, key)?)?;
    found.map(|artifact| Saved::read(artifact.manifest, &artifact.config)).transpose()
}

/// Saves the layer under a key. What the registry has of it is not sent.
pub(super) fn store(repository: &Repository, key: &str, about: &About, layer: &Layer, means: Means<'_>) -> Result<()> {
    let encoded = encode(about, &layer.descriptor)?;
    let (descriptor, diff_id) = (layer.descriptor.clone(), layer.diff_id.clone());
    let layers = [ImageLayer { descriptor, diff_id, origin: None }];
    means.client.push_artifact(&reference(repository, key)?, &encoded, &layers, means.blobs)?;
    Ok(())
}
