//! An entry: what a step left, and what its key was made of, as an image of one layer.
//!
//! The layer of a step that changed nothing is an empty one, since registries want an image to have a layer. Time, key and parts
//! are in the image's configuration. An image is an entry only if it says so itself, for the very key that was asked for.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seal::Salt;
use super::{Hit, Key, Kind, Part};
use crate::layer;
use crate::oci::{Algorithm, Descriptor, DiffId, Format, Hasher, History, Image, ImageLayer, Platform};
use crate::store::BlobDir;

/// The label that holds the key.
const KEY: &str = "dev.silt.cache.key";
/// The label that says what the layer is.
const CONTENT: &str = "dev.silt.cache.content";
/// The field of the configuration that holds what the key was made of.
const RECORD: &str = "dev.silt.cache";

/// As many files are told apart in a record; of more their directories.
const MOST_FILES: usize = 4096;

/// What a step left behind.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A layer.
    Layer(Box<ImageLayer>),
    /// Nothing changed.
    Nothing,
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// What the step left.
    pub content: Content,
    /// When the step was carried out.
    pub created: Timestamp,
    /// What the key was made of.
    pub record: Record,
}

/// Where a step stands: the same step of a later build has the same place, whatever it reads then.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The Dockerfile as its context names it, the stage by name or number, and the instruction.
    pub names: [String; 3],
    /// Its number among the steps of that instruction in its stage.
    pub number: usize,
}

impl Place {
    /// The tag of the newest entry of this place.
    pub(super) fn tag(&self) -> String {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        for name in &self.names {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
        hasher.update(&(self.number as u64).to_le_bytes());
        format!("newest-{}", &hasher.finish().hex()[..40])
    }
}

/// The parts of a key, by names and digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub(super) salt: Salt,
    /// Kind, name and digest of each.
    pub(super) parts: Vec<(String, String, String)>,
}

impl Record {
    /// The record of a key's parts.
    ///
    /// # Errors
    /// The machine has no randomness.
    pub fn of(parts: &[Part]) -> Result<Record> {
        let salt = Salt::fresh().context("no random bytes can be had")?;
        Ok(Record { parts: sealed(&salt, parts), salt })
    }

    /// The same of other parts, to be compared with this one.
    pub(super) fn like(&self, parts: &[Part]) -> Record {
        Record { salt: self.salt.clone(), parts: sealed(&self.salt, parts) }
    }
}

fn sealed(salt: &Salt, parts: &[Part]) -> Vec<(String, String, String)> {
    let files = parts.iter().filter(|part| part.kind == Kind::File).count();
    if files <= MOST_FILES {
        let one = |part: &Part| (part.kind.name().to_owned(), shown(&part.name), salt.digest(part));
        return parts.iter().map(one).collect();
    }
    let mut sealed: Vec<_> =
        sealed(salt, &parts.iter().filter(|part| part.kind != Kind::File).cloned().collect::<Vec<_>>());
    let mut groups: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for part in parts.iter().filter(|part| part.kind == Kind::File) {
        groups.entry(top(&part.name)).or_default().extend([part.name.as_slice(), &part.value]);
    }
    let one = |(name, values): (&[u8], Vec<&[u8]>)| {
        (Kind::File.name().to_owned(), shown(name), salt.over(Kind::File, name, values.into_iter()))
    };
    sealed.extend(groups.into_iter().take(MOST_FILES).map(one));
    sealed
}

/// The first two names of a path.
fn top(path: &[u8]) -> &[u8] {
    let end = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').nth(1).map_or(path.len(), |(at, _)| at);
    &path[..end]
}

/// A name as text; one that is none has its bytes escaped.
fn shown(name: &[u8]) -> String {
    std::str::from_utf8(name).map_or_else(|_| name.escape_ascii().to_string(), str::to_owned)
}

impl Entry {
    /// What it tells of its step.
    pub fn hit(&self) -> Hit {
        let layer = match &self.content {
            Content::Layer(layer) => Some((**layer).clone()),
            Content::Nothing => None,
        };
        Hit { layer, created: self.created }
    }

    /// The image of this entry, for the blobs that it is made with.
    ///
    /// # Errors
    /// Those of writing an empty layer, and a layer that `format` cannot hold.
    pub(super) fn image(&self, format: Format, platform: &Platform, blobs: &BlobDir) -> Result<Image> {
        let mut image = Image::scratch(platform).in_format(format)?;
        let (descriptor, diff_id, content) = match &self.content {
            Content::Layer(layer) => (layer.descriptor.clone(), layer.diff_id.clone(), "layer"),
            Content::Nothing => {
                let (descriptor, diff_id) = empty(blobs)?;
                (descriptor, diff_id, "nothing")
            }
        };
        let created = self.created.to_string();
        let row =
            History { created: Some(created.clone()), created_by: Some("silt cache".to_owned()), ..History::default() };
        image.append(descriptor, diff_id, row)?;
        image.config.created = Some(created);
        image.config.config.labels.insert(KEY.to_owned(), self.key.to_string());
        image.config.config.labels.insert(CONTENT.to_owned(), content.to_owned());
        image.config.extra.insert(RECORD.to_owned(), serde_json::to_value(&self.record)?);
        Ok(image)
    }

