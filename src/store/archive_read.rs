//! Reading a docker archive (`docker save`): a tar with a `manifest.json` that names a configuration and layers.
//!
//! The archive may be hostile: what it holds is only read, its size is bounded by that of the file, and every layer is checked against the
//! digest that the configuration has for it. Layers that are not compressed are compressed on the way, since registries store what they
//! get.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Deserialize;
use serde_json::Map;
use tar_core::EntryType;
use tar_core::parse::{Limits, ParseEvent, ParsedEntry, Parser};

use super::{BlobDir, Error};
use crate::codec::{self, Encoding, Packing};
use crate::oci::{
    Algorithm, Compression, ConfigFile, Descriptor, Digest, Format, Hasher, Image, MAX_DOCUMENT, Manifest, MediaType,
    Platform, Repository,
};

/// More members than an archive of one image has.
const MOST_MEMBERS: usize = 1 << 14;

/// The most bytes that the headers of one member may take.
const LONGEST_HEADERS: usize = 4 << 20;

/// What a member is.
enum Member {
    /// A file: where its bytes begin, and how many there are.
    File { start: u64, size: u64 },
    /// A link to another member, as old versions of Docker write for a layer that stands twice.
    Link(String),
}

/// The archive's list of images.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags", default)]
    tags: Option<Vec<String>>,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

/// An open archive and where its members are.
struct Archive<'a> {
    path: &'a Path,
    file: File,
    members: BTreeMap<String, Member>,
}

/// Reads the only image of the archive at `path`, and copies its layers into `blobs`. Every byte is checked.
///
/// A configuration that names no platform is taken to be for `platform`.
pub fn read(path: &Path, platform: &Platform, blobs: &BlobDir) -> Result<Image, Error> {
    let archive = Archive::open(path)?;
    let listed = archive.only_image()?;
    let config = archive.document(&listed.config)?;
    let layers = archive.layers(&listed, &config, blobs)?;
    let manifest = manifest(&config, layers);
    Image::from_parts(manifest, &config, platform, None).map_err(|error| archive.fault(&error))
}

/// Reads the image of the archive at `path` whose manifest is known: its configuration must be the one that `manifest` names, and
/// so must be the contents of its layers. A layer that the archive has otherwise compressed is described as it is there.
pub fn read_known(
    path: &Path,
    mut manifest: Manifest,
    platform: &Platform,
    origin: &Repository,
    blobs: &BlobDir,
) -> Result<Image, Error> {
    let archive = Archive::open(path)?;
    let listed = archive.only_image()?;
    let config = archive.document(&listed.config)?;
    super::check_bytes(&manifest.config, &config)?;
    let layers = archive.layers(&listed, &config, blobs)?;
    let is_as_named = layers.iter().map(|(_, digest, _)| digest).eq(manifest.layers.iter().map(|layer| &layer.digest));
    if !is_as_named {
        manifest.layers = self::manifest(&config, layers).layers;
    }
    let origin = Some(origin).filter(|_| is_as_named);
    Image::from_parts(manifest, &config, platform, origin).map_err(|error| archive.fault(&error))
}

/// The manifest that the archive would have: in Docker's format unless a layer is compressed as only OCI has it.
fn manifest(config: &[u8], layers: Vec<(Compression, Digest, u64)>) -> Manifest {
    let zstd = layers.iter().any(|(compression, ..)| *compression == Compression::Zstd);
    let format = if zstd { Format::Oci } else { Format::Docker };
    let descriptor = |(compression, digest, size)| Descriptor::new(MediaType::Layer(format, compression), digest, size);
    Manifest {
        schema_version: 2,
        media_type: Some(MediaType::Manifest(format)),
        config: Descriptor::of(MediaType::Config(format), config),
        layers: layers.into_iter().map(descriptor).collect(),
        annotations: BTreeMap::new(),
        extra: Map::new(),
    }
}

impl<'a> Archive<'a> {
    /// Finds all members.
    fn open(path: &'a Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let mut start = [0; codec::SNIFF_LEN];
        if file.read_exact(&mut start).is_ok() && codec::sniff(&start) != Encoding::Plain {
            return Err(Error::Invalid(format!("{} is compressed; decompress it first", path.display())));
        }
        let mut archive = Archive { path, file, members: BTreeMap::new() };
        archive.index()?;
        Ok(archive)
    }

    fn fault(&self, what: &dyn std::fmt::Display) -> Error {
        Error::Invalid(format!("docker archive {}: {what}", self.path.display()))
    }

    fn io(&self, error: io::Error) -> Error {
        Error::io("read", self.path)(error)
    }

