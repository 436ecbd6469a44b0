//! A descriptor: what a blob is, its digest and its size (OCI image-spec, descriptor.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Digest, MediaType, Platform, or_default};

/// Names a blob. Whoever reads the blob checks both digest and size before using a byte of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: MediaType,
    /// The digest of the blob's bytes.
    pub digest: Digest,
    /// The blob's length in bytes.
    pub size: u64,
    /// Other places that offer the blob. Never followed.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// The platform, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Annotations.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else that was there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Descriptor {
    /// A descriptor of a blob that is known by its digest.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        let (urls, platform, annotations, extra) = Default::default();
        Descriptor { media_type, digest, size, urls, platform, annotations, extra }
    }

    /// A descriptor of `bytes`.
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Whether `bytes` have the promised size and digest.
    pub fn verifies(&self, bytes: &[u8]) -> bool {
        self.size == bytes.len() as u64 && self.digest.verifies(bytes)
    }
}
