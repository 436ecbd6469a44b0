//! Manifests and indexes (OCI image-spec, manifest.md and image-index.md; Docker's schema 2).
//!
//! A document that could be read as both is refused, and so is one whose own media type differs from the one that it was served
//! with: two readers must not see two images behind one digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Descriptor, Format, MediaType, Platform, or_default};

/// The largest manifest, index or configuration that is read, in bytes.
pub const MAX_DOCUMENT: u64 = 16 << 20;

/// An image manifest.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Required by Docker, recommended by OCI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The configuration blob.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else that was there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A list of manifests.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Required by Docker, recommended by OCI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The manifests.
    #[serde(default, deserialize_with = "or_default")]
    pub manifests: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else that was there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// No image of an index runs on the platform.
#[derive(Debug, thiserror::Error)]
#[error("there is no image for {wanted}; there are images for {offered}")]
pub struct NoPlatform {
    wanted: String,
    offered: String,
}

impl Index {
    /// The entry that runs best on `platform`; of equals the first. A sole entry without a platform is taken as it is.
    pub fn select(&self, platform: &Platform) -> Result<&Descriptor, NoPlatform> {
        if let [only] = &self.manifests[..]
            && only.platform.is_none()
        {
            return Ok(only);
        }
        let preference = |entry: &Descriptor| entry.platform.as_ref().and_then(|offered| platform.preference(offered));
        let runs = self.manifests.iter().rev().filter(|entry| preference(entry).is_some());
        runs.max_by_key(|entry| preference(entry)).ok_or_else(|| self.no_platform(platform))
    }

    fn no_platform(&self, wanted: &Platform) -> NoPlatform {
        let known = self.manifests.iter().filter_map(|entry| entry.platform.as_ref()).map(Platform::to_string);
        let mut offered: Vec<String> = known.filter(|name| name != "unknown/unknown").take(20).collect();
        if offered.is_empty() {
            offered.push("no platform".to_owned());
        }
        NoPlatform { wanted: wanted.to_string(), offered: offered.join(", ") }
    }
}

/// What stands behind a reference.
#[derive(Clone, PartialEq, Debug)]
pub enum Document {
    /// One image.
    Manifest(Box<Manifest>),
    /// Images for several platforms.
    Index(Index),
}

/// Why a document is not a manifest or an index.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON, or a field has the wrong type.
    #[error("the manifest is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It has the fields of a manifest and of an index.
    #[error("the manifest claims to be an index too; refusing to guess")]
    Ambiguous,
    /// Its own type and the one that it was served with differ.
    #[error("the manifest says that it is {own} but was served as {served}; refusing to guess")]
    Confused {
        /// The type in the document.
        own: MediaType,
        /// The type in the descriptor or the HTTP header.
        served: MediaType,
    },
    /// A manifest of a kind that holds no image, or an old one.
    #[error("{0} is not an image manifest of Docker schema 2 or OCI")]
    Unsupported(String),
}

impl Document {
    /// Reads `bytes`, which came with the media type `served` where one is known.
    pub fn parse(bytes: &[u8], served: Option<&MediaType>) -> Result<Document, DocumentError> {
        let value: Map<String, Value> = serde_json::from_slice(bytes)?;
        let own = value.get("mediaType").and_then(Value::as_str).map(|text| MediaType::from(text.to_owned()));
        let is_ours = |t: &MediaType| matches!(t, MediaType::Manifest(_) | MediaType::Index(_));
        let served = served.filter(|t| is_ours(t) || own.is_none() && names_a_document(t));
        if let (Some(own), Some(served)) = (&own, served)
            && own != served
        {
            return Err(DocumentError::Confused { own: own.clone(), served: served.clone() });
        }
        let (layers, manifests) = (has_image(&value), value.contains_key("manifests"));
        if layers && manifests {
            return Err(DocumentError::Ambiguous);
        }
        match own.as_ref().or(served) {
            Some(MediaType::Manifest(_)) if !manifests => Document::manifest(value),
            Some(MediaType::Index(_)) if !layers => Document::index(value),
            None if layers && schema(&value) == Some(2) => Document::manifest(value),
            None if manifests => Document::index(value),
            Some(MediaType::Manifest(_) | MediaType::Index(_)) => Err(DocumentError::Ambiguous),
            Some(other) => Err(DocumentError::Unsupported(other.to_string())),
            None => Err(DocumentError::Unsupported("a document without a media type".to_owned())),
        }
    }