    /// Reads the headers and skips what follows each.
    fn index(&mut self) -> Result<(), Error> {
        let length = self.file.metadata().map_err(|error| self.io(error))?.len();
        let mut parser = Parser::new(Limits::default());
        let (mut at, mut buffer) = (0_u64, Vec::new());
        loop {
            let next = match parser.parse(&buffer).map_err(|error| self.fault(&error))? {
                ParseEvent::NeedData { .. } if at + buffer.len() as u64 >= length => return Ok(()),
                ParseEvent::NeedData { min_bytes } => Err(min_bytes),
                ParseEvent::End { .. } => return Ok(()),
                ParseEvent::GlobalExtensions { consumed, .. } => Ok((at + consumed as u64, None)),
                ParseEvent::Entry { consumed, entry } => {
                    let start = at + consumed as u64;
                    (entry.size <= length).then_some(()).ok_or_else(|| self.fault(&"it ends within a member"))?;
                    let content = if entry.is_file() { entry.padded_size() } else { 0 };
                    Ok((start + content, member(&entry, start)))
                }
                ParseEvent::SparseEntry { .. } => return Err(self.fault(&"it has sparse files")),
            };
            match next {
                Err(wanted) => self.fill(&mut buffer, at, wanted)?,
                Ok((end, found)) => {
                    self.members.extend(found);
                    (at, buffer) = (end, Vec::new());
                }
            }
            if self.members.len() > MOST_MEMBERS {
                return Err(self.fault(&format!("it has more than {MOST_MEMBERS} members")));
            }
        }
    }

    /// Makes `buffer` what stands at `at`, `wanted` bytes of it or what there is.
    fn fill(&mut self, buffer: &mut Vec<u8>, at: u64, wanted: usize) -> Result<(), Error> {
        if wanted > LONGEST_HEADERS {
            return Err(self.fault(&"the headers of one member are too long"));
        }
        let before = buffer.len();
        buffer.clear();
        self.file.seek(SeekFrom::Start(at)).map_err(|error| self.io(error))?;
        (&self.file).take(wanted as u64).read_to_end(buffer).map_err(|error| self.io(error))?;
        if buffer.len() <= before { Err(self.fault(&"it ends within a header")) } else { Ok(()) }
    }

    /// Where the bytes of a member are; a link is followed once.
    fn find(&self, name: &str) -> Result<(u64, u64), Error> {
        let absent = || self.fault(&format!("it has no {name:?}"));
        match self.members.get(name) {
            Some(Member::File { start, size }) => Ok((*start, *size)),
            Some(Member::Link(target)) => match self.members.get(target) {
                Some(Member::File { start, size }) => Ok((*start, *size)),
                _ => Err(absent()),
            },
            None => Err(absent()),
        }
    }

