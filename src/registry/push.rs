//! Pushing: every blob first, the manifest last.
//!
//! A blob that the repository has is left alone, one that another repository of the registry has is mounted, and only the rest is
//! sent: as one stream, from its file, with its length known.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Response, StatusCode, Url};

use super::auth::scope;
use super::endpoint::{Endpoint, Progress};
use super::policy::Direction;
use super::retry::retry;
use super::{Client, Error, PARALLEL, pull};
use crate::oci::{Descriptor, Digest, Encoded, Image, ImageLayer, Reference, Repository};
use crate::store::BlobDir;

/// How much of a file is read at once, in bytes.
const CHUNK: usize = 1 << 17;

pub(super) async fn push(client: &Client, to: &Reference, image: &Image, blobs: &BlobDir) -> Result<Digest, Error> {
    let what = to.to_string();
    if to.digest().is_some() {
        return Err(Error::protocol(&what, "a destination has a tag, not a digest"));
    }
    let encoded = image.encode().map_err(|source| Error::Image { what: what.clone(), source })?;
    let endpoint = client.endpoint(to.registry(), Direction::Push).await?;
    let target = Target::new(&endpoint, &to.repository);
    let layers: BTreeMap<&Digest, &ImageLayer> = image.layers().iter().map(|l| (&l.descriptor.digest, l)).collect();
    let pushes = layers.into_values().map(|layer| target.layer(client, layer, blobs));
    stream::iter(pushes).buffer_unordered(PARALLEL).try_collect::<()>().await?;
    let config = Content::Memory(Bytes::copy_from_slice(&encoded.config));
    target.blob(&encoded.config_descriptor, None, async || Ok(config.clone())).await?;
    client.may_publish(&what)?;
    target.manifest(&what, to.tag().unwrap_or("latest"), &encoded).await?;
    Ok(encoded.descriptor.digest)
}

pub(super) async fn check(client: &Client, to: &Reference) -> Result<(), Error> {
    let endpoint = client.endpoint(to.registry(), Direction::Push).await?;
    let target = Target::new(&endpoint, &to.repository);
    let what = format!("{}: check whether it can be pushed to", to.repository);
    let session = retry(async || target.begin(&what, None).await).await?;
    if let Begun::Session(url) = session {
        let cancelled = endpoint.send(&what, &target.scopes, None, |http| Ok(http.delete(url.clone()))).await;
        tracing::debug!("{what}: cancelled with {:?}", cancelled.map(|answer| answer.status()));
    }
    Ok(())
}

/// Where a blob's bytes are.
#[derive(Clone)]
enum Content {
    Memory(Bytes),
    File(PathBuf),
}

/// What a registry answers to the wish to upload.
enum Begun {
    /// It had the blob elsewhere and mounted it.
    Mounted,
    /// It waits for the bytes at this address.
    Session(Url),
}

/// A repository to push to.
struct Target<'a> {
    endpoint: &'a Endpoint,
    repository: &'a Repository,
    scopes: [String; 1],
}

impl<'a> Target<'a> {
    fn new(endpoint: &'a Endpoint, repository: &'a Repository) -> Self {
        Target { endpoint, repository, scopes: [scope(repository.name(), "pull,push")] }
    }

    async fn layer(&self, client: &Client, layer: &ImageLayer, blobs: &BlobDir) -> Result<(), Error> {
        let is_near =
            |origin: &&Repository| origin.registry() == self.repository.registry() && *origin != self.repository;
        let content = async || {
            pull::fetch_layer(client, layer, blobs).await?;
            Ok(Content::File(blobs.path(&layer.descriptor.digest)))
        };
        self.blob(&layer.descriptor, layer.origin.as_ref().filter(is_near), content).await
    }

    /// Sees to it that the repository has a blob; `content` is asked for only if its bytes must be sent.
    async fn blob(
        &self,
        blob: &Descriptor,
        mount: Option<&Repository>,
        content: impl AsyncFn() -> Result<Content, Error>,
    ) -> Result<(), Error> {
        let what = format!("{}: push blob {}", self.repository, blob.digest);
        if retry(async || self.has(&what, blob).await).await? {
            tracing::debug!("{what}: it is there already");
            return Ok(());
        }
        let mut session = match mount {
            Some(from) => Some(self.mount(&what, &blob.digest, from).await?),
            None => None,
        };
        if matches!(session, Some(Begun::Mounted)) {
            tracing::debug!("{what}: mounted");
            return Ok(());
        }
        let content = content().await?;
        if let Some(Begun::Session(url)) = session.take() {
            match self.upload(&what, url, blob, &content).await {
                Err(error) if error.is_transient() => tracing::warn!("{error}; beginning again"),
                result => return result,
            }
        }
        retry(async || match self.begin(&what, None).await? {
            Begun::Session(url) => self.upload(&what, url, blob, &content).await,
            Begun::Mounted => Ok(()),
        })
        .await
    }

