//! Base images: fetched once each, from a registry or an OCI layout, and unpacked with every digest checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::channel;
use std::thread::{self, Builder};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tracing::{debug, info, warn};

use super::{NamedContext, Request, Timings};
use crate::cache::Age;
use crate::codec::{self, Packing};
use crate::log::Transfer;
use crate::oci::{DiffId, Digest, Format, Hasher, Image, ImageLayer, Platform, Reference};
use crate::plan::{Base, StageNames};
use crate::registry::{self, Outcome, Stop};
use crate::rootfs::{Node, Root, RootPath, Skipped, Tree, Unpacker, scan};
use crate::store::{self, BlobDir};

/// The images that this build has fetched, by the name that the Dockerfile gives them and the platform.
pub(super) struct Bases<'a> {
    request: &'a Request,
    blobs: &'a BlobDir,
    timings: &'a Timings,
    fetched: BTreeMap<(String, Platform), Image>,
    stages: StageNames,
}

impl<'a> Bases<'a> {
    pub(super) fn new(request: &'a Request, blobs: &'a BlobDir, timings: &'a Timings) -> Self {
        Bases { request, blobs, timings, fetched: BTreeMap::new(), stages: StageNames::default() }
    }

    /// Takes the names of the Dockerfile's stages, for what to say where there is no image of a name.
    pub(super) fn know(&mut self, stages: StageNames) {
        self.stages = stages;
    }

    /// The image that `base` names, for `platform`. Its layers may still be in its registry.
    pub(super) fn fetch(&mut self, base: &Base, platform: &Platform) -> Result<Image> {
        match base {
            Base::Scratch => Ok(Image::scratch(platform)),
            Base::Image(name) => {
                self.once(name, platform, Self::pull).map_err(|error| match self.stages.instead_of(name) {
                    Some(why) => error.context(why),
                    None => error,
                })
            }
            Base::Context(name) => self.once(name, platform, Self::load),
            Base::Stage(index) => bail!("stage {index} is not an image"),
        }
    }

    fn once(
        &mut self,
        name: &str,
        platform: &Platform,
        fetch: impl FnOnce(&Self, &str, &Platform) -> Result<Image>,
    ) -> Result<Image> {
        let key = (name.to_owned(), platform.clone());
        if let Some(image) = self.fetched.get(&key) {
            return Ok(image.clone());
        }
        let started = Instant::now();
        let mut image = fetch(self, name, platform)?;
        // Docker's format has no zstd layers, and the base's would be the image's.
        if let Packing::Zstd(_) = self.request.packing {
            image = image.in_format(Format::Oci)?;
        }
        self.timings.add_since(started, |totals| &mut totals.pull_ns);
        keep_variant(&mut image, platform);
        self.fetched.insert(key, image.clone());
        Ok(image)
    }

    fn pull(&self, name: &str, platform: &Platform) -> Result<Image> {
        let reference: Reference = name.parse()?;
        info!("Retrieving image {reference}");
        let Some(bases) = &self.request.bases else {
            return Ok(self.request.registry.resolve(&reference, platform)?.image);
        };
        let find = |digest: &Digest| bases.find(digest, platform, Age::Fresh);
        let read = |digest: &Digest| bases.image(&find(digest)?, platform, &reference.repository, self.blobs);
        if let Some(image) = reference.digest().and_then(read) {
            return Ok(image);
        }
        let known = |digest: &Digest| find(digest).is_some();
        let image = match self.request.registry.resolve_unless(&reference, platform, &known)? {
            Outcome::Resolved(resolved) => Some(resolved.image),
            Outcome::Known(digest) => read(&digest),
        };
        // What was found could not be used.
        image.map_or_else(|| Ok(self.request.registry.resolve(&reference, platform)?.image), Ok)
    }

    fn load(&self, name: &str, platform: &Platform) -> Result<Image> {
        match self.request.contexts.get(name) {
            None => bail!("there is no named context {name:?}"),
            Some(NamedContext::Directory(dir)) => {
                bail!("the named context {name:?} is the directory {}, and no image", dir.display())
            }
            Some(NamedContext::Image(reference)) => self.pull(reference, platform),
            Some(NamedContext::OciLayout(location)) => {
                info!("Reading image {name} from {}", location.path.display());
                Ok(store::read_layout(location, platform, self.blobs)?)
            }
        }
    }