    /// The bytes of a member; one is read at a time, since the file has one position.
    fn open_member(&self, name: &str) -> Result<io::Take<&File>, Error> {
        let (start, size) = self.find(name)?;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start)).map_err(|error| self.io(error))?;
        Ok(file.take(size))
    }

    fn document(&self, name: &str) -> Result<Vec<u8>, Error> {
        let (_, size) = self.find(name)?;
        if size > MAX_DOCUMENT {
            return Err(self.fault(&format!("{name:?} is larger than {MAX_DOCUMENT} bytes")));
        }
        let mut bytes = Vec::new();
        let read = self.open_member(name)?.read_to_end(&mut bytes);
        read.map_err(|error| self.io(error))?;
        Ok(bytes)
    }

    /// Copies the layers, as many as the configuration names the contents of.
    fn layers(
        &self,
        listed: &Listed,
        config: &[u8],
        blobs: &BlobDir,
    ) -> Result<Vec<(Compression, Digest, u64)>, Error> {
        let parsed: ConfigFile = serde_json::from_slice(config).map_err(|error| self.fault(&error))?;
        let diff_ids = &parsed.rootfs.diff_ids;
        if diff_ids.len() != listed.layers.len() {
            let (layers, named) = (listed.layers.len(), diff_ids.len());
            return Err(self.fault(&format!("it has {layers} layers, but its configuration names {named}")));
        }
        let layers = listed.layers.iter().zip(diff_ids);
        layers.map(|(name, diff_id)| self.layer(name, &diff_id.0, blobs)).collect()
    }

    fn only_image(&self) -> Result<Listed, Error> {
        if !self.members.contains_key("manifest.json") {
            let hint = if self.members.contains_key("oci-layout") {
                "it has no manifest.json but is an OCI layout; unpack it and give the directory"
            } else {
                "it has no manifest.json, so it is no archive of an image"
            };
            return Err(self.fault(&hint));
        }
        let bytes = self.document("manifest.json")?;
        let mut listed: Vec<Listed> = serde_json::from_slice(&bytes).map_err(|error| self.fault(&error))?;
        match (listed.pop(), listed.len()) {
            (Some(only), 0) => Ok(only),
            (Some(last), _) => {
                let tags: BTreeSet<String> =
                    listed.into_iter().chain([last]).flat_map(|image| image.tags.unwrap_or_default()).collect();
                let tags = tags.into_iter().collect::<Vec<_>>().join(", ");
                Err(self.fault(&format!("it has several images ({tags}); save one alone")))
            }
            (None, _) => Err(self.fault(&"it has no image")),
        }
    }

    /// Copies a layer, compressed if it is not, and checks that its contents are those that `diff_id` names.
    fn layer(&self, name: &str, diff_id: &Digest, blobs: &BlobDir) -> Result<(Compression, Digest, u64), Error> {
        let mut source = BufReader::with_capacity(1 << 17, self.open_member(name)?);
        let failed = |error| Error::io("read", self.path)(error);
        let encoding = codec::sniff(source.fill_buf().map_err(failed)?);
        let mut writer = blobs.writer()?;
        let (compression, contents) = match encoding {
            Encoding::Plain => {
                let mut gzip =
                    codec::Encoder::new(&mut writer, Packing::default(), codec::threads()).map_err(failed)?;
                let contents = hash(diff_id.algorithm(), source, &mut gzip).map_err(failed)?;
                gzip.finish().map_err(failed)?;
                (Compression::Gzip, contents)
            }
            encoding => {
                io::copy(&mut source, &mut writer).map_err(failed)?;
                drop(source);
                let compressed = BufReader::with_capacity(1 << 17, self.open_member(name)?);
                let plain = codec::decode(compressed).map_err(failed)?;
                let contents = hash(diff_id.algorithm(), plain, &mut io::sink()).map_err(failed)?;
                (if encoding == Encoding::Zstd { Compression::Zstd } else { Compression::Gzip }, contents)
            }
        };
        if contents != *diff_id {
            let (expected, actual) = (diff_id.clone(), contents);
            return Err(Error::Digest { expected, actual });
        }
        let (digest, size) = writer.finish(None)?;
        Ok((compression, digest, size))
    }
}