    fn manifest(value: Map<String, Value>) -> Result<Document, DocumentError> {
        Ok(Document::Manifest(serde_json::from_value(Value::Object(value))?))
    }

    fn index(value: Map<String, Value>) -> Result<Document, DocumentError> {
        Ok(Document::Index(serde_json::from_value(Value::Object(value))?))
    }
}

impl Manifest {
    /// The format: by its own media type, else by that of its configuration.
    pub fn format(&self) -> Format {
        let own = self.media_type.as_ref().and_then(MediaType::format);
        own.or_else(|| self.config.media_type.format()).unwrap_or(Format::Oci)
    }
}

fn has_image(value: &Map<String, Value>) -> bool {
    value.contains_key("layers") || value.contains_key("config") || value.contains_key("fsLayers")
}

fn schema(value: &Map<String, Value>) -> Option<u64> {
    value.get("schemaVersion").and_then(Value::as_u64)
}

/// Whether a type, as `application/json`, is more than a remark that the bytes are some JSON or other.
fn names_a_document(media_type: &MediaType) -> bool {
    media_type.as_str().starts_with("application/vnd.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

    fn check(fields: &str, served: Option<&str>, expected: &str) {
        let digest = format!("sha256:{}", "0".repeat(64));
        let text = fields.replace("D", &format!(r#"{{"mediaType":"t","digest":"{digest}","size":1}}"#));
        let served = served.map(MediaType::of_header);
        let actual = match Document::parse(text.as_bytes(), served.as_ref()) {
            Ok(Document::Manifest(_)) => "manifest".to_owned(),
            Ok(Document::Index(_)) => "index".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(actual.contains(expected), "{text} served as {served:?}: {actual:?} has no {expected:?}");
    }

    #[test]
    fn a_document_is_what_both_it_and_its_server_say() {
        let manifest = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":D,"layers":[D]}}"#);
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[D]}}"#);
        check(&manifest, Some(MANIFEST), "manifest");
        check(&manifest, Some("application/json"), "manifest");
        check(&manifest, None, "manifest");
        check(&manifest, Some(INDEX), "refusing to guess");
        check(&index, Some(INDEX), "index");
        check(&index, Some(LIST), "refusing to guess");
        check(r#"{"schemaVersion":2,"config":D,"layers":[]}"#, None, "manifest");
        check(r#"{"schemaVersion":2,"manifests":[]}"#, Some("text/plain"), "index");
        check(r#"{"schemaVersion":2,"config":D,"layers":[],"manifests":[]}"#, Some(MANIFEST), "index too");
        check(r#"{"schemaVersion":2,"manifests":[]}"#, Some(MANIFEST), "index too");
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, Some(SCHEMA1), "schema 2");
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, None, "schema 2");
        check(r#"{"schemaVersion":2,"layers":[]}"#, Some(MANIFEST), "malformed");
        check("[]", None, "malformed");
        check("", None, "malformed");
    }

    #[test]
    fn the_platform_is_selected() {
        let entry = |platform: &str| {
            let mut descriptor = Descriptor::of(MediaType::Manifest(Format::Oci), platform.as_bytes());
            descriptor.platform = platform.parse().ok();
            descriptor
        };
        let index = |platforms: &[&str]| {
            let manifests = platforms.iter().map(|p| entry(p)).collect();
            Index { schema_version: 2, media_type: None, manifests, annotations: BTreeMap::new(), extra: Map::new() }
        };
        let both = index(&["unknown/unknown", "linux/arm64/v8", "linux/amd64"]);
        let select = |index: &Index, wanted: &str| {
            let selected = index.select(&wanted.parse().expect("platform")).map(|d| d.platform.clone());
            selected.map(|p| p.map_or("none".to_owned(), |p| p.to_string())).unwrap_or_else(|error| error.to_string())
        };
        assert_eq!(select(&both, "linux/arm64"), "linux/arm64");
        assert_eq!(select(&both, "linux/amd64"), "linux/amd64");
        assert!(select(&both, "linux/s390x").ends_with("images for linux/arm64, linux/amd64"));
        assert_eq!(select(&index(&["-"]), "linux/s390x"), "none");
        assert!(select(&index(&[]), "linux/amd64").contains("no platform"));
    }
}
