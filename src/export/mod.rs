//! Where a finished image goes: an OCI layout, a docker archive, registries, and files that tell its digest.
//!
//! The image is validated first, and nothing is published that is malformed. Files are written before anything is pushed, the files
//! that tell the digest last of all. Only blobs may be on their way before: they say nothing until a manifest names them.

mod digest_file;

use std::path::PathBuf;
use std::thread::Scope;

use anyhow::{Context, Result};

pub use digest_file::DigestFile;

use std::collections::BTreeMap;

use crate::oci::{self, Digest, Format, Image, Reference};
use crate::registry::{Ahead, Client};
use crate::store::{self, BlobDir};

/// What kaniko calls an image in an archive that has no destination.
const UNNAMED: &str = "unset-repo/unset-image-name:latest";

/// What to do with an image.
#[derive(Debug, Default)]
pub struct Destinations {
    /// `--destination`.
    pub push: Vec<Reference>,
    /// `--no-push`: the destinations only lend their names.
    pub no_push: bool,
    /// `--tar-path`: a docker archive.
    pub tar_path: Option<PathBuf>,
    /// `--oci-layout-path`.
    pub oci_layout_path: Option<PathBuf>,
    /// `--digest-file`: the digest.
    pub digest_file: Option<DigestFile>,
    /// `--image-name-with-digest-file`: `name@digest`, one line a destination.
    pub image_name_with_digest_file: Option<DigestFile>,
    /// `--image-name-tag-with-digest-file`: `name:tag@digest`, one line a destination.
    pub image_name_tag_with_digest_file: Option<DigestFile>,
    /// `images` in the directory of `BUILDER_OUTPUT`: a line `{"name":"name:tag","digest":"…"}` for each destination.
    pub builder_output: Option<DigestFile>,
    /// `--annotation`: added to the manifest.
    pub annotations: BTreeMap<String, String>,
    /// `--image-format`: the format that the image is written in; without it that of its base.
    pub format: Option<Format>,
}

/// Begins to send new blobs where they will be pushed, if they will be. What is written to files waits for the image.
pub fn ahead<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    client: &'env Client,
    blobs: &'env BlobDir,
    destinations: &Destinations,
) -> Option<Ahead> {
    let is_pushed = !(destinations.no_push || destinations.push.is_empty());
    is_pushed.then(|| client.send_ahead(scope, &destinations.push, blobs))
}

/// Publishes `image`, whose layers are in `blobs` or in the registry that they came from. Returns its digest.
pub fn to_all(image: &Image, blobs: &BlobDir, client: &Client, destinations: &mut Destinations) -> Result<Digest> {
    let image = &finished(image, destinations)?;
    oci::validate(image)?;
    let digest = image.encode()?.descriptor.digest;
    client.may_publish("the image")?;
    if destinations.tar_path.is_some() || destinations.oci_layout_path.is_some() {
        client.fetch(image, blobs)?;
    }
    if let Some(path) = &destinations.oci_layout_path {
        let tag = destinations.push.first().and_then(Reference::tag);
        store::write_layout(path, image, blobs, tag).context("--oci-layout-path")?;
    }
    if let Some(path) = &destinations.tar_path {
        store::write_archive(path, image, blobs, &archive_names(&destinations.push)).context("--tar-path")?;
    }
    if !destinations.no_push {
        client.push_to_all(&destinations.push, image, blobs)?;
    }
    client.may_publish("the digest")?;
    tell(destinations, &digest, client)?;
    Ok(digest)
}

/// The image as the destinations want it.
fn finished(image: &Image, destinations: &Destinations) -> Result<Image> {
    let mut image = image.clone();
    if let Some(format) = destinations.format {
        image = image.in_format(format).context("--image-format")?;
    }
    image.annotations.extend(destinations.annotations.clone());
    Ok(image)
}

/// The names in an archive, as people write them.
fn archive_names(destinations: &[Reference]) -> Vec<String> {
    let names: Vec<String> = destinations.iter().map(Reference::familiar).collect();
    if names.is_empty() { vec![UNNAMED.to_owned()] } else { names }
}

fn tell(destinations: &mut Destinations, digest: &Digest, client: &Client) -> Result<()> {
    let named = |name: &dyn Fn(&Reference) -> String| {
        destinations.push.iter().map(|reference| format!("{}@{digest}\n", name(reference))).collect::<String>()
    };
    let names = named(&repository_name);
    let tagged = named(&|reference| format!("{}:{}", repository_name(reference), reference.tag().unwrap_or("latest")));
    let outputs = destinations.push.iter().map(|reference| builder_output(reference, digest)).collect::<String>();
    let files = [
        (&mut destinations.digest_file, digest.to_string()),
        (&mut destinations.image_name_with_digest_file, names),
        (&mut destinations.image_name_tag_with_digest_file, tagged),
        (&mut destinations.builder_output, outputs),
    ];
    for (file, text) in files {
        file.as_mut().map_or(Ok(()), |file| file.write(&text, client))?;
    }
    Ok(())
}

/// A line of `BUILDER_OUTPUT/images`.
fn builder_output(reference: &Reference, digest: &Digest) -> String {
    format!("{}\n", serde_json::json!({"name": reference.to_string(), "digest": digest}))
}

/// A repository's name as kaniko writes it: Docker's registry is `index.docker.io` there.
fn repository_name(reference: &Reference) -> String {
    let name = reference.repository.to_string();
    name.strip_prefix("docker.io/").map(|path| format!("index.docker.io/{path}")).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Platform;

    #[test]
    fn annotations_and_format_are_those_asked_for() {
        let image = Image::scratch(&Platform::host());
        let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let destinations = Destinations { annotations, format: Some(Format::Docker), ..Destinations::default() };
        let finished = finished(&image, &destinations).expect("finished").encode().expect("encodes");
        let manifest: serde_json::Value = serde_json::from_slice(&finished.manifest).expect("JSON");
        assert_eq!(manifest["annotations"]["a"], "b");
        assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    }

    #[test]
    fn the_files_tell_name_tag_and_digest() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = |name: &str| Some(DigestFile::open(&dir.path().join(name)).expect("a file"));
        let push = ["busybox:1", "r.io:5000/a/b"].map(|text| text.parse().expect("a reference")).to_vec();
        let mut destinations = Destinations {
            push,
            digest_file: open("digest"),
            image_name_with_digest_file: open("name"),
            image_name_tag_with_digest_file: open("tag"),
            builder_output: open("images"),
            ..Destinations::default()
        };
        let digest = Digest::of(b"");
        let client = Client::new(crate::registry::Policy::default()).expect("a client");
        tell(&mut destinations, &digest, &client).expect("told");
        let read = |name| std::fs::read_to_string(dir.path().join(name)).expect("a file");
        assert_eq!(read("digest"), digest.to_string());
        assert_eq!(read("name"), format!("index.docker.io/library/busybox@{digest}\nr.io:5000/a/b@{digest}\n"));
        assert_eq!(read("tag"), format!("index.docker.io/library/busybox:1@{digest}\nr.io:5000/a/b:latest@{digest}\n"));
        let line = |name: &str| format!(r#"{{"name":"{name}","digest":"{digest}"}}"#);
        assert_eq!(
            read("images"),
            format!("{}\n{}\n", line("docker.io/library/busybox:1"), line("r.io:5000/a/b:latest"))
        );
        assert_eq!(archive_names(&destinations.push), ["busybox:1", "r.io:5000/a/b:latest"]);
        assert_eq!(archive_names(&[]), [UNNAMED]);
    }
}