    async fn has(&self, what: &str, blob: &Descriptor) -> Result<bool, Error> {
        let url = self.endpoint.url(&format!("{}/blobs/{}", self.repository.name(), blob.digest));
        let answer = self.endpoint.send(what, &self.scopes, None, |http| Ok(http.head(url.clone()))).await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => Ok(false),
            _ => self.endpoint.expect(what, answer, &[]).await.map(|_| false),
        }
    }

    /// Asks for a blob of another repository. A registry that does not let us is asked for an ordinary upload.
    async fn mount(&self, what: &str, digest: &Digest, from: &Repository) -> Result<Begun, Error> {
        match self.begin(what, Some((digest, from))).await {
            Err(error) => {
                tracing::debug!("{error}; uploading instead of mounting from {from}");
                retry(async || self.begin(what, None).await).await
            }
            begun => begun,
        }
    }

    async fn begin(&self, what: &str, mount: Option<(&Digest, &Repository)>) -> Result<Begun, Error> {
        let mut url = self.endpoint.url(&format!("{}/blobs/uploads/", self.repository.name()));
        let mut scopes = self.scopes.to_vec();
        if let Some((digest, from)) = mount {
            url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", from.name());
            scopes.push(scope(from.name(), "pull"));
        }
        let build = |http: &reqwest::Client| Ok(http.post(url.clone()).header(CONTENT_LENGTH, 0));
        let answer = self.endpoint.send(what, &scopes, None, build).await?;
        match answer.status() {
            StatusCode::CREATED if mount.is_some() => Ok(Begun::Mounted),
            _ => {
                let answer = self.endpoint.expect(what, answer, &[StatusCode::ACCEPTED]).await?;
                location(what, &answer).map(Begun::Session)
            }
        }
    }

    /// Sends a blob's bytes to an open session, and closes it.
    async fn upload(&self, what: &str, session: Url, blob: &Descriptor, content: &Content) -> Result<(), Error> {
        let sent = Arc::new(Progress { sent: AtomicU64::new(0), total: blob.size });
        let answer = self
            .endpoint
            .send(what, &self.scopes, Some(&sent), |http| {
                let body = body(what, content, blob, &sent)?;
                let request = http.patch(session.clone()).header(CONTENT_TYPE, "application/octet-stream");
                Ok(request.header(CONTENT_LENGTH, blob.size).body(body))
            })
            .await?;
        let answer = self.endpoint.expect(what, answer, &[StatusCode::ACCEPTED, StatusCode::NO_CONTENT]).await?;
        let mut commit = location(what, &answer)?;
        commit.query_pairs_mut().append_pair("digest", blob.digest.as_str());
        let all = Progress { sent: AtomicU64::new(0), total: 0 };
        let build = |http: &reqwest::Client| Ok(http.put(commit.clone()).header(CONTENT_LENGTH, 0));
        let answer = self.endpoint.send(what, &self.scopes, Some(&all), build).await?;
        self.endpoint.expect(what, answer, &[StatusCode::CREATED, StatusCode::NO_CONTENT]).await.map(drop)
    }

    async fn manifest(&self, what: &str, tag: &str, encoded: &Encoded) -> Result<(), Error> {
        let url = self.endpoint.url(&format!("{}/manifests/{tag}", self.repository.name()));
        let body = Bytes::copy_from_slice(&encoded.manifest);
        let what = format!("{what}: push the manifest");
        let answer = retry(async || {
            let build = |http: &reqwest::Client| {
                let request = http.put(url.clone()).header(CONTENT_TYPE, encoded.descriptor.media_type.as_str());
                Ok(request.body(body.clone()))
            };
            let answer = self.endpoint.send(&what, &self.scopes, None, build).await?;
            self.endpoint.expect(&what, answer, &[StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED]).await
        })
        .await?;
        let said = answer.headers().get("Docker-Content-Digest").and_then(|value| value.to_str().ok());
        match said.and_then(|text| text.parse::<Digest>().ok()) {
            Some(other) if other != encoded.descriptor.digest => Err(Error::protocol(
                &what,
                format!("the registry stored {other} and not {}", encoded.descriptor.digest),
            )),
            _ => Ok(()),
        }
    }
}

/// Where the registry wants the next request. Never plain HTTP where this one was encrypted.
fn location(what: &str, answer: &Response) -> Result<Url, Error> {
    let text = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let url = text.and_then(|text| answer.url().join(text).ok());
    let url = url.ok_or_else(|| Error::protocol(what, "the registry does not say where to upload"))?;
    let is_downgrade = answer.url().scheme() == "https" && url.scheme() != "https";
    if is_downgrade || !matches!(url.scheme(), "https" | "http") {
        return Err(Error::protocol(
            what,
            format!("the registry wants the upload at {}://, which is not safe", url.scheme()),
        ));
    }
    Ok(url)
}

/// A body that reads as it is sent.
fn body(what: &str, content: &Content, blob: &Descriptor, progress: &Arc<Progress>) -> Result<Body, Error> {
    progress.sent.store(0, Ordering::Relaxed);
    match content {
        Content::Memory(bytes) => {
            progress.sent.store(blob.size, Ordering::Relaxed);
            Ok(Body::from(bytes.clone()))
        }
        Content::File(path) => {
            let broken = |why: String| Error::protocol(what, format!("{}: {why}", path.display()));
            let file = File::open(path).map_err(|error| broken(error.to_string()))?;
            let size = file.metadata().map_err(|error| broken(error.to_string()))?.len();
            if size != blob.size {
                return Err(broken(format!("it has {size} bytes and not {}", blob.size)));
            }
            Ok(Body::wrap_stream(stream::iter(Chunks { file, progress: progress.clone() })))
        }
    }
}

/// A file in pieces. It is read where the connection wants the next one: a blob of ours is in the page cache or on a local disk.
struct Chunks {
    file: File,
    progress: Arc<Progress>,
}

impl Iterator for Chunks {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut chunk = Vec::with_capacity(CHUNK);
        match (&mut self.file).take(CHUNK as u64).read_to_end(&mut chunk) {
            Ok(0) => None,
            Ok(read) => {
                self.progress.sent.fetch_add(read as u64, Ordering::Relaxed);
                Some(Ok(Bytes::from(chunk)))
            }
            Err(error) => Some(Err(error)),
        }
    }
}
