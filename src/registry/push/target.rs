//! A repository to push to: what it has, what it can mount, and its manifests.

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{StatusCode, Url};

use super::content::Content;
use super::immutable;
use super::session::Session;
use crate::oci::{Descriptor, Digest, Encoded, ImageLayer, Repository};
use crate::registry::auth::Access;
use crate::registry::endpoint::{Ask, Endpoint};
use crate::registry::redirect::Method;
use crate::registry::retry::{pause, retry};
use crate::registry::{Client, Error, pull};
use crate::store::BlobDir;

/// How many sessions for one blob may be given up without a failure of the connection.
const MOST_SESSIONS: u32 = 8;

/// Where an image goes.
pub(super) struct Target<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) repository: &'a Repository,
    pub(super) access: Access,
}

/// What a registry answers to the wish to upload.
pub(super) enum Begun {
    /// It had the blob elsewhere and mounted it.
    Mounted,
    /// It waits for the bytes.
    Session(Session),
}

/// What became of a manifest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// The tag has it.
    Stored,
    /// The tag has another and may not be moved, which is no error here.
    Kept,
}

impl<'a> Target<'a> {
    pub(super) fn new(endpoint: &'a Endpoint, repository: &'a Repository) -> Self {
        Target { endpoint, repository, access: Access::push(repository.name()) }
    }

    /// Sees to it that the repository has a layer: from `elsewhere` in the registry, from `blobs`, or from where it came.
    pub(super) async fn layer(
        &self,
        client: &Client,
        layer: &ImageLayer,
        blobs: &BlobDir,
        elsewhere: Option<&Repository>,
    ) -> Result<(), Error> {
        let content = async || {
            pull::fetch_layer(client, layer, blobs).await?;
            Ok(Content::File(blobs.path(&layer.descriptor.digest)))
        };
        self.blob(&layer.descriptor, elsewhere, content).await
    }

    /// Sees to it that the repository has a blob; `content` is asked for only if its bytes must be sent.
    pub(super) async fn blob(
        &self,
        blob: &Descriptor,
        elsewhere: Option<&Repository>,
        content: impl AsyncFn() -> Result<Content, Error>,
    ) -> Result<(), Error> {
        let what = format!("{}: push blob {}", self.repository, blob.digest);
        let (mut mount, mut failures, mut lost) = (elsewhere, 0, 0);
        loop {
            match self.try_blob(&what, blob, mount.take(), &content).await {
                // A body that was too large taught us a limit, or the registry lost count.
                Err(error @ Error::Lost { .. }) if lost < MOST_SESSIONS => {
                    tracing::debug!("{error}; beginning a new session");
                    lost += 1;
                }
                Err(error) if error.is_transient() && failures < self.endpoint.backoff().retries => {
                    failures += 1;
                    pause(self.endpoint.backoff(), failures, &error).await;
                }
                result => return result,
            }
        }
    }

    async fn try_blob(
        &self,
        what: &str,
        blob: &Descriptor,
        mount: Option<&Repository>,
        content: &impl AsyncFn() -> Result<Content, Error>,
    ) -> Result<(), Error> {
        if self.has(what, blob).await? {
            tracing::info!("{what}: it is there already");
            return Ok(());
        }
        let begun = match mount {
            Some(from) => self.mount(what, &blob.digest, from).await?,
            None => self.begin(what, None).await?,
        };
        match begun {
            Begun::Mounted => {
                tracing::info!("{what}: mounted");
                Ok(())
            }
            Begun::Session(session) => {
                let content = content().await?;
                self.upload(what, session, blob, &content).await
            }
        }
    }

    /// Whether the repository has the blob, with the right size where the registry says how large it is.
    async fn has(&self, what: &str, blob: &Descriptor) -> Result<bool, Error> {
        let url = self.endpoint.url(&format!("{}/blobs/{}", self.repository.name(), blob.digest));
        let answer = self.endpoint.get(what, &self.access, &url, |http, url| http.head(url)).await?;
        let size = answer.header(CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<u64>().ok());
        let has = match answer.status() {
            StatusCode::OK => size.is_none_or(|size| size == blob.size),
            status if status.is_client_error() && !is_passing(status) => false,
            _ => return answer.expect(what, &[]).await.map(|_| false),
        };
        answer.finish().await;
        Ok(has)
    }

