//! Media types of the two manifest formats. A type that we do not know is kept as it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The family of media types that an image is written in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Format {
    /// Docker image manifest version 2, schema 2.
    Docker,
    /// OCI image manifest.
    Oci,
}

/// How a layer's tar is compressed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Compression {
    /// A plain tar.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878. Has no media type of its own in the Docker format.
    Zstd,
}

/// What a descriptor says its blob is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum MediaType {
    /// An image manifest.
    Manifest(Format),
    /// A list of manifests, one a platform.
    Index(Format),
    /// An image configuration.
    Config(Format),
    /// A layer.
    Layer(Format, Compression),
    /// A layer that its publisher wants fetched from elsewhere and not redistributed.
    ForeignLayer(String),
    /// Anything else.
    Other(String),
}

const KNOWN: [(&str, MediaType); 12] = [
    ("application/vnd.oci.image.manifest.v1+json", MediaType::Manifest(Format::Oci)),
    ("application/vnd.docker.distribution.manifest.v2+json", MediaType::Manifest(Format::Docker)),
    ("application/vnd.oci.image.index.v1+json", MediaType::Index(Format::Oci)),
    ("application/vnd.docker.distribution.manifest.list.v2+json", MediaType::Index(Format::Docker)),
    ("application/vnd.oci.image.config.v1+json", MediaType::Config(Format::Oci)),
    ("application/vnd.docker.container.image.v1+json", MediaType::Config(Format::Docker)),
    ("application/vnd.oci.image.layer.v1.tar+gzip", MediaType::Layer(Format::Oci, Compression::Gzip)),
    ("application/vnd.oci.image.layer.v1.tar+zstd", MediaType::Layer(Format::Oci, Compression::Zstd)),
    ("application/vnd.oci.image.layer.v1.tar", MediaType::Layer(Format::Oci, Compression::None)),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", MediaType::Layer(Format::Docker, Compression::Gzip)),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", MediaType::Layer(Format::Docker, Compression::Zstd)),
    ("application/vnd.docker.image.rootfs.diff.tar", MediaType::Layer(Format::Docker, Compression::None)),
];

impl MediaType {
    /// The text of the type.
    pub fn as_str(&self) -> &str {
        match self {
            MediaType::ForeignLayer(text) | MediaType::Other(text) => text,
            known => KNOWN.iter().find(|(_, media_type)| media_type == known).map_or("", |(text, _)| text),
        }
    }

    /// The type of an HTTP `Content-Type` value, its parameters left out.
    pub fn of_header(value: &str) -> Self {
        MediaType::from(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// The format that the type belongs to, where it is one of an image.
    pub fn format(&self) -> Option<Format> {
        match self {
            MediaType::Manifest(format) | MediaType::Index(format) | MediaType::Config(format) => Some(*format),
            MediaType::Layer(format, _) => Some(*format),
            MediaType::ForeignLayer(_) | MediaType::Other(_) => None,
        }
    }
}

impl From<String> for MediaType {
    fn from(text: String) -> Self {
        if let Some((_, known)) = KNOWN.iter().find(|(name, _)| *name == text) {
            return known.clone();
        }
        let foreign = text.contains("image.layer.nondistributable") || text.contains("image.rootfs.foreign");
        if foreign { MediaType::ForeignLayer(text) } else { MediaType::Other(text) }
    }
}

impl From<MediaType> for String {
    fn from(media_type: MediaType) -> String {
        media_type.as_str().to_owned()
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_survives_text() {
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        for text in KNOWN.iter().map(|(text, _)| *text).chain([foreign, "application/vnd.cncf.helm.config.v1+json", ""])
        {
            assert_eq!(MediaType::from(text.to_owned()).as_str(), text);
        }
        assert!(matches!(MediaType::from(foreign.to_owned()), MediaType::ForeignLayer(_)));
    }

    #[test]
    fn header_parameters_are_left_out() {
        let header = "application/vnd.oci.image.index.v1+json; charset=utf-8";
        assert_eq!(MediaType::of_header(header), MediaType::Index(Format::Oci));
    }
}
