//! A writer that knows what went through it: how many bytes, and their SHA-256.

use std::io::{Result, Write};

use crate::oci::{Algorithm, Digest, Hasher};

pub(super) struct Measured<W> {
    inner: W,
    hash: Hasher,
    bytes: u64,
}

impl<W: Write> Measured<W> {
    pub(super) fn new(inner: W) -> Self {
        Measured { inner, hash: Hasher::new(Algorithm::Sha256), bytes: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The inner writer, the digest and the number of bytes.
    pub(super) fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hash.finish(), self.bytes)
    }
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}
