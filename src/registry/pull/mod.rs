//! Pulling: manifest, platform, configuration, layers. Everything is checked against its digest and size as it arrives.
//!
//! Each place where an image may be is asked in turn (`route`), with retries of its own; what one gave is not mixed with what
//! another gave, but for blobs, which their digests name.

mod blob;
mod source;

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::patience::Backoff;
use super::policy::Direction;
use super::retry::retry_if;
use super::{Client, Error};
use crate::oci::{Descriptor, Digest, Image, ImageLayer, Manifest, MediaType, Platform, Reference, Repository};
use crate::store::BlobDir;
use source::{Found, Known, Sought, Source};

/// What a reference stands for on a platform.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The image. Its layers are not here yet.
    pub image: Image,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The documents that say so.
    pub documents: Documents,
}

/// Documents as a registry gave them, each checked against its digest.
#[derive(Clone, Debug)]
pub struct Documents {
    /// The manifest.
    pub manifest: Vec<u8>,
    /// Its media type.
    pub media_type: MediaType,
    /// The configuration.
    pub config: Vec<u8>,
    /// The descriptor of the configuration.
    pub config_descriptor: Descriptor,
    /// The indexes on the way to the manifest by their digests, outermost first.
    pub indexes: Vec<(Digest, Vec<u8>)>,
}

/// Something in a registry that is no image.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Its manifest.
    pub manifest: Manifest,
    /// What the manifest has for a configuration, checked.
    pub config: Vec<u8>,
}

/// What a reference stands for, where the caller may have it already.
#[derive(Debug)]
pub enum Outcome {
    /// The digest of a manifest or an index that the caller knows.
    Known(Digest),
    /// Something else.
    Resolved(Box<Resolved>),
}

pub(super) async fn resolve(client: &Client, reference: &Reference, platform: &Platform) -> Result<Resolved, Error> {
    match resolve_unless(client, reference, platform, None).await? {
        Outcome::Resolved(resolved) => Ok(*resolved),
        Outcome::Known(digest) => Err(Error::protocol(&reference.to_string(), format!("nobody knows {digest}"))),
    }
}

pub(super) async fn resolve_unless(
    client: &Client,
    reference: &Reference,
    platform: &Platform,
    known: Option<&Known<'_>>,
) -> Result<Outcome, Error> {
    let mut tried = Tried::default();
    let places = places(client, &reference.repository)?;
    for place in &places {
        let again = Backoff { retries: client.policy.image_download_retry, ..client.transport.backoff };
        let may_pass = |error: &Error| error.may_be_begun_again() && !matches!(error, Error::NotFound { .. });
        match retry_if(&again, may_pass, async || resolve_at(client, place, reference, platform, known).await).await {
            Ok(resolved) => {
                client.remember(&reference.repository, place);
                return Ok(resolved);
            }
            Err(error) => tried.failed(error, place, &places),
        }
    }
    Err(tried.error(&reference.to_string()))
}

async fn resolve_at(
    client: &Client,
    place: &Repository,
    reference: &Reference,
    platform: &Platform,
    known: Option<&Known<'_>>,
) -> Result<Outcome, Error> {
    let endpoint = client.endpoint(place.registry(), Direction::Pull).await?;
    let what =
        if *place == reference.repository { reference.to_string() } else { format!("{reference} by way of {place}") };
    let source = Source::new(&endpoint, place, client.transport.backoff);
    let Found { manifest, digest, bytes, indexes } = match source.manifest(&what, reference, platform, known).await? {
        Sought::Known(digest) => return Ok(Outcome::Known(digest)),
        Sought::Found(found) => *found,
    };
    let failed = |source| Error::Image { what: what.clone(), source };
    Image::check_config_type(&manifest.config.media_type).map_err(failed)?;
    let config = source.document(&what, &manifest.config).await?;
    let documents = Documents {
        manifest: bytes,
        media_type: manifest.media_type.clone().unwrap_or(MediaType::Manifest(manifest.format())),
        config_descriptor: manifest.config.clone(),
        config,
        indexes,
    };
    let image =
        Image::from_parts(manifest, &documents.config, platform, Some(&reference.repository)).map_err(failed)?;
    let actual = image.config.platform();
    if platform.preference(&actual).is_none() {
        tracing::debug!("{what} is for {actual}, not for {platform}");
    }
    tracing::debug!("{what} is {digest}");
    Ok(Outcome::Resolved(Box::new(Resolved { image, digest, documents })))
}

/// Whether the place that had the last image of `repository`, or else the first, has a blob.
pub(super) async fn has(client: &Client, repository: &Repository, blob: &Descriptor) -> Result<bool, Error> {
    let Some(place) = places(client, repository)?.into_iter().next() else { return Ok(false) };
    let endpoint = client.endpoint(place.registry(), Direction::Pull).await?;
    Source::new(&endpoint, &place, client.transport.backoff).has(&format!("{place}: blob {}", blob.digest), blob).await
}

