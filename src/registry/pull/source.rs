//! A repository to pull from: its manifests and its small blobs.

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};

use crate::oci::{
    Descriptor, Digest, Document, Format, MAX_DOCUMENT, Manifest, MediaType, Platform, Reference, Repository,
};
use crate::registry::Error;
use crate::registry::answer::Answer;
use crate::registry::auth::Access;
use crate::registry::endpoint::Endpoint;
use crate::registry::patience::Backoff;
use crate::registry::progress::Progress;
use crate::registry::retry::retry;
use crate::store;

/// How deep an index may stand in an index.
const MAX_DEPTH: usize = 4;

/// Where an image is.
pub(super) struct Source<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) repository: &'a Repository,
    pub(super) backoff: Backoff,
    access: Access,
}

/// A manifest's bytes, and the media type that they were served with.
type Served = (Vec<u8>, Option<MediaType>);

/// Whether somebody has the image, or the index, of a digest already.
pub(super) type Known<'k> = dyn Fn(&Digest) -> bool + Send + Sync + 'k;

/// What became of the search for a manifest.
pub(super) enum Sought {
    /// The caller has what this digest names.
    Known(Digest),
    /// The manifest of the image.
    Found(Box<Found>),
}

/// A manifest as it came, and the indexes on the way to it, outermost first.
pub(super) struct Found {
    pub(super) manifest: Manifest,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
    pub(super) indexes: Vec<(Digest, Vec<u8>)>,
}

impl<'a> Source<'a> {
    pub(super) fn new(endpoint: &'a Endpoint, repository: &'a Repository, backoff: Backoff) -> Self {
        Source { endpoint, repository, backoff, access: Access::pull(repository.name()) }
    }

    /// The manifest of the image for `platform`. With `known` a tag is first asked for its digest alone, and what the caller
    /// knows is not asked for.
    pub(super) async fn manifest(
        &self,
        what: &str,
        reference: &Reference,
        platform: &Platform,
        known: Option<&Known<'_>>,
    ) -> Result<Sought, Error> {
        let is_known = |digest: &Digest| known.is_some_and(|known| known(digest));
        let tag = reference.tag().unwrap_or("latest");
        if known.is_some()
            && reference.digest().is_none()
            && let Some(digest) = self.digest_of(what, tag).await
            && is_known(&digest)
        {
            return Ok(Sought::Known(digest));
        }
        let (mut bytes, served) = match reference.digest() {
            Some(digest) => self.manifest_bytes(what, digest.as_str(), Some(digest)).await?,
            None => self.manifest_bytes(what, tag, None).await?,
        };
        let mut digest = reference.digest().cloned().unwrap_or_else(|| Digest::of(&bytes));
        let mut document = parse(what, &bytes, served.as_ref())?;
        let mut indexes = Vec::new();
        for _ in 0..MAX_DEPTH {
            let index = match document {
                Document::Manifest(manifest) => {
                    let manifest = *manifest;
                    return Ok(Sought::Found(Box::new(Found { manifest, digest, bytes, indexes })));
                }
                Document::Index(index) => index,
            };
            let unfit = |source| Error::Platform { what: what.to_owned(), source };
            let entry = index.select(platform).map_err(unfit)?;
            if is_known(&entry.digest) {
                return Ok(Sought::Known(entry.digest.clone()));
            }
            indexes.push((digest, bytes));
            (bytes, _) = self.manifest_bytes(what, entry.digest.as_str(), Some(&entry.digest)).await?;
            store::check_bytes(entry, &bytes).map_err(Error::blob(what))?;
            (document, digest) = (parse(what, &bytes, Some(&entry.media_type))?, entry.digest.clone());
        }
        Err(Error::protocol(what, "its indexes are nested too deep"))
    }

    /// The digest that a tag has now, from the headers alone, which registries do not count as a pull. `None` if that cannot be
    /// learnt for whatever reason: asking for the manifest itself says why.
    async fn digest_of(&self, what: &str, tag: &str) -> Option<Digest> {
        let url = self.endpoint.url(&format!("{}/manifests/{tag}", self.repository.name()));
        let head = |http: &reqwest::Client, url| http.head(url).header(ACCEPT, accepted());
        let answer = self.endpoint.get(what, &self.access, &url, head).await.ok()?;
        let announced = answer.header("Docker-Content-Digest").and_then(|text| text.parse().ok());
        let is_there = answer.status() == StatusCode::OK;
        answer.finish().await;
        announced.filter(|_| is_there)
    }

