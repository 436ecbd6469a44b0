//! An upload of one blob (distribution-spec, "Pushing blobs in chunks"): as one stream of known length where the registry takes it,
//! otherwise in chunks.
//!
//! A connection that breaks is not the end: the registry is asked how much it has, and gets the rest. One that cannot say so, or has
//! another idea of it than we, gets the blob from its start in a new session.

use std::sync::Arc;

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use reqwest::{StatusCode, Url};

use super::content::Content;
use super::target::Target;
use crate::oci::{Descriptor, Digest};
use crate::registry::Error;
use crate::registry::answer::Answer;
use crate::registry::endpoint::Ask;
use crate::registry::progress::Progress;
use crate::registry::redirect::{self, Method};
use crate::registry::retry::pause;

/// Chunks to try, in bytes, after the registry or a proxy before it refused a larger body: common limits of proxies are 100 MB,
/// 10 MB and nginx's 1 MiB.
const CHUNKS: [u64; 4] = [64 << 20, 8 << 20, 1 << 20, 128 << 10];

/// The longest chunk where a registry asks for chunks and names only the shortest, in bytes.
const ORDINARY_CHUNK: u64 = 32 << 20;

/// An attempt that brought this much does not count as a failure, in bytes.
const WORTHWHILE: u64 = 8 << 20;

/// Where an upload goes on.
pub(super) struct Session {
    url: Url,
    /// The smallest chunk that the registry takes but for the last, in bytes, if it wants chunks.
    least: Option<u64>,
}

impl Session {
    /// What a registry that opened one answered.
    pub(super) fn of(what: &str, answer: &Answer) -> Result<Self, Error> {
        let least = answer.header("OCI-Chunk-Min-Length").and_then(|text| text.parse().ok());
        Ok(Session { url: location(what, answer)?, least })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// How much to send in one request.
    fn chunk(&self, largest: u64) -> u64 {
        let wanted = self.least.map_or(u64::MAX, |least| least.max(ORDINARY_CHUNK));
        wanted.min(largest).max(self.least.unwrap_or(1)).max(1)
    }
}

impl Target<'_> {
    /// Sends a blob's bytes to an open session, and closes it.
    pub(super) async fn upload(
        &self,
        what: &str,
        mut session: Session,
        blob: &Descriptor,
        content: &Content,
    ) -> Result<(), Error> {
        let progress = Arc::new(Progress::begin(what.to_owned(), blob.size));
        let (mut sent, mut furthest, mut failures, mut is_pieced) = (0_u64, 0_u64, 0, false);
        loop {
            let end = blob.size.min(sent.saturating_add(session.chunk(self.endpoint.largest_body())));
            match self.chunk(what, &session.url, blob, content, (sent, end), &progress).await {
                Ok(url) => {
                    // What was sent once already is no progress.
                    failures = if end > furthest { 0 } else { failures };
                    (session.url, sent, furthest) = (url, end, furthest.max(end));
                }
                Err(error) if error.is_transient() && failures < self.endpoint.backoff().retries => {
                    pause(self.endpoint.backoff(), failures + 1, &error).await;
                    // What the registry has is more than nothing and no more than there is, or the session is not worth it.
                    let (url, has) = match self.status(what, &session.url).await {
                        Some((url, has)) if has > 0 && has <= blob.size => (url, has),
                        _ => return Err(error),
                    };
                    tracing::debug!("{what}: going on at byte {has}");
                    failures = if has >= furthest.saturating_add(WORTHWHILE) { 1 } else { failures + 1 };
                    (session.url, sent, furthest, is_pieced) = (url, has, furthest.max(has), true);
                }
                Err(error) => return Err(error),
            }
            if sent >= blob.size {
                break;
            }
        }
        let committed = self.commit(what, session.url, &blob.digest).await;
        match committed {
            // The registry's idea of what it had was wrong.
            Err(error @ Error::Status { status: 400..=499, .. }) if is_pieced && !error.is_transient() => {
                Err(Error::Lost { what: what.to_owned(), why: error.to_string() })
            }
            Err(error) => Err(error),
            Ok(()) => {
                progress.finish();
                Ok(())
            }
        }
    }