/// Downloads layers that are not in `blobs`, the first ones first, and tells `arrived` of each that is there.
pub(super) async fn fetch(
    client: &Client,
    layers: &[ImageLayer],
    blobs: &BlobDir,
    arrived: &(dyn Fn(&Digest) + Sync),
) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    let fetches = layers.iter().filter(|layer| seen.insert(&layer.descriptor.digest)).map(async |layer| {
        fetch_layer(client, layer, blobs).await?;
        arrived(&layer.descriptor.digest);
        Ok(())
    });
    stream::iter(fetches).buffer_unordered(client.parallel()).try_collect().await
}

/// A manifest that is no image, and its small configuration; `None` if there is none. Read where it is written: mirrors have none.
pub(super) async fn artifact(client: &Client, reference: &Reference) -> Result<Option<Artifact>, Error> {
    let endpoint = client.endpoint(reference.registry(), Direction::Push).await?;
    let source = Source::new(&endpoint, &reference.repository, client.transport.backoff);
    let what = reference.to_string();
    let manifest = match source.manifest(&what, reference, &Platform::host(), None).await {
        Ok(Sought::Found(found)) => found.manifest,
        Ok(Sought::Known(_)) | Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let config = source.document(&what, &manifest.config).await?;
    Ok(Some(Artifact { manifest, config }))
}

/// Downloads a blob of an artifact into `blobs`.
pub(super) async fn artifact_blob(
    client: &Client,
    repository: &Repository,
    blob: &Descriptor,
    blobs: &BlobDir,
) -> Result<(), Error> {
    let endpoint = client.endpoint(repository.registry(), Direction::Push).await?;
    Source::new(&endpoint, repository, client.transport.backoff).blob(blob, blobs).await
}

/// Downloads a layer that is not in `blobs` from where it came. Whoever wants one that is on its way waits for it.
pub(super) async fn fetch_layer(client: &Client, layer: &ImageLayer, blobs: &BlobDir) -> Result<(), Error> {
    let Some(origin) = layer.origin.as_ref().filter(|_| !blobs.has(&layer.descriptor.digest)) else { return Ok(()) };
    let turn = client.turn(&layer.descriptor.digest);
    let _turn = turn.lock().await;
    if blobs.has(&layer.descriptor.digest) || nearby(client, layer, blobs).await {
        return Ok(());
    }
    let mut tried = Tried::default();
    let places = places(client, origin)?;
    for place in &places {
        match fetch_from(client, place, layer, blobs).await {
            Ok(()) => return Ok(()),
            Err(error) => tried.failed(error, place, &places),
        }
    }
    Err(tried.error(&origin.to_string()))
}

/// Whether somebody near put the layer into `blobs`.
async fn nearby(client: &Client, layer: &ImageLayer, blobs: &BlobDir) -> bool {
    let Some(supply) = client.nearby.clone() else { return false };
    let (descriptor, blobs) = (layer.descriptor.clone(), blobs.clone());
    tokio::task::spawn_blocking(move || supply(&descriptor, &blobs)).await.unwrap_or(false)
}

async fn fetch_from(client: &Client, place: &Repository, layer: &ImageLayer, blobs: &BlobDir) -> Result<(), Error> {
    let endpoint = client.endpoint(place.registry(), Direction::Pull).await?;
    let backoff = client.transport.backoff;
    let retries = backoff.retries.saturating_add(client.policy.image_download_retry);
    Source::new(&endpoint, place, Backoff { retries, ..backoff }).blob(&layer.descriptor, blobs).await
}

/// Where to look, the place that had the last image of the repository first.
fn places(client: &Client, repository: &Repository) -> Result<Vec<Repository>, Error> {
    let mut places = client.policy.routes.of(repository)?;
    if let Some(known) = client.remembered(repository) {
        places.sort_by_key(|place| *place != known);
    }
    Ok(places)
}

/// The places that had nothing for us.
#[derive(Default)]
struct Tried(Vec<Error>);

impl Tried {
    fn failed(&mut self, error: Error, place: &Repository, places: &[Repository]) {
        if places.last() != Some(place) {
            tracing::warn!("{error}; trying the next registry");
        }
        self.0.push(error);
    }

    fn error(mut self, what: &str) -> Error {
        if self.0.len() == 1
            && let Some(only) = self.0.pop()
        {
            return only;
        }
        let tried: Vec<String> = self.0.iter().map(Error::to_string).collect();
        Error::Nowhere { what: what.to_owned(), tried: tried.join("; ") }
    }
}
