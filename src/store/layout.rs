//! OCI image layouts (OCI image-spec, image-layout.md): reading one image out of a layout, writing one image as a layout.
//!
//! A layout that is read may be hostile; see `layout_dir`. One that is written is complete when its `index.json` is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, json};

use super::layout_dir::LayoutDir;
use super::{BlobDir, Error};
use crate::oci::{Descriptor, Digest, Document, Format, Image, Index, Manifest, MediaType, NoPlatform, Platform};

/// The annotation of an index's entry that holds its tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// How deep an index may stand in an index.
const MAX_DEPTH: usize = 4;

/// A layout and which of its images is meant: `PATH[:TAG][@DIGEST]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LayoutSource {
    /// The directory.
    pub path: PathBuf,
    /// The value of the `org.opencontainers.image.ref.name` annotation.
    pub tag: Option<String>,
    /// The digest of a manifest or an index.
    pub digest: Option<Digest>,
}

impl LayoutSource {
    /// Parses what follows `oci-layout://`. A colon before the last slash belongs to the path.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (rest, digest) = match text.rsplit_once('@') {
            Some((rest, digest)) if !digest.contains('/') => {
                let parsed = digest.parse().map_err(|error| Error::Invalid(format!("oci-layout://{text}: {error}")))?;
                (rest, Some(parsed))
            }
            _ => (text, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if path.is_empty() || tag.as_deref() == Some("") {
            return Err(Error::Invalid(format!("oci-layout://{text}: expected oci-layout://PATH[:TAG][@DIGEST]")));
        }
        Ok(LayoutSource { path: PathBuf::from(path), tag, digest })
    }
}

/// Reads the image of `source` that runs on `platform`, and copies its layers into `blobs`. Every byte is checked.
///
/// It is read as a base: annotations of its manifest are left behind.
pub fn read(source: &LayoutSource, platform: &Platform, blobs: &BlobDir) -> Result<Image, Error> {
    let mut image = read_one(source, platform, blobs, &mut Vec::new())?;
    image.annotations.clear();
    Ok(image)
}

/// The same with the annotations of its manifest, to be passed on as it is. A layout of several platforms has a warning that says which
/// is left out.
pub fn read_as_is(source: &LayoutSource, platform: &Platform, blobs: &BlobDir) -> Result<Image, Error> {
    let mut left = Vec::new();
    let image = read_one(source, platform, blobs, &mut left)?;
    if !left.is_empty() {
        let (taken, left) = (image.config.platform(), left.join(", "));
        tracing::warn!("OCI layout {}: the image for {taken} is taken, and not: {left}", source.path.display());
    }
    Ok(image)
}

/// `left` gets the platforms of the images beside it.
fn read_one(
    source: &LayoutSource,
    platform: &Platform,
    blobs: &BlobDir,
    left: &mut Vec<String>,
) -> Result<Image, Error> {
    let layout = LayoutDir::open(&source.path)?;
    let at = |error: &dyn std::fmt::Display| Error::Invalid(format!("OCI layout {}: {error}", source.path.display()));
    let version: serde_json::Value =
        serde_json::from_slice(&layout.read_document("oci-layout")?).map_err(|e| at(&e))?;
    if version.get("imageLayoutVersion").and_then(|v| v.as_str()) != Some("1.0.0") {
        return Err(at(&"its oci-layout file does not say version 1.0.0"));
    }
    let index: Index = serde_json::from_slice(&layout.read_document("index.json")?).map_err(|e| at(&e))?;
    let manifest = resolve(&layout, select(&layout, index, source, platform, left)?, platform, left, MAX_DEPTH)?;
    Image::check_config_type(&manifest.config.media_type).map_err(|e| at(&e))?;
    let config = layout.read_blob(&manifest.config)?;
    let annotations = manifest.annotations.clone();
    let mut image = Image::from_parts(manifest, &config, platform, None).map_err(|e| at(&e))?;
    image.annotations = annotations;
    for layer in image.layers() {
        let file = layout.open_blob(&layer.descriptor.digest)?;
        blobs.copy_in(&layer.descriptor, file, layout.path())?;
    }
    Ok(image)
}