    /// Sends a part of a blob; returns where the next goes.
    async fn chunk(
        &self,
        what: &str,
        url: &Url,
        blob: &Descriptor,
        content: &Content,
        (start, end): (u64, u64),
        progress: &Arc<Progress>,
    ) -> Result<Url, Error> {
        let is_whole = start == 0 && end == blob.size;
        let build = |http: &reqwest::Client, url| {
            let body = content.body(what, blob, (start, end), progress)?;
            let request =
                http.patch(url).header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, end - start);
            let request = match is_whole {
                true => request,
                false => request.header(CONTENT_RANGE, format!("{start}-{}", end.saturating_sub(1))),
            };
            Ok(request.body(body))
        };
        let ask = Ask { what, access: &self.access, progress: Some(progress), method: Method::Fixed, build };
        let answer = self.endpoint.send(url, &ask).await?;
        if answer.status() == StatusCode::PAYLOAD_TOO_LARGE
            && let Some(chunk) = CHUNKS.into_iter().find(|chunk| *chunk < end - start)
        {
            tracing::debug!("{what}: {} bytes are too many for one request; sending {chunk} at a time", end - start);
            self.endpoint.limit_body(chunk);
            return Err(Error::Lost { what: what.to_owned(), why: "too large for one request".to_owned() });
        }
        let answer = answer.expect(what, &[StatusCode::ACCEPTED, StatusCode::NO_CONTENT, StatusCode::CREATED]).await?;
        let next = location(what, &answer)?;
        answer.finish().await;
        Ok(next)
    }

    /// Where an upload goes on and how many bytes the registry has, if it can say so.
    async fn status(&self, what: &str, url: &Url) -> Option<(Url, u64)> {
        let answer = self.endpoint.get(what, &self.access, url, |http, url| http.get(url)).await.ok()?;
        let answer = answer.expect(what, &[StatusCode::NO_CONTENT, StatusCode::ACCEPTED]).await.ok()?;
        let last: u64 = answer.header("Range")?.trim().trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
        let next = if answer.headers().contains_key(LOCATION) { location(what, &answer).ok()? } else { url.clone() };
        answer.finish().await;
        // `0-0` is one byte or none: registries differ.
        Some((next, if last == 0 { 0 } else { last.saturating_add(1) }))
    }

    async fn commit(&self, what: &str, mut url: Url, digest: &Digest) -> Result<(), Error> {
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let all = Progress::begin(format!("{what}: commit"), 0);
        let build = |http: &reqwest::Client, url| Ok(http.put(url).header(CONTENT_LENGTH, 0));
        let ask = Ask { what, access: &self.access, progress: Some(&all), method: Method::Fixed, build };
        let answer = self.endpoint.send(&url, &ask).await?;
        let answer = answer.expect(what, &[StatusCode::CREATED, StatusCode::NO_CONTENT]).await?;
        let said = answer.header("Docker-Content-Digest").and_then(|text| text.parse::<Digest>().ok());
        answer.finish().await;
        match said {
            Some(other) if other != *digest => {
                Err(Error::protocol(what, format!("the registry stored {other} instead")))
            }
            _ => Ok(()),
        }
    }
}

/// Where the registry wants the next request. Never plain HTTP where this one was encrypted.
fn location(what: &str, answer: &Answer) -> Result<Url, Error> {
    let url = answer.header(LOCATION.as_str()).and_then(|text| answer.url().join(text).ok());
    let url = url.ok_or_else(|| Error::protocol(what, "the registry does not say where to upload"))?;
    redirect::safe(what, answer.url(), url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_as_the_registry_wants_them() {
        let chunk = |least, largest| Session { url: Url::parse("http://r/").expect("url"), least }.chunk(largest);
        assert_eq!(chunk(None, u64::MAX), u64::MAX);
        assert_eq!(chunk(None, 1 << 20), 1 << 20);
        assert_eq!(chunk(Some(5 << 20), u64::MAX), ORDINARY_CHUNK);
        assert_eq!(chunk(Some(64 << 20), u64::MAX), 64 << 20);
        assert_eq!(chunk(Some(5 << 20), 1 << 20), 5 << 20);
        assert_eq!(chunk(Some(0), 0), 1);
    }
}