    /// Unpacks `image` over what stands in `root`, and returns the record of both.
    ///
    /// # Errors
    /// Besides those of fetching and writing: the image has something where `spared` paths stand, which must stay as they are.
    pub(super) fn unpack(&self, image: &Image, root: &mut Root, spared: &[RootPath]) -> Result<Tree> {
        let found = scan(root)?;
        let spared: Vec<RootPath> = spared.iter().filter(|path| !root.is_protected(path)).cloned().collect();
        let before = spared.iter().flat_map(|path| found.at_or_below(path));
        let before: Vec<(RootPath, Node)> = before.map(|(path, node)| (path.clone(), node.clone())).collect();
        let usual = root.protected().to_vec();
        spared.iter().cloned().for_each(|path| root.protect(path));
        let mut tree = self.layers(image.layers(), root, found, &spared)?;
        root.set_protected(usual);
        // A whiteout above them took them out of the record, not from the disk.
        before.into_iter().for_each(|(path, node)| drop(tree.insert(path, node)));
        Ok(tree)
    }

    /// Unpacks the layers of `image` from the one numbered `from` on over those before, of which `tree` is the record.
    pub(super) fn unpack_rest(&self, image: &Image, from: usize, root: &Root, tree: Tree) -> Result<Tree> {
        self.layers(&image.layers()[from..], root, tree, &[])
    }

    /// After fetching went wrong: a layer that is there and wrong, or is not there, is the context of the error. If none is, all are
    /// here now.
    fn blamed(&self, fetched: std::result::Result<(), registry::Error>, layers: &[ImageLayer]) -> Result<()> {
        use registry::Error::{Blob, NotFound, Nowhere};
        match fetched {
            Err(Blob { .. } | NotFound { .. } | Nowhere { .. }) => layers.iter().try_for_each(|layer| {
                let fetched = self.request.registry.fetch_layer(layer, self.blobs);
                fetched.with_context(|| FailedLayer(layer.descriptor.digest.clone()))
            }),
            fetched => Ok(fetched?),
        }
    }

    fn layers(&self, layers: &[ImageLayer], root: &Root, found: Tree, spared: &[RootPath]) -> Result<Tree> {
        let mut unpacker = Unpacker::over(root, found);
        self.each(layers, |layer| {
            let digest = &layer.descriptor.digest;
            let shown = Transfer::begin(&format!("unpack {digest}"), layer.descriptor.size);
            let blob = BufReader::with_capacity(1 << 17, shown.reading(self.blobs.open(digest)?));
            let mut tar = Verified::new(codec::decode(blob)?, &layer.diff_id);
            let unpacked =
                codec::ahead(&mut tar, |tar| unpacker.layer(tar))?.map_err(Into::into).and_then(|()| tar.finish());
            unpacked.with_context(|| FailedLayer(digest.clone()))
        })?;
        refuse_conflicts(unpacker.skipped(), spared)?;
        unpacker.skipped().iter().for_each(report);
        let started = Instant::now();
        let tree = unpacker.finish()?;
        self.timings.add_since(started, |totals| &mut totals.unpack_ns);
        Ok(tree)
    }

    /// Calls `unpack` with one layer after another, each once it is here; those after it arrive meanwhile.
    fn each(&self, layers: &[ImageLayer], mut unpack: impl FnMut(&ImageLayer) -> Result<()>) -> Result<()> {
        let (stop, (told, arrived)) = (Stop::default(), channel());
        let (registry, blobs, timings) = (&self.request.registry, self.blobs, self.timings);
        thread::scope(|scope| {
            let stop = &stop;
            let fetch = move || registry.fetch_until(layers, blobs, &|digest| drop(told.send(digest.clone())), stop);
            let fetching = Builder::new().spawn_scoped(scope, fetch)?;
            let (mut here, mut done) = (BTreeSet::new(), 0);
            let mut next = |layer: &ImageLayer| {
                let started = Instant::now();
                while !here.contains(&layer.descriptor.digest) {
                    // There is no more where fetching failed, which is told below.
                    let Ok(digest) = arrived.recv() else { return ControlFlow::Break(Ok(())) };
                    here.insert(digest);
                }
                timings.add_since(started, |totals| &mut totals.pull_ns);
                let started = Instant::now();
                let unpacked = unpack(layer);
                timings.add_since(started, |totals| &mut totals.unpack_ns);
                done += usize::from(unpacked.is_ok());
                unpacked.map_or_else(|error| ControlFlow::Break(Err(error)), ControlFlow::Continue)
            };
            let ended = layers.iter().try_for_each(&mut next);
            stop.stop();
            let fetched = fetching.join().unwrap_or_else(|panic| resume_unwind(panic));
            ended.break_value().unwrap_or(Ok(()))?;
            self.blamed(fetched, layers)?;
            // What a second attempt brought is here by now.
            layers[done..].iter().try_for_each(unpack)
        })
    }
}

