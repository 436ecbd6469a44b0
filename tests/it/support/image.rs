//! Reading images with skopeo and umoci, which share no code with the program under test.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use silt::{codec, layer};

use super::{bases, run};

/// Copies between any two places that skopeo knows; loopback registries speak plain HTTP.
pub fn copy(from: &str, to: &str) {
    run(Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"])
        .args([from, to]));
}

/// What skopeo says of an image.
pub fn inspect(name: &str) -> Value {
    let mut command = Command::new("skopeo");
    let said = run(command.args(["--insecure-policy", "inspect", "--tls-verify=false", name]));
    serde_json::from_str(&said).unwrap()
}

/// An image that an independent reader took apart: the layout it was copied to and the tree of its layers.
pub struct Unpacked {
    dir: tempfile::TempDir,
}

/// Checks that each layer of a layout is well formed, but for those of the base images, which other programs made.
pub fn check_layers(layout: &Path) {
    for layer in manifest(layout)["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        if bases::all().iter().any(|base| blob_path(base, digest).exists()) {
            continue;
        }
        let blob = File::open(blob_path(layout, digest)).unwrap();
        let tar = codec::decode(BufReader::new(blob)).unwrap();
        layer::check(tar).unwrap_or_else(|error| panic!("{digest}: {error:#}"));
    }
}

/// Copies an image (`docker://…`, `oci:…`, `docker-archive:…`) with skopeo and unpacks it with umoci. Its bundle would come
/// with a digest of every file, which nobody asks for.
pub fn unpack(from: &str) -> Unpacked {
    let dir = in_memory();
    let layout = format!("{}:latest", dir.path().join("layout").display());
    copy(from, &format!("oci:{layout}"));
    without_zstd(&dir.path().join("layout"));
    run(Command::new("umoci").args(["raw", "unpack", "--image", &layout]).arg(dir.path().join("rootfs")));
    Unpacked { dir }
}

/// Compresses zstd layers of a layout with gzip, since this umoci cannot read them.
fn without_zstd(layout: &Path) {
    let replace = |document: &mut Value, digest: &str, data: &[u8]| {
        let hash = Sha256::digest(data).iter().fold("sha256:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"));
        fs::write(blob_path(layout, &hash), data).unwrap();
        for descriptor in document.as_array_mut().unwrap().iter_mut().filter(|found| found["digest"] == digest) {
            descriptor["digest"] = hash.clone().into();
            descriptor["size"] = data.len().into();
        }
    };
    let mut manifest = manifest(layout);
    let zstd = |layer: &Value| layer["mediaType"].as_str().unwrap().ends_with("+zstd");
    let layers: Vec<Value> =
        manifest["layers"].as_array().unwrap().iter().filter(|layer| zstd(layer)).cloned().collect();
    for digest in layers.iter().map(|layer| layer["digest"].as_str().unwrap()) {
        let blob = layout.join("gzip");
        let pipe = format!("zstd -dcq {} | gzip -1 > {}", blob_path(layout, digest).display(), blob.display());
        run(Command::new("bash").args(["-euo", "pipefail", "-c", &pipe]));
        replace(&mut manifest["layers"], digest, &fs::read(blob).unwrap());
    }
    if layers.is_empty() {
        return;
    }
    for layer in manifest["layers"].as_array_mut().unwrap() {
        layer["mediaType"] = layer["mediaType"].as_str().unwrap().replace("+zstd", "+gzip").into();
    }
    let mut index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let old = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    replace(&mut index["manifests"], &old, &serde_json::to_vec(&manifest).unwrap());
    fs::write(layout.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
}

/// A new directory in memory where there is room, since a tree of 200,000 files costs a disk minutes.
fn in_memory() -> tempfile::TempDir {
    let room = rustix::fs::statvfs("/dev/shm").map_or(0, |file_system| file_system.f_bavail * file_system.f_frsize);
    if room > 4 << 30 { tempfile::tempdir_in("/dev/shm").unwrap() } else { super::scratch() }
}

impl Unpacked {
    /// The tree.
    pub fn tree(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    /// The layout that skopeo wrote.
    pub fn layout(&self) -> PathBuf {
        self.dir.path().join("layout")
    }

    /// The manifest.
    pub fn manifest(&self) -> Value {
        manifest(&self.layout())
    }

    /// The image configuration.
    pub fn config(&self) -> Value {
        let digest = self.manifest()["config"]["digest"].as_str().unwrap().to_owned();
        blob(&self.layout(), &digest)
    }

    /// The names in each layer's tar, lowest layer first.
    pub fn layer_names(&self) -> Vec<Vec<String>> {
        layer_names(&self.layout())
    }
}

/// The names in the tar of each layer of a layout's only image, lowest layer first.
pub fn layer_names(layout: &Path) -> Vec<Vec<String>> {
    let manifest = manifest(layout);
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.map(|layer| names(&blob_path(layout, layer["digest"].as_str().unwrap()))).collect()
}

/// The only manifest of a layout.
pub fn manifest(layout: &Path) -> Value {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1, "{index}");
    blob(layout, index["manifests"][0]["digest"].as_str().unwrap())
}

fn blob(layout: &Path, digest: &str) -> Value {
    serde_json::from_slice(&fs::read(blob_path(layout, digest)).unwrap()).unwrap()
}

/// Where a layout keeps a blob.
pub fn blob_path(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// The names in a tar, as GNU tar reads them.
fn names(tar: &Path) -> Vec<String> {
    let listing =
        run(Command::new("tar").args(["--list", "--auto-compress", "--quoting-style=escape", "--file"]).arg(tar));
    listing.lines().map(str::to_owned).collect()
}

#[test]
fn both_kinds_of_whiteouts_of_the_base_are_honoured() {
    let image = unpack(&format!("oci:{}:latest", super::bases::busybox().display()));
    let old: Vec<_> =
        fs::read_dir(image.tree().join("opt/old")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(old, ["three"]);
    assert!(!image.tree().join("etc/obsolete").exists());
    assert_eq!(image.config()["config"]["Cmd"][0], "/bin/sh");
    assert!(image.layer_names()[1].contains(&"opt/old/.wh..wh..opq".to_owned()));
}
