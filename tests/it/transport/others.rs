//! Other tools pull what we push, and we pull what they push.

use std::path::Path;
use std::process::Command;

use silt::oci::{Compression, Format, MediaType, Platform};
use silt::store::BlobDir;

use crate::registry::{client, index_layout, marker, reference, sample};
use crate::support::container::Engine;
use crate::support::executor::Build;
use crate::support::registry::Registry;
use crate::support::{bases, image, run, scratch};

fn skopeo(args: &[&str], from: &str, to: &str) {
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]);
    run(command.args(args).args([from, to]));
}

/// buildah with a store of its own.
fn buildah(store: &Path, args: &[&str]) -> String {
    let mut command = Command::new("buildah");
    command
        .arg("--root")
        .arg(store.join("root"))
        .arg("--runroot")
        .arg(store.join("run"))
        .args(["--storage-driver", "vfs"]);
    run(command.args(args))
}

#[test]
fn others_pull_what_we_push() {
    let (registry, sample) = (Registry::start(), sample());
    let name = registry.name("some/app:1");
    for format in [Format::Oci, Format::Docker] {
        let image = sample.image.clone().in_format(format).unwrap();
        client().push(&reference(&name), &image, &sample.blobs).unwrap();
        assert_eq!(marker(&format!("docker://{name}")), "marker");
        let store = scratch();
        let id = buildah(store.path(), &["from", "--tls-verify=false", &name]);
        let mounted = buildah(store.path(), &["mount", id.trim()]);
        assert_eq!(std::fs::read_to_string(Path::new(mounted.trim()).join("marker")).unwrap(), "marker");
        let engine = Engine::new();
        run(engine.podman().args(["pull", "--quiet", "--tls-verify=false", &name]));
        let script = ["run", "--rm", "--network=host", &name, "cat", "/marker"];
        assert_eq!(run(engine.podman().args(script)), "marker");
    }
}

#[test]
fn we_pull_what_others_push() {
    let (registry, sample) = (Registry::start(), sample());
    let from = format!("oci:{}:latest", bases::busybox().display());
    let pull = |name: &str| {
        let store = BlobDir::create(&scratch().keep()).unwrap();
        let image = client().pull(&reference(&registry.name(name)), &Platform::host(), &store).unwrap();
        assert!(image.layers().iter().all(|layer| store.has(&layer.descriptor.digest)));
        std::fs::remove_dir_all(store.dir()).unwrap();
        image
    };
    let push = |args: &[&str], name: &str| skopeo(args, &from, &format!("docker://{}", registry.name(name)));
    push(&["--format=oci"], "oci:1");
    assert_eq!(pull("oci:1").format, Format::Oci);
    push(&["--format=v2s2"], "docker:1");
    assert_eq!(pull("docker:1").format, Format::Docker);
    let buildah_store = scratch();
    let images = buildah_store.path();
    buildah(images, &["pull", "--tls-verify=false", &registry.name("oci:1")]);
    let pushed = registry.name("buildah:1");
    buildah(images, &["push", "--tls-verify=false", &registry.name("oci:1"), &format!("docker://{pushed}")]);
    assert_eq!(pull("buildah:1").layers().len(), 2);
    let layout = index_layout(&sample);
    skopeo(&["--all"], &format!("oci:{}:latest", layout.display()), &format!("docker://{}", registry.name("index:1")));
    assert_eq!(pull("index:1").layers().len(), sample.image.layers().len());
}

#[test]
fn we_pull_zstd() {
    // A registry of its own: skopeo takes a gzip layer that it knows to be there for one of zstd.
    let (registry, sample) = (Registry::start(), sample());
    let name = registry.name("zstd:1");
    let from = format!("oci:{}:latest", bases::busybox().display());
    skopeo(&["--format=oci", "--dest-compress-format=zstd", "--dest-compress"], &from, &format!("docker://{name}"));
    let zstd = client().pull(&reference(&name), &Platform::host(), &sample.blobs).unwrap();
    let kinds: Vec<_> = zstd.layers().iter().map(|layer| layer.descriptor.media_type.clone()).collect();
    let is_zstd = |kind: &MediaType| *kind == MediaType::Layer(Format::Oci, Compression::Zstd);
    assert!(kinds.iter().all(is_zstd), "{kinds:?}");
}

#[test]
fn layers_that_are_not_compressed_are_pulled_and_built_on() {
    let registry = Registry::start();
    let from = format!("oci:{}:latest", bases::busybox().display());
    for (format, flag) in [(Format::Oci, "--format=oci"), (Format::Docker, "--format=v2s2")] {
        let (dir, name) = (scratch(), registry.name(&format!("plain:{format:?}")));
        let plain = format!("dir:{}", dir.path().join("plain").display());
        skopeo(&[flag, "--dest-decompress"], &from, &plain);
        skopeo(&["--preserve-digests"], &plain, &format!("docker://{name}"));
        let store = BlobDir::create(&dir.path().join("store")).unwrap();
        let image = client().pull(&reference(&name), &Platform::host(), &store).unwrap();
        assert_eq!((image.format, image.layers().len()), (format, 2));
        for layer in image.layers() {
            assert_eq!(layer.descriptor.media_type, MediaType::Layer(format, Compression::None));
            assert_eq!(layer.descriptor.digest, layer.diff_id.0, "the bytes of the archive itself");
            assert!(store.has(&layer.descriptor.digest));
        }
        let app = registry.name(&format!("app:{format:?}"));
        let build = Build::new(&format!("FROM {name}\nRUN echo ours > /ours\n")).arg(format!("--destination={app}"));
        let built = build.run();
        assert!(built.status.success(), "{}", built.stderr());
        let unpacked = image::unpack(&format!("docker://{app}"));
        assert_eq!(std::fs::read_to_string(unpacked.tree().join("ours")).unwrap(), "ours\n");
        assert!(unpacked.tree().join("bin/busybox").exists());
    }
}
