//! Pulling: manifest, platform, configuration, layers. Everything is checked against its digest and size as it arrives.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};

use super::auth::scope;
use super::endpoint::Endpoint;
use super::policy::Direction;
use super::retry::retry;
use super::{Client, Error, PARALLEL};
use crate::oci::{
    Descriptor, Digest, Document, Format, Image, ImageLayer, MAX_DOCUMENT, Manifest, MediaType, Platform, Reference,
    Repository,
};
use crate::store::{self, BlobDir};

/// How deep an index may stand in an index.
const MAX_DEPTH: usize = 4;

/// What a reference stands for on a platform.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The image. Its layers are not here yet.
    pub image: Image,
    /// The digest of its manifest.
    pub digest: Digest,
}

pub(super) async fn resolve(client: &Client, reference: &Reference, platform: &Platform) -> Result<Resolved, Error> {
    let endpoint = client.endpoint(reference.registry(), Direction::Pull).await?;
    let what = reference.to_string();
    let source = Source::new(&endpoint, &reference.repository);
    let (manifest, digest) = source.manifest(&what, reference, platform).await?;
    let failed = |source| Error::Image { what: what.clone(), source };
    Image::check_config_type(&manifest.config.media_type).map_err(failed)?;
    let config = source.document(&what, &manifest.config).await?;
    let image = Image::from_parts(manifest, &config, platform, Some(&reference.repository)).map_err(failed)?;
    let actual = image.config.platform();
    if platform.preference(&actual).is_none() {
        tracing::warn!("{what} is for {actual}, not for {platform}");
    }
    tracing::debug!("{what} is {digest}");
    Ok(Resolved { image, digest })
}

pub(super) async fn fetch(client: &Client, image: &Image, blobs: &BlobDir) -> Result<(), Error> {
    let layers: BTreeMap<&Digest, &ImageLayer> = image.layers().iter().map(|l| (&l.descriptor.digest, l)).collect();
    let fetches = layers.into_values().map(|layer| fetch_layer(client, layer, blobs));
    stream::iter(fetches).buffer_unordered(PARALLEL).try_collect().await
}

/// Downloads a layer that is not in `blobs` from where it came.
pub(super) async fn fetch_layer(client: &Client, layer: &ImageLayer, blobs: &BlobDir) -> Result<(), Error> {
    let Some(origin) = layer.origin.as_ref().filter(|_| !blobs.has(&layer.descriptor.digest)) else { return Ok(()) };
    let endpoint = client.endpoint(origin.registry(), Direction::Pull).await?;
    Source::new(&endpoint, origin).blob(&layer.descriptor, blobs).await
}

/// A repository to pull from.
struct Source<'a> {
    endpoint: &'a Endpoint,
    repository: &'a Repository,
    scopes: [String; 1],
}

impl<'a> Source<'a> {
    fn new(endpoint: &'a Endpoint, repository: &'a Repository) -> Self {
        Source { endpoint, repository, scopes: [scope(repository.name(), "pull")] }
    }

    /// The manifest of the image for `platform`, and its digest.
    async fn manifest(
        &self,
        what: &str,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<(Manifest, Digest), Error> {
        let (bytes, served) = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => self.manifest_bytes(what, digest.as_str(), Some(digest)).await?,
            (None, tag) => self.manifest_bytes(what, tag.unwrap_or("latest"), None).await?,
        };
        let mut digest = reference.digest().cloned().unwrap_or_else(|| Digest::of(&bytes));
        let mut document = parse(what, &bytes, served.as_ref())?;
        for _ in 0..MAX_DEPTH {
            let index = match document {
                Document::Manifest(manifest) => return Ok((*manifest, digest)),
                Document::Index(index) => index,
            };
            let unfit = |source| Error::Platform { what: what.to_owned(), source };
            let entry = index.select(platform).map_err(unfit)?;
            let (bytes, _) = self.manifest_bytes(what, entry.digest.as_str(), Some(&entry.digest)).await?;
            store::check_bytes(entry, &bytes).map_err(Error::blob(what))?;
            (document, digest) = (parse(what, &bytes, Some(&entry.media_type))?, entry.digest.clone());
        }
        Err(Error::protocol(what, "its indexes are nested too deep"))
    }

