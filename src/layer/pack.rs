//! The compressing end: the bytes of a tar go in; out come the bytes of a blob, and what it is.

use std::io::{self, Write};

use anyhow::{Context, Result};

use super::measured::Measured;
use crate::codec::{self, Encoder, Packing};
use crate::oci::{Compression, Descriptor, Format, MediaType};

/// Compresses one tar. One that met an error must be dropped: what it wrote is no layer.
pub struct Packer<W: Write> {
    encoder: Encoder<Measured<W>>,
    packing: Packing,
}

impl<W: Write> Packer<W> {
    /// Begins a blob in `sink`.
    ///
    /// # Errors
    /// The compressor cannot be set up.
    pub fn create(sink: W, packing: Packing) -> Result<Self> {
        let encoder = Encoder::new(Measured::new(sink), packing, codec::threads()).context("begin a layer")?;
        Ok(Packer { encoder, packing })
    }

    /// Ends the compression and flushes the sink. The blob's type is of the OCI format.
    pub fn finish(self) -> Result<Descriptor> {
        let (mut sink, digest, size) = self.encoder.finish().context("write the end of the layer")?.finish();
        sink.flush().context("flush the layer")?;
        let compression = match self.packing {
            Packing::Gzip(_) => Compression::Gzip,
            Packing::Zstd(_) => Compression::Zstd,
        };
        Ok(Descriptor::new(MediaType::Layer(Format::Oci, compression), digest, size))
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.encoder.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}
