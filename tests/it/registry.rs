//! The library's registry client and its layouts and archives against a real registry, skopeo and umoci.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use silt::oci::{Compression, Descriptor, DiffId, Digest, Format, History, Image, MediaType, Platform, Reference};
use silt::registry::{Client, Error, Policy};
use silt::store::{self, BlobDir, LayoutSource};

use crate::support::registry::{Registry, free_port};
use crate::support::{bases, image, run, scratch};

/// The busybox base with a layer of our own, and a store that holds all its layers.
pub struct Sample {
    pub dir: tempfile::TempDir,
    pub blobs: BlobDir,
    pub image: Image,
}

pub fn sample() -> Sample {
    let dir = scratch();
    let blobs = BlobDir::create(&dir.path().join("store")).unwrap();
    let source = LayoutSource::parse(&format!("{}:latest", bases::busybox().display())).unwrap();
    let mut image = store::read_layout(&source, &Platform::host(), &blobs).unwrap();
    append(&mut image, &blobs, dir.path(), "marker");
    Sample { dir, blobs, image }
}

/// Adds a layer with one file, whose name and content is `name`.
pub fn append(image: &mut Image, blobs: &BlobDir, dir: &Path, name: &str) {
    fs::write(dir.join(name), name).unwrap();
    let tar = dir.join("layer.tar");
    run(Command::new("tar").arg("--create").arg("--file").arg(&tar).arg("--directory").arg(dir).arg(name));
    let diff_id = DiffId(Digest::of(&fs::read(&tar).unwrap()));
    run(Command::new("gzip").args(["--force", "--keep"]).arg(&tar));
    let blob = fs::read(dir.join("layer.tar.gz")).unwrap();
    blobs.insert(&blob).unwrap();
    let layer = Descriptor::of(MediaType::Layer(Format::Oci, Compression::Gzip), &blob);
    let history = History { created_by: Some(format!("COPY {name} /")), ..History::default() };
    image.append(layer, diff_id, history).unwrap();
}

pub fn client() -> Client {
    Client::new(Policy::default()).unwrap()
}

pub fn reference(name: &str) -> Reference {
    name.parse().unwrap()
}

pub fn marker(from: &str) -> String {
    fs::read_to_string(image::unpack(from).tree().join("marker")).unwrap()
}

pub fn fails<T>(result: Result<T, Error>, said: &[&str]) {
    let error = result.err().expect("an error").to_string();
    assert!(!error.contains('\n') && said.iter().all(|text| error.contains(text)), "{error:?} lacks one of {said:?}");
}

#[test]
fn what_is_pushed_is_read_by_others_and_pulled_back() {
    let (registry, sample, client) = (Registry::start(), sample(), client());
    let name = registry.name("some/app:1");
    client.check_push(&reference(&name)).unwrap();
    let digest = client.push(&reference(&name), &sample.image, &sample.blobs).unwrap();
    assert_eq!(image::inspect(&format!("docker://{name}"))["Digest"], digest.as_str());
    assert_eq!(marker(&format!("docker://{name}")), "marker");
    let back = BlobDir::create(&sample.dir.path().join("back")).unwrap();
    for name in [name, registry.name(&format!("some/app@{digest}"))] {
        let pulled = client.pull(&reference(&name), &Platform::host(), &back).unwrap();
        assert_eq!(pulled.encode().unwrap().descriptor.digest, digest);
        assert!(pulled.layers().iter().all(|layer| back.has(&layer.descriptor.digest)));
    }
}

#[test]
fn a_docker_base_stays_docker() {
    let (registry, sample, client) = (Registry::start(), sample(), client());
    let (base, app) = (registry.name("base:1"), registry.name("app:1"));
    let from = format!("oci:{}:latest", bases::busybox().display());
    run(Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", "--format=v2s2", &from])
        .arg(format!("docker://{base}")));
    let mut image = client.pull(&reference(&base), &Platform::host(), &sample.blobs).unwrap();
    append(&mut image, &sample.blobs, sample.dir.path(), "marker");
    client.push(&reference(&app), &image, &sample.blobs).unwrap();
    let raw = registry.get("/v2/app/manifests/1", MediaType::Manifest(Format::Docker).as_str()).1;
    let manifest: Value = serde_json::from_str(&raw).unwrap();
    let types = manifest["layers"].as_array().unwrap().iter().map(|layer| layer["mediaType"].as_str().unwrap());
    let types: BTreeSet<&str> = types.chain([manifest["config"]["mediaType"].as_str().unwrap()]).collect();
    assert!(types.iter().all(|name| name.starts_with("application/vnd.docker.")), "{types:?}");
    assert_eq!(marker(&format!("docker://{app}")), "marker");
}

