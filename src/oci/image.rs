//! An image as a value: configuration and layers that agree, edited only by adding, and written in one format.

use std::collections::BTreeMap;

use serde_json::Map;

use super::{
    Compression, ConfigFile, Descriptor, DiffId, Digest, Format, History, Manifest, MediaType, Platform, Repository,
};

/// A layer of an image: its blob, its contents, and where the blob can be had.
#[derive(Clone, PartialEq, Debug)]
pub struct ImageLayer {
    /// The blob.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// The repository that is known to have the blob: a push to the same registry mounts it from there.
    pub origin: Option<Repository>,
}

/// An image: as many layers as `config.rootfs.diff_ids` and as history rows that are not empty.
#[derive(Clone, PartialEq, Debug)]
pub struct Image {
    /// The format that it is written in, and that the media types of its layers belong to.
    pub format: Format,
    /// The configuration. Steps edit `config.config`; `rootfs` and `history` grow through `append` and `push_history`.
    pub config: ConfigFile,
    /// Annotations of the manifest that is written. Those of a base are not taken over.
    pub annotations: BTreeMap<String, String>,
    layers: Vec<ImageLayer>,
}

/// What an image is on the wire.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The bytes of the configuration.
    pub config: Vec<u8>,
    /// Its descriptor.
    pub config_descriptor: Descriptor,
    /// The bytes of the manifest.
    pub manifest: Vec<u8>,
    /// Its descriptor; its digest is the digest of the image.
    pub descriptor: Descriptor,
}

/// Why an image cannot be read, extended or written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The manifest and the configuration of a base disagree.
    #[error("the image has {layers} layers but its configuration names the contents of {diff_ids}")]
    Layers {
        /// Layers in the manifest.
        layers: usize,
        /// Entries in `rootfs.diff_ids`.
        diff_ids: usize,
    },
    /// The manifest is of something else, as a chart or a signature.
    #[error("it is not a container image: its configuration is {0}")]
    NotAnImage(MediaType),
    /// A layer is of a kind that cannot be used.
    #[error("layer {digest} is {media_type}: {why}")]
    Layer {
        /// The blob.
        digest: Digest,
        /// What it says it is.
        media_type: MediaType,
        /// What is wrong with that.
        why: &'static str,
    },
    /// JSON.
    #[error("the image configuration is malformed: {0}")]
    Json(#[from] serde_json::Error),
}

impl Image {
    /// An image without layers, in OCI format.
    pub fn scratch(platform: &Platform) -> Self {
        let mut config = ConfigFile::default();
        config.set_platform(platform);
        Image { format: Format::Oci, config, annotations: BTreeMap::new(), layers: Vec::new() }
    }