    /// Asks for a blob of another repository. A registry that does not let us is asked for an ordinary upload.
    async fn mount(&self, what: &str, digest: &Digest, from: &Repository) -> Result<Begun, Error> {
        match self.begin(what, Some((digest, from))).await {
            Err(error) => {
                tracing::debug!("{error}; uploading instead of mounting from {from}");
                retry(self.endpoint.backoff(), async || self.begin(what, None).await).await
            }
            begun => begun,
        }
    }

    pub(super) async fn begin(&self, what: &str, mount: Option<(&Digest, &Repository)>) -> Result<Begun, Error> {
        let mut url = self.endpoint.url(&format!("{}/blobs/uploads/", self.repository.name()));
        let mut access = self.access.clone();
        if let Some((digest, from)) = mount {
            url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", from.name());
            access = access.and_pull(from.name());
        }
        let build = |http: &reqwest::Client, url| Ok(http.post(url).header(CONTENT_LENGTH, 0));
        let ask = Ask { what, access: &access, progress: None, method: Method::Fixed, build };
        let answer = self.endpoint.send(&url, &ask).await?;
        if answer.status() == StatusCode::CREATED && mount.is_some() {
            answer.finish().await;
            return Ok(Begun::Mounted);
        }
        let answer = answer.expect(what, &[StatusCode::ACCEPTED]).await?;
        let session = Session::of(what, &answer)?;
        answer.finish().await;
        Ok(Begun::Session(session))
    }

    /// Gives up an upload.
    pub(super) async fn cancel(&self, what: &str, url: &Url) -> Result<StatusCode, Error> {
        let build = |http: &reqwest::Client, url| Ok(http.delete(url));
        let ask = Ask { what, access: &self.access, progress: None, method: Method::Fixed, build };
        let answer = self.endpoint.send(url, &ask).await?;
        let status = answer.status();
        answer.finish().await;
        Ok(status)
    }

    /// Puts a manifest under a tag. Its blobs must be there.
    pub(super) async fn manifest(
        &self,
        client: &Client,
        what: &str,
        tag: &str,
        encoded: &Encoded,
    ) -> Result<Told, Error> {
        let url = self.endpoint.url(&format!("{}/manifests/{tag}", self.repository.name()));
        let body = Bytes::copy_from_slice(&encoded.manifest);
        let step = format!("{what}: push the manifest");
        let answer = retry(self.endpoint.backoff(), async || {
            client.may_publish(what)?;
            let build = |http: &reqwest::Client, url| {
                let request = http.put(url).header(CONTENT_TYPE, encoded.descriptor.media_type.as_str());
                Ok(request.body(body.clone()))
            };
            let ask = Ask { what: &step, access: &self.access, progress: None, method: Method::Fixed, build };
            let answer = self.endpoint.send(&url, &ask).await?;
            answer.expect(&step, &[StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED]).await
        })
        .await;
        let answer = match answer {
            Err(error) if client.policy.ignore_immutable_tag_errors && immutable::is_taken_tag(&error) => {
                tracing::warn!("{error}; ignored, so {what} stays what it was");
                return Ok(Told::Kept);
            }
            answer => answer?,
        };
        let said = answer.header("Docker-Content-Digest").and_then(|text| text.parse::<Digest>().ok());
        answer.finish().await;
        match said {
            Some(other) if other != encoded.descriptor.digest => {
                let why = format!("the registry stored {other} and not {}", encoded.descriptor.digest);
                Err(Error::protocol(&step, why))
            }
            _ => Ok(Told::Stored),
        }
    }
}

/// Whether a client error says nothing about the blob.
fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}