/// The entry of `index.json` that is meant.
fn select(
    layout: &LayoutDir,
    mut index: Index,
    source: &LayoutSource,
    platform: &Platform,
    left: &mut Vec<String>,
) -> Result<Descriptor, Error> {
    if let Some(digest) = &source.digest {
        let listed = index.manifests.iter().find(|entry| entry.digest == *digest);
        return listed.map_or_else(|| unlisted(layout, digest), |entry| Ok(entry.clone()));
    }
    let names: BTreeSet<String> = index.manifests.iter().filter_map(tag).map(str::to_owned).collect();
    let several = index.manifests.len() > 1;
    let wanted = source.tag.as_deref().or((several && names.contains("latest")).then_some("latest"));
    index.manifests.retain(|entry| wanted.is_none() || tag(entry) == wanted);
    let fault = |what: String| {
        let known =
            if names.is_empty() { "none".to_owned() } else { names.iter().cloned().collect::<Vec<_>>().join(", ") };
        Error::Invalid(format!("OCI layout {}: {what} (tags: {known})", source.path.display()))
    };
    match &index.manifests[..] {
        [only] => Ok(only.clone()),
        [] => Err(fault(format!("it has no image tagged {:?}", wanted.unwrap_or("latest")))),
        entries if entries.iter().all(|entry| entry.platform.is_some()) => {
            of_platform(&index, platform, left).map_err(|error| fault(error.to_string()))
        }
        _ => Err(fault("it holds several images; name one as PATH:TAG or PATH@DIGEST".to_owned())),
    }
}

fn tag(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).map(String::as_str)
}

/// A descriptor of a blob that `index.json` does not list. Only its digest is known, so only that can be checked.
fn unlisted(layout: &LayoutDir, digest: &Digest) -> Result<Descriptor, Error> {
    let size = layout.open_blob(digest)?.metadata().map_err(Error::io("stat", layout.path()))?.len();
    Ok(Descriptor::new(MediaType::Other(String::new()), digest.clone(), size))
}

/// The entry of an index for a platform. `left` gets the platforms of the others.
fn of_platform(index: &Index, platform: &Platform, left: &mut Vec<String>) -> Result<Descriptor, NoPlatform> {
    let chosen = index.select(platform)?;
    let others = index.manifests.iter().filter(|entry| entry.digest != chosen.digest);
    let names = others.filter_map(|entry| entry.platform.as_ref()).map(Platform::to_string);
    // What builders attach to an image is for no platform.
    left.extend(names.filter(|name| name != "unknown/unknown"));
    Ok(chosen.clone())
}

fn resolve(
    layout: &LayoutDir,
    entry: Descriptor,
    platform: &Platform,
    left: &mut Vec<String>,
    depth: usize,
) -> Result<Manifest, Error> {
    let at = |error: &dyn std::fmt::Display| Error::Invalid(format!("OCI layout {}: {error}", layout.path().display()));
    let bytes = layout.read_blob(&entry)?;
    match Document::parse(&bytes, Some(&entry.media_type)).map_err(|e| at(&e))? {
        Document::Manifest(manifest) => Ok(*manifest),
        Document::Index(_) if depth == 0 => Err(at(&"its indexes are nested too deep")),
        Document::Index(index) => {
            let chosen = of_platform(&index, platform, left).map_err(|e| at(&e))?;
            resolve(layout, chosen, platform, left, depth - 1)
        }
    }
}

/// Writes `image` as the only one of the layout `dir`, under `tag` where there is one. Returns the manifest's digest.
///
/// A layout that is already there keeps its blobs and loses its list of images, as with kaniko. There is never more than one image
/// in the list: readers that are given the directory alone would have to choose.
pub fn write(dir: &Path, image: &Image, blobs: &BlobDir, tag: Option<&str>) -> Result<Digest, Error> {
    let target = BlobDir::create(dir)?;
    for layer in image.layers() {
        target.share(&layer.descriptor, blobs)?;
    }
    let encoded = image.encode().map_err(|error| Error::Invalid(error.to_string()))?;
    target.insert(&encoded.config)?;
    target.insert(&encoded.manifest)?;
    let mut entry = encoded.descriptor.clone();
    entry.platform = Some(image.config.platform());
    entry.annotations.extend(tag.map(|tag| (REF_NAME.to_owned(), tag.to_owned())));
    list(dir, entry)?;
    Ok(encoded.descriptor.digest)
}

