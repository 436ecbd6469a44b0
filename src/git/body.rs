//! The body of an HTTP answer as it arrives, for those who read: a task of the runtime hands over its pieces, a few at a time.

use std::io::{self, BufRead, Read};

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender};

use super::transport::STALL;

/// How many pieces may wait for their reader.
pub(super) const PIECES: usize = 16;

/// Bytes from a server, no more than `left`.
pub(super) struct Body {
    pieces: Receiver<io::Result<Bytes>>,
    piece: Bytes,
    left: u64,
}

impl Body {
    pub(super) fn new(pieces: Receiver<io::Result<Bytes>>, most: u64) -> Self {
        Body { pieces, piece: Bytes::new(), left: most }
    }

    /// A body without bytes.
    pub(super) fn empty() -> Self {
        Body::new(tokio::sync::mpsc::channel(1).1, 0)
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            let Some(piece) = self.pieces.blocking_recv() else { break };
            self.piece = piece?;
            let left = self.left.checked_sub(self.piece.len() as u64);
            self.left = left.ok_or_else(|| io::Error::other("the server sends too much"))?;
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, count: usize) {
        let _ = self.piece.split_to(count.min(self.piece.len()));
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// Hands over the body of `answer`, until its reader is gone.
pub(super) async fn hand_over(mut answer: reqwest::Response, pieces: Sender<io::Result<Bytes>>) {
    loop {
        let piece = match tokio::time::timeout(STALL, answer.chunk()).await {
            Ok(Ok(Some(piece))) => Ok(piece),
            Ok(Ok(None)) => return,
            Ok(Err(error)) => Err(io::Error::other(error.without_url())),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the server went silent")),
        };
        let is_last = piece.is_err();
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}
