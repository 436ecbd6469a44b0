//! Pushing: every blob first, the manifests last.
//!
//! A blob that a repository has is left alone, one that another repository of the registry has is mounted, and only the rest is
//! sent. Tags of one repository share its blobs; further repositories of a registry mount what the first one got. No manifest is
//! sent before all destinations have all blobs. Blobs may be on their way before there is an image ([`Ahead`]).

mod ahead;
mod content;
mod immutable;
mod sent;
mod session;
mod target;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::patience::Backoff;
use super::policy::Direction;
use super::retry::{retry, retry_if};
use super::{Client, Error};
use crate::oci::{Digest, Encoded, Image, ImageLayer, Reference, Repository};
use crate::store::BlobDir;
pub use ahead::Ahead;
use content::Content;
pub(super) use sent::Sent;
use target::{Begun, Target, Told};

/// An image about to be pushed.
struct Cargo<'a> {
    layers: &'a [ImageLayer],
    encoded: &'a Encoded,
    blobs: &'a BlobDir,
}

pub(super) async fn push(client: &Client, to: &[Reference], image: &Image, blobs: &BlobDir) -> Result<Digest, Error> {
    if let Some(wrong) = to.iter().find(|reference| reference.digest().is_some()) {
        return Err(Error::protocol(&wrong.to_string(), "a destination has a tag, not a digest"));
    }
    let name = to.iter().map(Reference::to_string).next().unwrap_or_default();
    let encoded = image.encode().map_err(|source| Error::Image { what: name, source })?;
    push_encoded(client, to, &encoded, image.layers(), blobs).await
}

/// The same of what is encoded already, an image or not.
pub(super) async fn push_encoded(
    client: &Client,
    to: &[Reference],
    encoded: &Encoded,
    layers: &[ImageLayer],
    blobs: &BlobDir,
) -> Result<Digest, Error> {
    let cargo = Cargo { layers, encoded, blobs };
    let repositories = by_registry(to);
    let registries = repositories.values().map(|repositories| push_blobs(client, repositories, &cargo));
    stream::iter(registries).buffer_unordered(client.parallel()).try_collect::<()>().await?;
    for reference in to {
        let what = reference.to_string();
        client.may_publish(&what)?;
        let told = persist(client, async || push_manifest(client, reference, &cargo).await).await?;
        if told == Told::Stored {
            tracing::info!("pushed {what}@{}", cargo.encoded.descriptor.digest);
        }
    }
    Ok(cargo.encoded.descriptor.digest.clone())
}

/// The distinct repositories of each registry, in the order in which they were given.
fn by_registry(to: &[Reference]) -> BTreeMap<&str, Vec<&Repository>> {
    let mut registries: BTreeMap<&str, Vec<&Repository>> = BTreeMap::new();
    for reference in to {
        let repositories = registries.entry(reference.registry()).or_default();
        if !repositories.contains(&&reference.repository) {
            repositories.push(&reference.repository);
        }
    }
    registries
}

/// `--push-retry`: begins again whatever failed.
async fn persist<T>(client: &Client, attempt: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    let backoff = client.transport.backoff;
    let again = Backoff { retries: client.policy.push_retry, first: backoff.first.saturating_mul(4), ..backoff };
    retry_if(&again, Error::may_be_begun_again, attempt).await
}

/// Brings the blobs to the repositories of one registry.
async fn push_blobs(client: &Client, repositories: &[&Repository], cargo: &Cargo<'_>) -> Result<(), Error> {
    let mut first = None;
    for repository in repositories {
        persist(client, async || push_blobs_to(client, repository, first, cargo).await).await?;
        first = first.or(Some(*repository));
    }
    Ok(())
}

async fn push_blobs_to(
    client: &Client,
    repository: &Repository,
    first: Option<&Repository>,
    cargo: &Cargo<'_>,
) -> Result<(), Error> {
    let endpoint = client.endpoint(repository.registry(), Direction::Push).await?;
    let target = Target::new(&endpoint, repository);
    let layers = cargo.layers.iter().map(|layer| (&layer.descriptor.digest, layer));
    let layers: BTreeMap<&Digest, &ImageLayer> = layers.collect();
    let pushes = layers.into_values().map(|layer| async {
        let origin = layer.origin.as_ref().and_then(|origin| client.near(origin, repository));
        let bring = async || target.layer(client, layer, cargo.blobs, first.or(origin.as_ref())).await;
        client.sent.once(repository, &layer.descriptor.digest, bring).await
    });
    stream::iter(pushes).buffer_unordered(client.parallel()).try_collect::<()>().await?;
    let config = Content::Memory(Bytes::copy_from_slice(&cargo.encoded.config));
    target.blob(&cargo.encoded.config_descriptor, first, async || Ok(config.clone())).await
}

async fn push_manifest(client: &Client, reference: &Reference, cargo: &Cargo<'_>) -> Result<Told, Error> {
    let endpoint = client.endpoint(reference.registry(), Direction::Push).await?;
    let target = Target::new(&endpoint, &reference.repository);
    target.manifest(client, &reference.to_string(), reference.tag().unwrap_or("latest"), cargo.encoded).await
}

/// Once for each repository, in the order in which they were given.
pub(super) async fn check(client: &Client, to: &[Reference]) -> Result<(), Error> {
    let mut checked: Vec<&Repository> = Vec::new();
    for Reference { repository, .. } in to {
        if !checked.contains(&repository) {
            check_one(client, repository).await?;
            checked.push(repository);
        }
    }
    Ok(())
}

async fn check_one(client: &Client, repository: &Repository) -> Result<(), Error> {
    let endpoint = client.endpoint(repository.registry(), Direction::Push).await?;
    let target = Target::new(&endpoint, repository);
    let what = format!("{repository}: check whether it can be pushed to");
    let begun = retry(endpoint.backoff(), async || target.begin(&what, None).await).await?;
    if let Begun::Session(session) = begun {
        let cancelled = target.cancel(&what, session.url()).await;
        tracing::debug!("{what}: cancelled with {cancelled:?}");
    }
    Ok(())
}
