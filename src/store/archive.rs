//! Docker archives, as `docker load`, `podman load` and skopeo's `docker-archive:` read them: a tar with the configuration
//! (`sha256:<hex>`), each layer once as it is (`<hex>.tar.gz`), and a `manifest.json` that names them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use serde_json::json;
use tar_core::EntryType;
use tar_core::builder::EntryBuilder;

use super::{BlobDir, Error};
use crate::oci::{Compression, Descriptor, Image, ImageLayer, MediaType};

const BLOCK: u64 = 512;

/// Writes `image` to `path` under the names `tags` (`name:tag`, as people write them). The file is written in place.
pub fn write(path: &Path, image: &Image, blobs: &BlobDir, tags: &[String]) -> Result<(), Error> {
    let failed = |error: io::Error| Error::io("write", path)(error);
    let encoded = image.encode().map_err(|error| Error::Invalid(error.to_string()))?;
    let file = File::create(path).map_err(Error::io("create", path))?;
    let mut tar = BufWriter::with_capacity(1 << 17, file);
    let config = encoded.config_descriptor.digest.to_string();
    entry(&mut tar, &config, encoded.config.len() as u64, &encoded.config[..]).map_err(failed)?;
    let mut written = BTreeSet::new();
    for layer in image.layers() {
        if written.insert(&layer.descriptor.digest) {
            let blob = blobs.open(&layer.descriptor.digest)?;
            check_size(&layer.descriptor, &blob, &blobs.path(&layer.descriptor.digest))?;
            entry(&mut tar, &name(layer), layer.descriptor.size, blob).map_err(failed)?;
        }
    }
    let layers: Vec<String> = image.layers().iter().map(name).collect();
    let manifest = json!([{"Config": config, "RepoTags": tags, "Layers": layers}]).to_string();
    entry(&mut tar, "manifest.json", manifest.len() as u64, manifest.as_bytes()).map_err(failed)?;
    tar.write_all(&[0; 2 * BLOCK as usize]).and_then(|()| tar.flush()).map_err(failed)
}

fn name(layer: &ImageLayer) -> String {
    let suffix = match layer.descriptor.media_type {
        MediaType::Layer(_, Compression::None) => "tar",
        MediaType::Layer(_, Compression::Zstd) => "tar.zst",
        _ => "tar.gz",
    };
    format!("{}.{suffix}", layer.descriptor.digest.hex())
}

fn check_size(descriptor: &Descriptor, blob: &File, path: &Path) -> Result<(), Error> {
    let actual = blob.metadata().map_err(Error::io("stat", path))?.len();
    if actual == descriptor.size {
        return Ok(());
    }
    Err(Error::Size { blob: descriptor.digest.to_string(), expected: descriptor.size, actual })
}

fn entry(tar: &mut impl Write, name: &str, size: u64, content: impl Read) -> io::Result<()> {
    tar.write_all(&header(name, size)?)?;
    let copied = io::copy(&mut content.take(size), tar)?;
    if copied != size {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} became shorter while it was read")));
    }
    let padding = (BLOCK - size % BLOCK) % BLOCK;
    tar.write_all(&[0; BLOCK as usize][..padding as usize])
}

fn header(name: &str, size: u64) -> io::Result<Vec<u8>> {
    let mut entry = EntryBuilder::new_ustar();
    entry.path(name).entry_type(EntryType::Regular);
    entry.mode(0o644).and_then(|entry| entry.size(size)).map_err(io::Error::other)?;
    Ok(entry.finish_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{DiffId, Digest, Format, History, Platform};

    #[test]
    fn a_layer_that_stands_twice_is_written_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = BlobDir::create(dir.path()).expect("a store");
        let digest = blobs.insert(&[7; 1000]).expect("stored");
        let mut image = Image::scratch(&Platform::host());
        for _ in 0..2 {
            let layer = Descriptor::new(MediaType::Layer(Format::Oci, Compression::Gzip), digest.clone(), 1000);
            image.append(layer, DiffId(Digest::of(b"x")), History::default()).expect("a layer");
        }
        let path = dir.path().join("image.tar");
        write(&path, &image, &blobs, &["a/b:c".to_owned()]).expect("written");
        let listing = std::process::Command::new("tar").arg("-tf").arg(&path).output().expect("tar");
        let names = String::from_utf8(listing.stdout).expect("names");
        let config = image.encode().expect("encodes").config_descriptor.digest;
        assert_eq!(names, format!("{config}\n{}.tar.gz\nmanifest.json\n", digest.hex()));
        std::fs::write(blobs.path(&digest), [7; 999]).expect("spoilt");
        assert!(matches!(write(&path, &image, &blobs, &[]), Err(Error::Size { .. })));
    }

    #[test]
    fn sizes_above_eight_gibibytes_have_a_header() {
        assert_eq!(header("small", 5).expect("a header").len(), 512);
        assert!(header("large", 1 << 34).expect("a header").len() >= 512);
    }
}