#[test]
fn the_layers_of_the_base_are_mounted_and_not_sent() {
    let (registry, sample, client) = (Registry::start(), sample(), client());
    let base = registry.name("some/base:1");
    client.push(&reference(&base), &sample.image, &sample.blobs).unwrap();
    let none = BlobDir::create(&sample.dir.path().join("none")).unwrap();
    let mut image = client.resolve(&reference(&base), &Platform::host()).unwrap().image;
    append(&mut image, &none, sample.dir.path(), "second");
    let app = registry.name("other/app:1");
    client.push(&reference(&app), &image, &none).unwrap();
    let here: Vec<bool> = image.layers().iter().map(|layer| none.has(&layer.descriptor.digest)).collect();
    assert_eq!(here, [false, false, false, true], "a layer of the base was fetched to be sent");
    assert_eq!(marker(&format!("docker://{app}")), "marker");
}

#[test]
fn a_blob_that_the_registry_spoilt_is_named() {
    let (registry, sample, client) = (Registry::start(), sample(), client());
    let name = registry.name("some/app:1");
    client.push(&reference(&name), &sample.image, &sample.blobs).unwrap();
    let digest = sample.image.layers()[2].descriptor.digest.to_string();
    let mut bytes = fs::read(registry.blob_path(&digest)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(registry.blob_path(&digest), bytes).unwrap();
    let back = BlobDir::create(&sample.dir.path().join("back")).unwrap();
    fails(client.pull(&reference(&name), &Platform::host(), &back), &[&digest, "corrupt", "some/app"]);
    assert!(!back.has(&digest.parse().unwrap()));
    let config = sample.image.encode().unwrap().config_descriptor.digest.to_string();
    fs::write(registry.blob_path(&config), "{}").unwrap();
    fails(client.resolve(&reference(&name), &Platform::host()), &[&config]);
}

#[test]
fn what_is_not_there_is_named() {
    let (registry, sample, client) = (Registry::start(), sample(), client());
    let pull = |name: &str| client.pull(&reference(name), &Platform::host(), &sample.blobs);
    fails(pull(&registry.name("no/such:1")), &[&registry.name("no/such:1"), "not found", "MANIFEST_UNKNOWN"]);
    let absent = registry.name(&format!("no/such@{}", Digest::of(b"")));
    fails(pull(&absent), &[&absent, "not found"]);
    let nobody = format!("127.0.0.1:{}", free_port());
    let refused = ["cannot reach the registry", &nobody, "Connection refused"];
    fails(pull(&format!("{nobody}/a:1")), &refused);
    fails(client.push(&reference(&format!("{nobody}/a:1")), &sample.image, &sample.blobs), &refused);
    fails(client.check_push(&reference(&format!("{nobody}/a:1"))), &refused);
}

/// A layout with the tag `latest` on an index of an image for this machine and one for another.
pub fn index_layout(sample: &Sample) -> std::path::PathBuf {
    let layout = sample.dir.path().join("index");
    let mut manifests = Vec::new();
    for platform in [Platform::host(), "linux/s390x".parse().unwrap()] {
        let mut image = sample.image.clone();
        image.config.set_platform(&platform);
        let digest = store::write_layout(&layout, &image, &sample.blobs, None).unwrap();
        let size = fs::metadata(image::blob_path(&layout, digest.as_str())).unwrap().len();
        let media_type = MediaType::Manifest(Format::Oci).to_string();
        manifests.push(json!({"mediaType": media_type, "digest": digest, "size": size, "platform": platform}));
    }
    let media_type = MediaType::Index(Format::Oci).to_string();
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}).to_string();
    let digest = BlobDir::create(&layout).unwrap().insert(index.as_bytes()).unwrap();
    let annotations = json!({"org.opencontainers.image.ref.name": "latest"});
    let entry = json!({"mediaType": media_type, "digest": digest, "size": index.len(), "annotations": annotations});
    let top = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    fs::write(layout.join("index.json"), top).unwrap();
    layout
}

