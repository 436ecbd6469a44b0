//! What a compressed layer holds, read to the end and kept nowhere.

use std::io::{self, BufRead as _, BufReader};

use super::archive_read::hash;
use super::{BlobDir, Error};
use crate::codec::{self, Bounded, Encoding};
use crate::oci::{Compression, Digest, ImageLayer, MediaType};

/// Checks that a layer, whose blob is among `blobs`, is compressed as its media type says and holds what its diff ID names, in no more
/// than `most` bytes.
///
/// # Errors
/// It does not, or cannot be read.
pub fn check_contents(layer: &ImageLayer, blobs: &BlobDir, most: u64) -> Result<(), Error> {
    let blob = &layer.descriptor;
    let failed = |error| blobs.failed("decompress", blob, error);
    let mut source = BufReader::with_capacity(1 << 17, blobs.open(&blob.digest)?);
    let encoding = codec::sniff(source.fill_buf().map_err(failed)?);
    if !is_named(encoding, &blob.media_type) {
        return Err(Error::Invalid(format!("layer {} is not compressed as {} says", blob.digest, blob.media_type)));
    }
    let plain = Bounded::new(codec::decode(source).map_err(failed)?, most, "it holds too much");
    let expected: &Digest = &layer.diff_id.0;
    let actual = hash(expected.algorithm(), plain, &mut io::sink()).map_err(failed)?;
    if actual == *expected {
        Ok(())
    } else {
        Err(Error::Contents { blob: blob.digest.clone(), expected: expected.clone(), actual })
    }
}

fn is_named(encoding: Encoding, media_type: &MediaType) -> bool {
    let MediaType::Layer(_, compression) = media_type else { return true };
    match compression {
        Compression::None => encoding == Encoding::Plain,
        Compression::Gzip => encoding == Encoding::Gzip,
        Compression::Zstd => encoding == Encoding::Zstd,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::codec::{Encoder, Packing};
    use crate::oci::{Descriptor, DiffId, Format};

    #[test]
    fn a_layer_holds_what_it_says() {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = BlobDir::create(dir.path()).expect("blobs");
        let mut gzip = Encoder::new(Vec::new(), Packing::default(), 1).expect("an encoder");
        gzip.write_all(b"some tar").expect("written");
        let bytes = gzip.finish().expect("finished");
        blobs.insert(&bytes).expect("stored");
        let layer = |compression, plain: &[u8]| ImageLayer {
            descriptor: Descriptor::of(MediaType::Layer(Format::Oci, compression), &bytes),
            diff_id: DiffId(Digest::of(plain)),
            origin: None,
        };
        let check = |layer, most| check_contents(&layer, &blobs, most).map_err(|error| error.to_string());
        assert_eq!(check(layer(Compression::Gzip, b"some tar"), 8), Ok(()));
        let refused = |layer, most, expected: &str| {
            let error = check(layer, most).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        };
        refused(layer(Compression::Gzip, b"another"), 8, "holds");
        refused(layer(Compression::Gzip, b"some tar"), 7, "too much");
        refused(layer(Compression::Zstd, b"some tar"), 8, "not compressed as");
    }
}