    /// The bytes of a manifest, checked against its digest, and the media type that they were served with.
    async fn manifest_bytes(
        &self,
        what: &str,
        name: &str,
        digest: Option<&Digest>,
    ) -> Result<(Vec<u8>, Option<MediaType>), Error> {
        let url = self.endpoint.url(&format!("{}/manifests/{name}", self.repository.name()));
        let (bytes, headers) = retry(async || {
            let build = |http: &reqwest::Client| Ok(http.get(url.clone()).header(ACCEPT, accepted()));
            let answer = self.endpoint.send(what, &self.scopes, None, build).await?;
            let answer = self.endpoint.expect(what, answer, &[StatusCode::OK]).await?;
            let headers = answer.headers().clone();
            Ok((self.endpoint.read(what, answer, MAX_DOCUMENT).await?, headers))
        })
        .await?;
        if let Some(expected) = digest.cloned().or_else(|| announced(&headers)) {
            let descriptor = Descriptor::new(MediaType::Other(String::new()), expected, bytes.len() as u64);
            store::check_bytes(&descriptor, &bytes).map_err(Error::blob(what))?;
        }
        let served = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(MediaType::of_header);
        Ok((bytes, served))
    }

    /// A small blob, in memory.
    async fn document(&self, what: &str, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let bytes = retry(async || {
            let answer = self.open(what, descriptor).await?;
            self.endpoint.read(what, answer, MAX_DOCUMENT).await
        })
        .await?;
        store::check_bytes(descriptor, &bytes).map_err(Error::blob(what))?;
        Ok(bytes)
    }

    /// A blob of any size, into `blobs`.
    async fn blob(&self, descriptor: &Descriptor, blobs: &BlobDir) -> Result<(), Error> {
        let what = self.repository.to_string();
        retry(async || {
            let mut answer = self.open(&what, descriptor).await?;
            let mut writer = blobs.writer_for(descriptor).map_err(Error::blob(&what))?;
            while let Some(chunk) = self.endpoint.chunk(&what, &mut answer).await? {
                match writer.write_all(&chunk) {
                    Err(error) if error.kind() == ErrorKind::FileTooLarge => break,
                    written => written.map_err(|error| Error::blob(&what)(blobs.failed("write", descriptor, error)))?,
                }
            }
            writer.finish(Some(&descriptor.digest)).map(drop).map_err(Error::blob(&what))
        })
        .await
    }

    async fn open(&self, what: &str, descriptor: &Descriptor) -> Result<reqwest::Response, Error> {
        let url = self.endpoint.url(&format!("{}/blobs/{}", self.repository.name(), descriptor.digest));
        let what = format!("{what}: blob {}", descriptor.digest);
        let answer = self.endpoint.send(&what, &self.scopes, None, |http| Ok(http.get(url.clone()))).await?;
        self.endpoint.expect(&what, answer, &[StatusCode::OK]).await
    }
}

fn parse(what: &str, bytes: &[u8], served: Option<&MediaType>) -> Result<Document, Error> {
    Document::parse(bytes, served).map_err(|source| Error::Document { what: what.to_owned(), source })
}

/// The digest that the registry itself gives a manifest.
fn announced(headers: &HeaderMap) -> Option<Digest> {
    headers.get("Docker-Content-Digest")?.to_str().ok()?.parse().ok()
}

fn accepted() -> String {
    let manifests = [Format::Oci, Format::Docker].map(MediaType::Manifest);
    let indexes = [Format::Oci, Format::Docker].map(MediaType::Index);
    manifests.iter().chain(&indexes).map(MediaType::as_str).collect::<Vec<_>>().join(", ")
}