/// The digest of what passes from `source` to `sink`.
pub(super) fn hash(algorithm: Algorithm, mut source: impl Read, sink: &mut impl Write) -> io::Result<Digest> {
    let (mut hasher, mut buffer) = (Hasher::new(algorithm), vec![0; 1 << 17]);
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                sink.write_all(&buffer[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file or link by its name; what is neither, and what has a name that is not UTF-8, nobody asks for.
fn member(entry: &ParsedEntry<'_>, start: u64) -> Option<(String, Member)> {
    let name = std::str::from_utf8(&entry.path).ok()?;
    let name = name.strip_prefix("./").unwrap_or(name).to_owned();
    let found = match entry.entry_type {
        EntryType::Regular | EntryType::Continuous => Member::File { start, size: entry.size },
        EntryType::Link => Member::Link(std::str::from_utf8(entry.link_target.as_deref()?).ok()?.to_owned()),
        EntryType::Symlink => {
            let target = std::str::from_utf8(entry.link_target.as_deref()?).ok()?;
            Member::Link(beside(&name, target)?)
        }
        _ => return None,
    };
    Some((name, found))
}

/// Where a relative symlink at `name` leads.
fn beside(name: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()?),
            "." => {}
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{DiffId, History};
    use crate::store::write_archive;

    /// A tar of these files, made by tar(1).
    fn tar(dir: &Path, files: &[(&str, &[u8])]) -> std::path::PathBuf {
        let (tree, path) = (dir.join("tree"), dir.join("made.tar"));
        let _ = std::fs::remove_dir_all(&tree);
        std::fs::create_dir_all(&tree).expect("mkdir");
        for (name, bytes) in files {
            std::fs::create_dir_all(tree.join(name).parent().expect("a parent")).expect("mkdir");
            std::fs::write(tree.join(name), bytes).expect("write");
        }
        let mut tar = std::process::Command::new("tar");
        tar.arg("-cf").arg(&path).arg("-C").arg(&tree).arg(".");
        assert!(tar.status().expect("tar").success());
        path
    }

    fn config(contents: &[&[u8]]) -> Vec<u8> {
        let mut image = Image::scratch(&Platform::host());
        for bytes in contents {
            image.config.rootfs.diff_ids.push(DiffId(Digest::of(bytes)));
        }
        serde_json::to_vec(&image.config).expect("JSON")
    }

    fn listing(layers: &[&str]) -> Vec<u8> {
        serde_json::json!([{"Config": "c.json", "RepoTags": ["a:b"], "Layers": layers}]).to_string().into_bytes()
    }

    fn read_tar(files: &[(&str, &[u8])]) -> Result<(Image, Vec<Vec<u8>>), Error> {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = BlobDir::create(&dir.path().join("store")).expect("a store");
        let image = read(&tar(dir.path(), files), &Platform::host(), &blobs)?;
        let bytes =
            |layer: &crate::oci::ImageLayer| std::fs::read(blobs.path(&layer.descriptor.digest)).expect("there");
        let layers = image.layers().iter().map(bytes).collect();
        Ok((image, layers))
    }

    fn refused(files: &[(&str, &[u8])], expected: &str) {
        let error = read_tar(files).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_we_write_is_read_back_the_same() {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = BlobDir::create(&dir.path().join("one")).expect("a store");
        let mut image = Image::scratch(&Platform::host());
        image.format = Format::Docker;
        let mut gzip = codec::Encoder::new(Vec::new(), Packing::default(), 1).expect("an encoder");
        gzip.write_all(b"layer").expect("written");
        let bytes = gzip.finish().expect("gzip");
        let digest = blobs.insert(&bytes).expect("stored");
        let layer = MediaType::Layer(Format::Docker, Compression::Gzip);
        let layer = Descriptor::new(layer, digest, bytes.len() as u64);
        image.append(layer, DiffId(Digest::of(b"layer")), History::default()).expect("a layer");
        let path = dir.path().join("image.tar");
        write_archive(&path, &image, &blobs, &["a:b".to_owned()]).expect("written");
        let other = BlobDir::create(&dir.path().join("two")).expect("a store");
        let found = read(&path, &Platform::host(), &other).expect("read");
        let digest = |image: &Image| image.encode().expect("encodes").descriptor.digest;
        assert_eq!(digest(&found), digest(&image));
        assert!(other.has(&found.layers()[0].descriptor.digest));
    }

    #[test]
    fn a_layer_that_is_not_compressed_is() {
        let contents = b"the layer's tar".repeat(100);
        let files: [(&str, &[u8]); 3] = [
            ("manifest.json", &listing(&["l/layer.tar"])),
            ("c.json", &config(&[&contents])),
            ("l/layer.tar", &contents),
        ];
        let (image, layers) = read_tar(&files).expect("read");
        assert_eq!(image.layers()[0].descriptor.media_type, MediaType::Layer(Format::Docker, Compression::Gzip));
        let mut plain = Vec::new();
        codec::decode(&layers[0][..]).expect("gzip").read_to_end(&mut plain).expect("gzip");
        assert_eq!(plain, contents);
    }

    #[test]
    fn a_zstd_layer_makes_the_image_oci() {
        let zstd = zstd::bulk::compress(b"contents", 1).expect("zstd");
        let files: [(&str, &[u8]); 3] =
            [("manifest.json", &listing(&["l"])), ("c.json", &config(&[b"contents"])), ("l", &zstd)];
        let (image, layers) = read_tar(&files).expect("read");
        assert_eq!((image.format, &layers[0]), (Format::Oci, &zstd));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let one = listing(&["l"]);
        let good = config(&[b"x"]);
        refused(&[("other", b"x")], "no manifest.json, so");
        refused(&[("oci-layout", b"{}")], "unpack it");
        refused(&[("manifest.json", b"[]")], "no image");
        refused(&[("manifest.json", &one)], "no \"c.json\"");
        refused(&[("manifest.json", &one), ("c.json", &good)], "no \"l\"");
        refused(&[("manifest.json", &one), ("c.json", &good), ("l", b"y")], "have the digest");
        refused(&[("manifest.json", &one), ("c.json", &config(&[])), ("l", b"x")], "names 0");
        let images = serde_json::json!([
            {"Config": "c", "RepoTags": ["a:1"], "Layers": []}, {"Config": "c", "RepoTags": ["b:2"], "Layers": []}
        ]);
        refused(&[("manifest.json", images.to_string().as_bytes())], "several images (a:1, b:2)");
    }

    #[test]
    fn a_file_that_is_no_tar_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = BlobDir::create(dir.path()).expect("a store");
        let path = dir.path().join("x");
        for bytes in [&b""[..], b"short", &[b'x'; 2000], &[0x1f, 0x8b, 8, 0, 0], &[0; 1024]] {
            std::fs::write(&path, bytes).expect("write");
            read(&path, &Platform::host(), &blobs).expect_err("refused");
        }
    }

    #[test]
    fn links_to_a_layer_are_followed_once() {
        assert_eq!(beside("a/layer.tar", "../b/layer.tar").as_deref(), Some("b/layer.tar"));
        assert_eq!(beside("a/layer.tar", "../../b"), None);
        assert_eq!(beside("layer.tar", "./x").as_deref(), Some("x"));
    }
}