#[test]
fn an_index_gives_the_image_of_the_platform() {
    let (registry, sample, client) = (Registry::start(), sample(), client());
    let layout = index_layout(&sample);
    let name = registry.name("multi:1");
    run(Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--all", "--quiet", "--dest-tls-verify=false"])
        .args([format!("oci:{}:latest", layout.display()), format!("docker://{name}")]));
    for platform in [Platform::host(), "linux/s390x".parse().unwrap()] {
        let pulled = client.pull(&reference(&name), &platform, &sample.blobs).unwrap();
        let source = LayoutSource::parse(&layout.display().to_string()).unwrap();
        let read = store::read_layout(&source, &platform, &sample.blobs).unwrap();
        assert_eq!((pulled.config.platform(), read.config.platform()), (platform.clone(), platform));
    }
    let other: Platform = "linux/riscv64".parse().unwrap();
    fails(client.resolve(&reference(&name), &other), &[&name, "no image for linux/riscv64", "linux/s390x"]);
}

#[test]
fn a_certificate_must_be_trusted_unless_it_need_not() {
    let (registry, sample) = (Registry::start_tls(), sample());
    let name = reference(&registry.name("some/app:1"));
    fails(client().push(&name, &sample.image, &sample.blobs), &["cannot reach the registry", "certificate"]);
    let any = Policy { skip_tls_verify_push: true, ..Policy::default() };
    let client = Client::new(any).unwrap();
    client.push(&name, &sample.image, &sample.blobs).unwrap();
    fails(client.resolve(&name, &Platform::host()), &["certificate"]);
    let registries = BTreeSet::from([name.registry().to_owned()]);
    let both = Client::new(Policy { skip_tls_verify_registries: registries, ..Policy::default() }).unwrap();
    assert_eq!(both.resolve(&name, &Platform::host()).unwrap().image.layers().len(), 3);
}

#[test]
fn layouts_and_archives_are_read_by_others() {
    let sample = sample();
    let (layout, archive) = (sample.dir.path().join("layout"), sample.dir.path().join("archive.tar"));
    let digest = store::write_layout(&layout, &sample.image, &sample.blobs, Some("v1")).unwrap();
    assert_eq!(image::inspect(&format!("oci:{}", layout.display()))["Digest"], digest.as_str());
    assert_eq!(marker(&format!("oci:{}:v1", layout.display())), "marker");
    let bundle = sample.dir.path().join("bundle");
    run(Command::new("umoci").args(["unpack", "--image"]).arg(format!("{}:v1", layout.display())).arg(&bundle));
    assert_eq!(fs::read_to_string(bundle.join("rootfs/marker")).unwrap(), "marker");
    let names = ["first/name:1", "localhost/second:2"].map(str::to_owned);
    store::write_archive(&archive, &sample.image, &sample.blobs, &names).unwrap();
    for name in names {
        assert_eq!(marker(&format!("docker-archive:{}:{name}", archive.display())), "marker");
    }
}

#[test]
fn a_layout_of_another_writer_is_read() {
    let sample = sample();
    let layout = sample.dir.path().join("theirs");
    image::copy(&format!("oci:{}:latest", bases::busybox().display()), &format!("oci:{}:v1", layout.display()));
    let read = |suffix: &str| {
        let source = LayoutSource::parse(&format!("{}{suffix}", layout.display())).unwrap();
        store::read_layout(&source, &Platform::host(), &sample.blobs).map(|image| image.layers().len())
    };
    assert_eq!((read(":v1").unwrap(), read("").unwrap()), (2, 2));
    run(Command::new("umoci").args(["tag", "--image"]).arg(format!("{}:v1", layout.display())).arg("v2"));
    assert_eq!(read(":v2").unwrap(), 2);
    assert!(read("").unwrap_err().to_string().contains("v1, v2"));
}
