//! The bytes of a blob that is pushed: of a file or in memory, from any byte on, read as they are sent.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;

use crate::oci::Descriptor;
use crate::registry::Error;
use crate::registry::progress::Progress;

/// How much of a file is read at once, in bytes.
const CHUNK: u64 = 1 << 17;

/// Where a blob's bytes are.
#[derive(Clone)]
pub(super) enum Content {
    Memory(Bytes),
    File(PathBuf),
}

impl Content {
    /// The bytes from `start` up to `end`, as a body that `progress` hears of.
    pub(super) fn body(
        &self,
        what: &str,
        blob: &Descriptor,
        (start, end): (u64, u64),
        progress: &Arc<Progress>,
    ) -> Result<Body, Error> {
        progress.set(start);
        match self {
            Content::Memory(bytes) => {
                progress.set(end);
                let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
                let part = range.filter(|(start, end)| start <= end && *end <= bytes.len());
                let (start, end) =
                    part.ok_or_else(|| Error::protocol(what, "the blob is not as long as it should be"))?;
                Ok(Body::from(bytes.slice(start..end)))
            }
            Content::File(path) => {
                let broken = |why: String| Error::protocol(what, format!("{}: {why}", path.display()));
                let mut file = File::open(path).map_err(|error| broken(error.to_string()))?;
                let size = file.metadata().map_err(|error| broken(error.to_string()))?.len();
                if size != blob.size {
                    return Err(broken(format!("it has {size} bytes and not {}", blob.size)));
                }
                file.seek(SeekFrom::Start(start)).map_err(|error| broken(error.to_string()))?;
                let left = end.saturating_sub(start);
                Ok(Body::wrap_stream(stream::iter(Chunks { file, left, progress: progress.clone() })))
            }
        }
    }
}

/// A file in pieces. It is read where the connection wants the next one: a blob of ours is in the page cache or on a local disk.
struct Chunks {
    file: File,
    left: u64,
    progress: Arc<Progress>,
}

impl Iterator for Chunks {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut chunk = Vec::new();
        match (&mut self.file).take(CHUNK.min(self.left)).read_to_end(&mut chunk) {
            Ok(0) => None,
            Ok(read) => {
                self.left = self.left.saturating_sub(read as u64);
                self.progress.advance(read as u64);
                Some(Ok(Bytes::from(chunk)))
            }
            Err(error) => Some(Err(error)),
        }
    }
}