    /// The entry that `image`, found under `key`, is.
    ///
    /// # Errors
    /// It is none, or one of another key.
    pub(super) fn read(image: &Image, key: &Key) -> Result<Entry> {
        let entry = Entry::of(image)?;
        ensure!(entry.key == *key, "it is the entry of another key");
        Ok(entry)
    }

    /// The entry that an image says it is.
    pub(super) fn of(image: &Image) -> Result<Entry> {
        let label =
            |name: &str| image.config.config.labels.get(name).with_context(|| format!("it has no label {name}"));
        let key = Key::parse(label(KEY)?).context("its key is none")?;
        let [layer] = image.layers() else { anyhow::bail!("it has {} layers and not one", image.layers().len()) };
        let content = match label(CONTENT)?.as_str() {
            "layer" => Content::Layer(Box::new(layer.clone())),
            "nothing" => Content::Nothing,
            other => anyhow::bail!("its layer is {other:?}, which is unknown here"),
        };
        let created = image.config.created.as_deref().context("it does not say when it was made")?;
        let created = created.parse().context("the time when it was made")?;
        let record = image.config.extra.get(RECORD).cloned().context("it does not say what its key was made of")?;
        let record = serde_json::from_value(record).context("what its key was made of")?;
        Ok(Entry { key, content, created, record })
    }
}

/// A layer of nothing, put among `blobs`.
fn empty(blobs: &BlobDir) -> Result<(Descriptor, DiffId)> {
    let mut blob = blobs.writer()?;
    let layer = layer::empty(&layer::Options::default(), &mut blob)?;
    blob.flush()?;
    blob.finish(Some(&layer.descriptor.digest))?;
    Ok((layer.descriptor, layer.diff_id))
}

#[cfg(test)]
mod tests {
    use super::super::key;
    use super::*;
    use crate::oci::{Compression, Digest, MediaType};

    fn entry(content: Content) -> Entry {
        let parts = [Part::new(Kind::Instruction, "RUN", "true"), Part::new(Kind::File, b"a\xff".as_slice(), "x")];
        let created = "2026-11-25T09:00:00Z".parse().expect("a time");
        Entry { key: key(&parts), content, created, record: Record::of(&parts).expect("random") }
    }

    fn layer() -> Content {
        let descriptor = Descriptor::of(MediaType::Layer(Format::Oci, Compression::Gzip), b"blob");
        Content::Layer(Box::new(ImageLayer { descriptor, diff_id: DiffId(Digest::of(b"tar")), origin: None }))
    }

    #[test]
    fn an_entry_is_read_from_its_image() {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = BlobDir::create(dir.path()).expect("blobs");
        for content in [layer(), Content::Nothing] {
            let entry = entry(content);
            let image = entry.image(Format::Oci, &Platform::host(), &blobs).expect("an image");
            assert_eq!(image.layers().len(), 1);
            assert_eq!(Entry::read(&image, &entry.key).expect("an entry"), entry);
        }
    }

    #[test]
    fn what_is_no_entry_of_the_key_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = BlobDir::create(dir.path()).expect("blobs");
        let entry = entry(layer());
        let image = entry.image(Format::Oci, &Platform::host(), &blobs).expect("an image");
        let refused = |change: &dyn Fn(&mut Image), expected: &str| {
            let mut image = image.clone();
            change(&mut image);
            let error = format!("{:#}", Entry::read(&image, &entry.key).expect_err(expected));
            assert!(error.contains(expected), "{error}");
        };
        let other = key(&[]);
        refused(&|image| drop(image.config.config.labels.insert(KEY.into(), other.to_string())), "another key");
        refused(&|image| drop(image.config.config.labels.insert(KEY.into(), "../x".into())), "its key");
        refused(&|image| image.config.config.labels.clear(), "no label");
        refused(&|image| drop(image.config.config.labels.insert(CONTENT.into(), "x".into())), "unknown");
        refused(&|image| image.config.created = None, "when it was made");
        refused(&|image| image.config.extra.clear(), "made of");
        let (descriptor, diff_id) = (image.layers()[0].descriptor.clone(), image.layers()[0].diff_id.clone());
        let append =
            |image: &mut Image| image.append(descriptor.clone(), diff_id.clone(), History::default()).expect("ok");
        refused(&append, "2 layers");
    }

    #[test]
    fn of_very_many_files_their_directories_are_recorded() {
        let file = |n: usize| Part::new(Kind::File, format!("src/d{}/f{n}", n % 10), n.to_string());
        let mut parts: Vec<Part> = (0..10_000).map(file).collect();
        let record = Record::of(&parts).expect("random");
        assert_eq!(record.parts.len(), 10);
        parts[3].value = b"other".to_vec();
        let now = record.like(&parts);
        let differing: Vec<_> =
            record.parts.iter().zip(&now.parts).filter(|(a, b)| a != b).map(|(a, _)| &a.1).collect();
        assert_eq!(differing, ["src/d3"]);
    }
}