/// The configuration of an image seldom names the variant that the index has it under.
fn keep_variant(image: &mut Image, platform: &Platform) {
    let Platform { architecture, os, variant } = image.config.platform();
    if variant.is_none() && (&os, &architecture) == (&platform.os, &platform.architecture) {
        image.config.set_platform(platform);
    }
}

/// Refuses an image with files where the build context stands, or with something else where a directory leads to it:
/// whichever of the two gave way, the build would be another. A directory in the context's own place is none.
fn refuse_conflicts(skipped: &[Skipped], spared: &[RootPath]) -> Result<()> {
    let around =
        |path: &RootPath| spared.iter().find(|at| *at != path && (path.is_at_or_below(at) || at.is_at_or_below(path)));
    for skipped in skipped {
        let conflict = match skipped {
            Skipped::Protected(path) => around(path).map(|context| (path, context)),
            Skipped::Replacement(path) => spared.iter().find(|at| *at == path).map(|context| (path, context)),
            _ => None,
        };
        if let Some((path, context)) = conflict {
            bail!(
                "the base image has {path}, and the build context lies in {context}: mount it there as a volume, or copy it \
                 to another directory"
            );
        }
    }
    Ok(())
}

/// Says what a base image has and the root has not. Every container has mounts over /proc, /etc/hosts and the like.
fn report(skipped: &Skipped) {
    match skipped {
        Skipped::Protected(path) | Skipped::Replacement(path) => {
            debug!("{path} of the base image is left out: it belongs to this machine")
        }
        Skipped::Device(path) => warn!("{path} of the base image is a device, which may not be made here"),
        Skipped::Xattr { path, name } => {
            warn!("{path} loses its attribute {} here", String::from_utf8_lossy(name));
        }
    }
}

/// The layer that cannot be unpacked, as the context of an error.
#[derive(Debug)]
pub(super) struct FailedLayer(pub(super) Digest);

impl fmt::Display for FailedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {}", self.0)
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

    #[test]
    fn what_takes_the_place_of_the_context_or_lies_around_it_is_refused() {
        let path = |name: &str| RootPath::clean(name).expect("a path");
        let is_refused = |skipped: Skipped| refuse_conflicts(&[skipped], &[path("srv/context")]).is_err();
        assert!(is_refused(Skipped::Replacement(path("srv/context"))));
        assert!(is_refused(Skipped::Protected(path("srv"))) && is_refused(Skipped::Protected(path("srv/context/a"))));
        assert!(!is_refused(Skipped::Protected(path("srv/context"))), "a directory in its place is none");
        assert!(!is_refused(Skipped::Replacement(path("etc/hosts"))));
    }

    #[test]
    fn a_tar_that_is_not_the_named_one_is_refused_at_its_end() {
        let content = b"some tar".as_slice();
        let right = DiffId(Digest::of(content));
        assert!(Verified::new(content, &right).finish().is_ok());
        let wrong = DiffId(Digest::of(b"another"));
        let error = Verified::new(content, &wrong).finish().expect_err("differs").to_string();
        assert!(error.contains(right.0.as_str()) && error.contains(wrong.0.as_str()), "{error}");
    }

    #[test]
    fn files_where_the_context_stands_are_refused() {
        let path = |text: &str| RootPath::clean(text).expect("a path");
        let check = |skipped: &str, refused: bool| {
            let outcome = refuse_conflicts(&[Skipped::Protected(path(skipped))], &[path("data/context")]);
            assert_eq!(outcome.is_err(), refused, "{skipped}: {outcome:?}");
            let text = outcome.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!refused || (text.contains(&format!("/{skipped}, ")) && text.contains("/data/context:")), "{text}");
        };
        check("data/context/file", true);
        check("data/context/a/b", true);
        check("data", true);
        check("data/context", false);
        check("data/context-2/file", false);
        check("proc", false);
        assert!(refuse_conflicts(&[Skipped::Protected(path("proc/x"))], &[]).is_ok());
    }
}