    /// The bytes of a manifest, checked against its digest.
    async fn manifest_bytes(&self, what: &str, name: &str, digest: Option<&Digest>) -> Result<Served, Error> {
        let url = self.endpoint.url(&format!("{}/manifests/{name}", self.repository.name()));
        retry(&self.backoff, async || {
            let get = |http: &reqwest::Client, url| http.get(url).header(ACCEPT, accepted());
            let answer = self.endpoint.get(what, &self.access, &url, get).await?;
            let answer = answer.expect(what, &[StatusCode::OK]).await?;
            let served = answer.header(CONTENT_TYPE.as_str()).map(MediaType::of_header);
            let announced = answer.header("Docker-Content-Digest").and_then(|text| text.parse().ok());
            let bytes = answer.read(what, MAX_DOCUMENT).await?;
            if let Some(expected) = digest.cloned().or(announced) {
                let descriptor = Descriptor::new(MediaType::Other(String::new()), expected, bytes.len() as u64);
                store::check_bytes(&descriptor, &bytes).map_err(Error::blob(what))?;
            }
            Ok((bytes, served))
        })
        .await
    }

    /// A small blob, in memory. Its end is told as that of any other.
    pub(super) async fn document(&self, what: &str, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        if descriptor.size > MAX_DOCUMENT {
            return Err(Error::protocol(what, format!("its configuration has {} bytes, too many", descriptor.size)));
        }
        let progress = self.progress(descriptor);
        let bytes = retry(&self.backoff, async || {
            let answer = self.open(what, descriptor, 0).await?.expect(what, &[StatusCode::OK]).await?;
            answer.read(what, descriptor.size).await
        })
        .await?;
        store::check_bytes(descriptor, &bytes).map_err(Error::blob(what))?;
        progress.finish();
        Ok(bytes)
    }

    /// Whether the blob is there, with the right size where the registry says how large it is.
    pub(super) async fn has(&self, what: &str, descriptor: &Descriptor) -> Result<bool, Error> {
        let url = self.endpoint.url(&format!("{}/blobs/{}", self.repository.name(), descriptor.digest));
        let answer = retry(&self.backoff, async || {
            let answer = self.endpoint.get(what, &self.access, &url, |http, url| http.head(url)).await?;
            answer.expect(what, &[StatusCode::OK]).await
        });
        match answer.await {
            Err(Error::NotFound { .. }) => Ok(false),
            answer => {
                let answer = answer?;
                let size = answer.header(CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<u64>().ok());
                answer.finish().await;
                Ok(size.is_none_or(|size| size == descriptor.size))
            }
        }
    }

    /// The progress of a blob that is pulled from now on.
    pub(super) fn progress(&self, descriptor: &Descriptor) -> Progress {
        Progress::begin(format!("pull {}, blob {}", self.repository, descriptor.digest), descriptor.size)
    }

    /// Asks for a blob from its byte `offset` on.
    pub(super) async fn open(&self, what: &str, descriptor: &Descriptor, offset: u64) -> Result<Answer, Error> {
        let url = self.endpoint.url(&format!("{}/blobs/{}", self.repository.name(), descriptor.digest));
        let what = format!("{what}: blob {}", descriptor.digest);
        let get = |http: &reqwest::Client, url| match offset {
            0 => http.get(url),
            offset => http.get(url).header("Range", format!("bytes={offset}-")),
        };
        self.endpoint.get(&what, &self.access, &url, get).await
    }
}

fn parse(what: &str, bytes: &[u8], served: Option<&MediaType>) -> Result<Document, Error> {
    Document::parse(bytes, served).map_err(|source| Error::Document { what: what.to_owned(), source })
}

fn accepted() -> String {
    let manifests = [Format::Oci, Format::Docker].map(MediaType::Manifest);
    let indexes = [Format::Oci, Format::Docker].map(MediaType::Index);
    manifests.iter().chain(&indexes).map(MediaType::as_str).collect::<Vec<_>>().join(", ")
}
