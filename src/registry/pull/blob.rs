//! A blob of any size, into a store. A connection that breaks is not the end: the next one goes on at the byte where it broke, with
//! the digest of what is here already.

use std::io::{ErrorKind, Write};

use reqwest::StatusCode;

use super::source::Source;
use crate::oci::Descriptor;
use crate::registry::Error;
use crate::registry::answer::Answer;
use crate::registry::progress::Progress;
use crate::registry::retry::pause;
use crate::store::{self, BlobDir, BlobWriter};

/// An attempt that comes this much further than any before it does not count as a failure, in bytes. So a transfer that goes
/// on has no limit, and a registry that gives a byte at a time, or goes back and forth, has one.
const WORTHWHILE: u64 = 8 << 20;

/// How an attempt ended.
enum Ended {
    /// All bytes are here; their digest is not checked yet.
    Complete(BlobWriter),
    /// The connection broke; what came is kept.
    Broken(BlobWriter, Error),
}

impl Source<'_> {
    /// Downloads a blob into `blobs`, where it appears only if it is what `descriptor` says.
    pub(super) async fn blob(&self, descriptor: &Descriptor, blobs: &BlobDir) -> Result<(), Error> {
        let what = self.repository.to_string();
        let progress = self.progress(descriptor);
        let new = || blobs.writer_for(descriptor).map_err(Error::blob(&what));
        let (mut writer, mut failures, mut furthest) = (new()?, 0, 0_u64);
        let (mut is_pieced, mut was_spoilt) = (false, false);
        loop {
            let offset = writer.size();
            is_pieced |= offset > 0;
            match self.attempt(&what, descriptor, blobs, writer, &progress).await? {
                Ended::Complete(complete) => match complete.finish(Some(&descriptor.digest)) {
                    // The pieces may be of two versions of a blob that the registry spoilt.
                    Err(error @ store::Error::Digest { .. }) if is_pieced && !was_spoilt => {
                        tracing::warn!("{what}: {error}; beginning again");
                        (writer, furthest, is_pieced, was_spoilt) = (new()?, 0, false, true);
                    }
                    finished => {
                        finished.map_err(Error::blob(&what))?;
                        progress.finish();
                        return Ok(());
                    }
                },
                Ended::Broken(partial, error) => {
                    let is_further = partial.size() >= furthest.saturating_add(WORTHWHILE);
                    failures = if is_further { 1 } else { failures + 1 };
                    furthest = furthest.max(partial.size());
                    if failures > self.backoff.retries || !error.is_transient() {
                        return Err(error);
                    }
                    writer = partial;
                    pause(&self.backoff, failures, &error).await;
                }
            }
        }
    }

    /// Asks for what is missing and writes what comes.
    async fn attempt(
        &self,
        what: &str,
        descriptor: &Descriptor,
        blobs: &BlobDir,
        mut writer: BlobWriter,
        progress: &Progress,
    ) -> Result<Ended, Error> {
        if writer.size() == descriptor.size && descriptor.size > 0 {
            return Ok(Ended::Complete(writer));
        }
        let mut answer = match self.open_at(what, descriptor, writer.size()).await {
            Ok((answer, 0)) => {
                if writer.size() > 0 {
                    writer = blobs.writer_for(descriptor).map_err(Error::blob(what))?;
                }
                answer
            }
            Ok((answer, _)) => answer,
            Err(error) => return Ok(Ended::Broken(writer, error)),
        };
        progress.set(writer.size());
        loop {
            let chunk = match answer.chunk(what).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(Ended::Complete(writer)),
                Err(error) => return Ok(Ended::Broken(writer, error)),
            };
            progress.advance(chunk.len() as u64);
            match writer.write_all(&chunk) {
                // The writer says so itself when it is asked to finish.
                Err(error) if error.kind() == ErrorKind::FileTooLarge => return Ok(Ended::Complete(writer)),
                written => written.map_err(|error| Error::blob(what)(blobs.failed("write", descriptor, error)))?,
            }
        }
    }

    /// The blob from `offset` on where the registry can do that, otherwise from its start; and which of the two.
    async fn open_at(&self, what: &str, descriptor: &Descriptor, offset: u64) -> Result<(Answer, u64), Error> {
        let answer = self.open(what, descriptor, offset).await?;
        let blob = format!("{what}: blob {}", descriptor.digest);
        match answer.status() {
            StatusCode::PARTIAL_CONTENT if offset > 0 && begins_at(&answer) == Some(offset) => Ok((answer, offset)),
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if offset > 0 => {
                answer.finish().await;
                let answer = self.open(what, descriptor, 0).await?;
                Ok((answer.expect(&blob, &[StatusCode::OK]).await?, 0))
            }
            _ => Ok((answer.expect(&blob, &[StatusCode::OK]).await?, 0)),
        }
    }
}

/// The first byte that a partial answer brings: `Content-Range: bytes FIRST-LAST/SIZE`.
fn begins_at(answer: &Answer) -> Option<u64> {
    let range = answer.header("Content-Range")?.trim().strip_prefix("bytes")?.trim_start();
    range.split('-').next()?.trim().parse().ok()
}
