//! Base images: fetched once each, from a registry or an OCI layout, and unpacked with every digest checked.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tracing::{debug, info, warn};

use super::{NamedContext, Request, Timings};
use crate::codec;
use crate::oci::{DiffId, Hasher, Image, Reference};
use crate::plan::Base;
use crate::rootfs::{Root, Skipped, Tree, Unpacker, scan};
use crate::store::{self, BlobDir};

/// The images that this build has fetched, by the name that the Dockerfile gives them.
pub(super) struct Bases<'a> {
    request: &'a Request,
    blobs: &'a BlobDir,
    timings: &'a Timings,
    fetched: BTreeMap<String, Image>,
}

impl<'a> Bases<'a> {
    pub(super) fn new(request: &'a Request, blobs: &'a BlobDir, timings: &'a Timings) -> Self {
        Bases { request, blobs, timings, fetched: BTreeMap::new() }
    }

    /// The image that `base` names. Its layers may still be in its registry.
    pub(super) fn fetch(&mut self, base: &Base) -> Result<Image> {
        match base {
            Base::Scratch => Ok(Image::scratch(&self.request.platform)),
            Base::Image(name) => self.once(name, Self::pull),
            Base::Context(name) => self.once(name, Self::load),
            Base::Stage(index) => bail!("stage {index} is not an image"),
        }
    }

    fn once(&mut self, name: &str, fetch: impl FnOnce(&Self, &str) -> Result<Image>) -> Result<Image> {
        if let Some(image) = self.fetched.get(name) {
            return Ok(image.clone());
        }
        let started = Instant::now();
        let image = fetch(self, name)?;
        self.timings.add_since(started, |totals| &mut totals.pull_ns);
        self.fetched.insert(name.to_owned(), image.clone());
        Ok(image)
    }

    fn pull(&self, name: &str) -> Result<Image> {
        let reference: Reference = name.parse()?;
        info!("Retrieving image {reference}");
        Ok(self.request.registry.resolve(&reference, &self.request.platform)?.image)
    }

    fn load(&self, name: &str) -> Result<Image> {
        match self.request.contexts.get(name) {
            None => bail!("there is no named context {name:?}"),
            Some(NamedContext::Directory(dir)) => {
                bail!("the named context {name:?} is the directory {}, and no image", dir.display())
            }
            Some(NamedContext::Image(reference)) => self.pull(reference),
            Some(NamedContext::OciLayout(location)) => {
                info!("Reading image {name} from {}", location.path.display());
                Ok(store::read_layout(location, &self.request.platform, self.blobs)?)
            }
        }
    }

    /// Unpacks `image` over what stands in `root`, and returns the record of both.
    pub(super) fn unpack(&self, image: &Image, root: &Root) -> Result<Tree> {
        let started = Instant::now();
        self.request.registry.fetch(image, self.blobs)?;
        self.timings.add_since(started, |totals| &mut totals.pull_ns);
        let started = Instant::now();
        let mut unpacker = Unpacker::over(root, scan(root)?);
        for layer in image.layers() {
            let digest = &layer.descriptor.digest;
            let blob = BufReader::with_capacity(1 << 17, self.blobs.open(digest)?);
            let mut tar = Verified::new(codec::decode(blob)?, &layer.diff_id);
            unpacker.layer(&mut tar).with_context(|| format!("layer {digest}"))?;
            tar.finish().with_context(|| format!("layer {digest}"))?;
        }
        unpacker.skipped().iter().for_each(report);
        let tree = unpacker.finish()?;
        self.timings.add_since(started, |totals| &mut totals.unpack_ns);
        Ok(tree)
    }
}

/// Says what a base image has and the root has not. Every container has mounts over /proc, /etc/hosts and the like.
fn report(skipped: &Skipped) {
    match skipped {
        Skipped::Protected(path) => debug!("{path} of the base image is left out: it belongs to this machine"),
        Skipped::Device(path) => warn!("{path} of the base image is a device, which may not be made here"),
        Skipped::Xattr { path, name } => {
            warn!("{path} loses its attribute {} here", String::from_utf8_lossy(name));
        }
    }
}

/// Passes a tar on and checks at its end that it is the one that the image's configuration names.
struct Verified<'d, R> {
    inner: R,
    hasher: Hasher,
    expected: &'d DiffId,
}

impl<'d, R: Read> Verified<'d, R> {
    fn new(inner: R, expected: &'d DiffId) -> Self {
        Verified { inner, hasher: Hasher::new(expected.0.algorithm()), expected }
    }

    /// Reads what follows the end of the archive, then compares.
    fn finish(mut self) -> Result<()> {
        io::copy(&mut self, &mut io::sink())?;
        let found = self.hasher.finish();
        if found != self.expected.0 {
            bail!("its content is {found}, but the image says {}", self.expected.0);
        }
        Ok(())
    }
}

impl<R: Read> Read for Verified<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    #[test]
    fn a_tar_that_is_not_the_named_one_is_refused_at_its_end() {
        let content = b"some tar".as_slice();
        let right = DiffId(Digest::of(content));
        assert!(Verified::new(content, &right).finish().is_ok());
        let wrong = DiffId(Digest::of(b"another"));
        let error = Verified::new(content, &wrong).finish().expect_err("differs").to_string();
        assert!(error.contains(right.0.as_str()) && error.contains(wrong.0.as_str()), "{error}");
    }
}