    /// The image of `manifest` and the bytes of its configuration, whose blobs are in `origin`.
    ///
    /// History rows are made to agree with the layers: missing ones are added at the end, superfluous ones become empty. A
    /// configuration without a platform is taken to be for `platform`. The bytes must have been checked against
    /// `manifest.config`.
    pub fn from_parts(
        manifest: Manifest,
        config: &[u8],
        platform: &Platform,
        origin: Option<&Repository>,
    ) -> Result<Self, ImageError> {
        let format = manifest.format();
        Image::check_config_type(&manifest.config.media_type)?;
        let mut config: ConfigFile = serde_json::from_slice(config)?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(ImageError::Layers { layers, diff_ids });
        }
        manifest.layers.iter().try_for_each(check_layer)?;
        agree(&mut config.history, layers);
        if config.os.is_empty() || config.architecture.is_empty() {
            config.set_platform(platform);
        }
        let join = |(descriptor, diff_id): (Descriptor, &DiffId)| {
            let (diff_id, origin) = (diff_id.clone(), origin.cloned());
            ImageLayer { descriptor, diff_id, origin }
        };
        let layers = manifest.layers.into_iter().zip(&config.rootfs.diff_ids).map(join).collect();
        Ok(Image { format, config, annotations: BTreeMap::new(), layers })
    }

    /// Refuses what is a manifest but no image: charts, signatures, attestations.
    pub fn check_config_type(media_type: &MediaType) -> Result<(), ImageError> {
        match media_type {
            MediaType::Config(_) => Ok(()),
            MediaType::Other(other) if other == "application/octet-stream" => Ok(()),
            other => Err(ImageError::NotAnImage(other.clone())),
        }
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[ImageLayer] {
        &self.layers
    }

    /// Adds a layer on top and its history row. Its media type becomes that of the image's format.
    pub fn append(&mut self, descriptor: Descriptor, diff_id: DiffId, history: History) -> Result<(), ImageError> {
        self.append_layer(ImageLayer { descriptor, diff_id, origin: None }, history)
    }

    /// The same for a layer that may be elsewhere.
    pub fn append_layer(&mut self, mut layer: ImageLayer, mut history: History) -> Result<(), ImageError> {
        layer.descriptor.media_type = in_format(&layer.descriptor, self.format)?;
        history.empty_layer = false;
        self.config.history.push(history);
        self.config.rootfs.diff_ids.push(layer.diff_id.clone());
        self.layers.push(layer);
        Ok(())
    }

    /// Notes that a repository has the blobs of these layers too, where nothing is known of them.
    pub fn found_in(&mut self, repository: &Repository, has: impl Fn(&Digest) -> bool) {
        for layer in self.layers.iter_mut().filter(|layer| layer.origin.is_none() && has(&layer.descriptor.digest)) {
            layer.origin = Some(repository.clone());
        }
    }

    /// Adds a history row without a layer.
    pub fn push_history(&mut self, mut history: History) {
        history.empty_layer = true;
        self.config.history.push(history);
    }

    /// The same image in another format: the media types of its layers change with it, their blobs do not.
    ///
    /// # Errors
    /// A zstd layer, which the Docker format cannot hold.
    pub fn in_format(mut self, format: Format) -> Result<Self, ImageError> {
        for layer in &mut self.layers {
            layer.descriptor.media_type = in_format(&layer.descriptor, format)?;
        }
        self.format = format;
        Ok(self)
    }

    /// The bytes of the configuration and of the manifest: a function of this value alone.
    pub fn encode(&self) -> Result<Encoded, ImageError> {
        let config = serde_json::to_vec(&self.config)?;
        let config_descriptor = Descriptor::of(MediaType::Config(self.format), &config);
        let media_type = MediaType::Manifest(self.format);
        let manifest = serde_json::to_vec(&Manifest {
            schema_version: 2,
            media_type: Some(media_type.clone()),
            config: config_descriptor.clone(),
            layers: self.layers.iter().map(|layer| layer.descriptor.clone()).collect(),
            annotations: self.annotations.clone(),
            extra: Map::new(),
        })?;
        let descriptor = Descriptor::of(media_type, &manifest);
        Ok(Encoded { config, config_descriptor, manifest, descriptor })
    }
}

fn refused(blob: &Descriptor, why: &'static str) -> ImageError {
    ImageError::Layer { digest: blob.digest.clone(), media_type: blob.media_type.clone(), why }
}

/// A layer's media type in a format.
fn in_format(blob: &Descriptor, format: Format) -> Result<MediaType, ImageError> {
    match (format, &blob.media_type) {
        (Format::Docker, MediaType::Layer(_, Compression::Zstd)) => {
            Err(refused(blob, "the Docker image format has no zstd layers; use the OCI format"))
        }
        (format, MediaType::Layer(_, compression)) => Ok(MediaType::Layer(format, *compression)),
        _ => Err(refused(blob, "not a layer")),
    }
}

fn check_layer(blob: &Descriptor) -> Result<(), ImageError> {
    match &blob.media_type {
        MediaType::Layer(..) if blob.urls.is_empty() => Ok(()),
        MediaType::Layer(..) | MediaType::ForeignLayer(_) => {
            Err(refused(blob, "layers of other places are not fetched"))
        }
        _ => Err(refused(blob, "not a layer that can be unpacked")),
    }
}

/// Makes the number of rows that are not empty equal to `layers`.
fn agree(history: &mut Vec<History>, layers: usize) {
    let rows = history.iter().filter(|row| !row.empty_layer).count();
    let missing =
        History { comment: Some("added: the base image has no history for this layer".into()), ..History::default() };
    history.extend(std::iter::repeat_n(missing, layers.saturating_sub(rows)));
    let superfluous = history.iter_mut().rev().filter(|row| !row.empty_layer).take(rows.saturating_sub(layers));
    superfluous.for_each(|row| row.empty_layer = true);
}

#[cfg(test)]
mod tests {
    use super::super::validate;
    use super::*;

    fn layer(format: Format, compression: Compression) -> Descriptor {
        Descriptor::of(MediaType::Layer(format, compression), b"blob")
    }

    fn diff_id() -> DiffId {
        DiffId(Digest::of(b"tar"))
    }

    fn row(text: &str) -> History {
        History { created_by: Some(text.to_owned()), ..History::default() }
    }

