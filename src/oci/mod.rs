//! Image formats as values: digests, references, media types, manifests, configurations, and pure edits of an `Image`.
//!
//! Everything here goes from bytes to types and back without files, network or flags, so that hostile input can be fuzzed. What a
//! base image says and we do not know is kept, in its order; what we write is a function of the value alone.
//! Specifications: OCI image-spec 1.1, Docker image manifest version 2 schema 2, distribution reference grammar.

mod config;
mod descriptor;
mod digest;
mod image;
mod manifest;
mod media_type;
mod platform;
mod reference;
mod validate;

pub use config::{Config, ConfigFile, Healthcheck, History, RootFs};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, DiffId, Digest, Hasher, InvalidDigest};
pub use image::{Encoded, Image, ImageError, ImageLayer};
pub use manifest::{Document, DocumentError, Index, MAX_DOCUMENT, Manifest, NoPlatform};
pub use media_type::{Compression, Format, MediaType};
pub use platform::{InvalidPlatform, Platform};
pub use reference::{InvalidReference, Reference, Repository};
pub use validate::{Invalid, validate};

use serde::{Deserialize, Deserializer};

/// Reads `null`, which Go writes for empty lists and maps, as the default value.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