/// Makes `entry` the only one of a layout's list.
fn list(dir: &Path, entry: Descriptor) -> Result<(), Error> {
    let media_type = Some(MediaType::Index(Format::Oci));
    let (manifests, annotations) = (vec![entry], BTreeMap::new());
    let index = Index { schema_version: 2, media_type, manifests, annotations, extra: Map::new() };
    replace(dir, "oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))?;
    replace(dir, "index.json", &index)
}

/// Makes a layout of the directory of `blobs`, which has the blobs of one image already: adds the documents as they are, and the
/// list that names `manifest` alone, under `name`.
pub fn write_known(
    blobs: &BlobDir,
    documents: [(&Descriptor, &[u8]); 2],
    platform: Platform,
    name: &str,
) -> Result<(), Error> {
    for (descriptor, bytes) in documents {
        blobs.copy_in(descriptor, bytes, blobs.dir())?;
    }
    let mut entry = documents[0].0.clone();
    entry.platform = Some(platform);
    entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
    list(blobs.dir(), entry)
}

/// Writes a document so that a reader sees the old one or the new one.
fn replace(dir: &Path, name: &str, document: &impl serde::Serialize) -> Result<(), Error> {
    let path = dir.join(name);
    let bytes = serde_json::to_vec(document).map_err(|error| Error::Invalid(format!("{name}: {error}")))?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let file = tempfile::Builder::new().permissions(permissions).tempfile_in(dir);
    let mut file = file.map_err(Error::io("create a file in", dir))?;
    file.write_all(&bytes).map_err(Error::io("write", &path))?;
    file.persist(&path).map_err(|error| Error::io("rename", &path)(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::CWD;

    use super::*;
    use crate::oci::{Compression, DiffId, History};

    fn parse(text: &str, path: &str, tag: Option<&str>, digest: bool) {
        let source = LayoutSource::parse(text).expect("a source");
        assert_eq!(
            (source.path.to_str(), source.tag.as_deref(), source.digest.is_some()),
            (Some(path), tag, digest),
            "{text}"
        );
    }

    #[test]
    fn sources() {
        let digest = Digest::of(b"");
        parse("/a/b", "/a/b", None, false);
        parse("a:t", "a", Some("t"), false);
        parse("/a:b/c", "/a:b/c", None, false);
        parse("/a:b/c:t", "/a:b/c", Some("t"), false);
        parse("/a@b/c", "/a@b/c", None, false);
        parse(&format!("/a:t@{digest}"), "/a", Some("t"), true);
        parse(&format!("/a@{digest}"), "/a", None, true);
        for text in ["", ":t", "/a:", "/a@sha256:1"] {
            assert!(LayoutSource::parse(text).is_err(), "{text:?}");
        }
    }

    struct Fixture {
        dir: tempfile::TempDir,
        image: Image,
    }

    impl Fixture {
        fn new(tag: Option<&str>) -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let blobs = BlobDir::create(&dir.path().join("blobs")).expect("a store");
            let mut image = Image::scratch(&Platform::host());
            let digest = blobs.insert(b"layer").expect("stored");
            let layer = Descriptor::new(MediaType::Layer(Format::Oci, Compression::None), digest, 5);
            image.append(layer, DiffId(Digest::of(b"layer")), History::default()).expect("a layer");
            write(&dir.path().join("layout"), &image, &blobs, tag).expect("written");
            Fixture { dir, image }
        }

        fn read(&self, suffix: &str) -> Result<Image, Error> {
            let source = LayoutSource::parse(&format!("{}{suffix}", self.dir.path().join("layout").display()))?;
            let target = BlobDir::create(&self.dir.path().join("target")).expect("a store");
            let image = read(&source, &Platform::host(), &target)?;
            assert!(image.layers().iter().all(|layer| target.has(&layer.descriptor.digest)));
            Ok(image)
        }

        fn refuses(&self, suffix: &str, expected: &str) {
            let error = self.read(suffix).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error:?} has no {expected:?}");
        }

        fn layer_path(&self) -> PathBuf {
            let digest = &self.image.layers()[0].descriptor.digest;
            self.dir.path().join("layout/blobs/sha256").join(digest.hex())
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let fixture = Fixture::new(Some("v1"));
        let digest = fixture.image.encode().expect("encodes").descriptor.digest;
        assert_eq!(fixture.read(":v1").expect("an image"), fixture.image);
        assert_eq!(fixture.read("").expect("an image"), fixture.image);
        assert_eq!(fixture.read(&format!("@{digest}")).expect("an image"), fixture.image);
        fixture.refuses(":v3", "no image tagged \"v3\" (tags: v1)");
        assert_eq!(Fixture::new(None).read("").expect("an image").layers().len(), 1);
    }

    #[test]
    fn corrupt_blobs_are_refused_by_name() {
        let fixture = Fixture::new(None);
        let name = fixture.layer_path().file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
        fs::remove_file(fixture.layer_path()).expect("removed");
        fixture.refuses("", "No such file");
        for bytes in [&b"Layer"[..], b"laye", b"layer!"] {
            fs::write(fixture.layer_path(), bytes).expect("spoilt");
            fixture.refuses("", &name);
        }
    }

    #[test]
    fn nothing_outside_is_read() {
        let fixture = Fixture::new(None);
        let outside = fixture.dir.path().join("outside");
        fs::write(&outside, b"layer").expect("a file");
        fs::remove_file(fixture.layer_path()).expect("removed");
        std::os::unix::fs::symlink(&outside, fixture.layer_path()).expect("a link");
        fixture.refuses("", "symlink");
        let blobs = fixture.dir.path().join("layout/blobs");
        fs::rename(&blobs, fixture.dir.path().join("moved")).expect("moved");
        std::os::unix::fs::symlink("../moved", &blobs).expect("a link");
        fixture.refuses("", "Not a directory");
    }

    #[test]
    fn a_pipe_does_not_hang() {
        let fixture = Fixture::new(None);
        fs::remove_file(fixture.layer_path()).expect("removed");
        rustix::fs::mknodat(CWD, fixture.layer_path(), rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        fixture.refuses("", "not a regular file");
    }
}