    fn base(format: Format, history: Vec<History>) -> Result<Image, ImageError> {
        let config = ConfigFile { history, ..ConfigFile::default() };
        let mut image = Image { format, config, annotations: BTreeMap::new(), layers: Vec::new() };
        image.config.rootfs.diff_ids = vec![diff_id(), diff_id()];
        image.layers =
            vec![ImageLayer { descriptor: layer(format, Compression::Gzip), diff_id: diff_id(), origin: None }; 2];
        let encoded = image.encode()?;
        Image::from_parts(serde_json::from_slice(&encoded.manifest)?, &encoded.config, &Platform::host(), None)
    }

    #[test]
    fn a_layer_takes_the_media_type_of_the_base() {
        for (format, expected) in [
            (Format::Docker, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
            (Format::Oci, "application/vnd.oci.image.layer.v1.tar+gzip"),
        ] {
            let mut image = base(format, vec![row("a"), row("b")]).expect("an image");
            assert_eq!(image.format, format);
            image.append(layer(Format::Oci, Compression::Gzip), diff_id(), row("RUN x")).expect("a layer");
            image.push_history(row("ENV a=b"));
            assert_eq!(image.layers()[2].descriptor.media_type.as_str(), expected);
            validate(&image).expect("valid");
        }
        let mut docker = base(Format::Docker, vec![]).expect("an image");
        assert!(docker.append(layer(Format::Oci, Compression::Zstd), diff_id(), row("x")).is_err());
        assert_eq!(docker.layers().len(), 2);
    }

    #[test]
    fn an_image_changes_its_format() {
        let image = base(Format::Docker, vec![row("a"), row("b")]).expect("an image");
        let oci = image.clone().in_format(Format::Oci).expect("converted");
        validate(&oci).expect("valid");
        let types = |image: &Image| {
            let encoded = image.encode().expect("encodes");
            let layers = image.layers().iter().map(|layer| layer.descriptor.media_type.format());
            let rest = [encoded.descriptor.media_type.format(), encoded.config_descriptor.media_type.format()];
            layers.chain(rest).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(types(&oci), [Some(Format::Oci)].into());
        assert_eq!(oci.layers()[0].descriptor.digest, image.layers()[0].descriptor.digest);
        assert_eq!(oci.clone().in_format(Format::Docker).expect("converted"), image);
        let mut zstd = oci;
        zstd.append(layer(Format::Oci, Compression::Zstd), diff_id(), row("x")).expect("a layer");
        assert!(zstd.in_format(Format::Docker).expect_err("zstd").to_string().contains("no zstd layers"));
    }

    #[test]
    fn the_history_of_a_base_is_made_to_agree() {
        let empty = History { empty_layer: true, ..row("e") };
        for rows in [vec![], vec![row("a")], vec![row("a"), empty.clone(), row("b")], vec![row("a"); 5], vec![empty; 3]]
        {
            let image = base(Format::Oci, rows.clone()).expect("an image");
            validate(&image).expect("valid");
            assert!(image.config.history.len() >= rows.len());
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let mut manifest: Manifest =
            serde_json::from_slice(&Image::scratch(&Platform::host()).encode().expect("encodes").manifest)
                .expect("a manifest");
        let refused = |manifest: &Manifest, config: &[u8], expected: &str| {
            let error =
                Image::from_parts(manifest.clone(), config, &Platform::host(), None).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        };
        let one = r#"{"rootfs":{"type":"layers","diff_ids":["D"]}}"#.replace('D', diff_id().0.as_str());
        refused(&manifest, one.as_bytes(), "0 layers");
        refused(&manifest, b"[", "malformed");
        let mut foreign = layer(Format::Oci, Compression::Gzip);
        foreign.urls = vec!["http://elsewhere/".to_owned()];
        manifest.layers = vec![foreign];
        refused(&manifest, one.as_bytes(), "not fetched");
        manifest.layers[0] = Descriptor::of(MediaType::Other("application/x-odd".into()), b"");
        refused(&manifest, one.as_bytes(), "application/x-odd");
        manifest.config.media_type = MediaType::Other("application/vnd.cncf.helm.config.v1+json".into());
        refused(&manifest, one.as_bytes(), "helm");
    }

    #[test]
    fn equal_images_have_equal_bytes() {
        let image = base(Format::Oci, vec![row("a"), row("b")]).expect("an image");
        let (first, second) = (image.encode().expect("bytes"), image.clone().encode().expect("bytes"));
        assert_eq!(first.manifest, second.manifest);
        assert!(first.config_descriptor.verifies(&first.config));
        assert!(first.descriptor.verifies(&second.manifest));
    }
}
