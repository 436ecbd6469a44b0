//! What podman pushes, in every form that it knows: pulled by the client, and built on.

use silt::oci::{Compression, Format, Image, MediaType, Platform};
use silt::store::BlobDir;

use super::scratch;
use crate::registry::{client, reference, sample};
use crate::support::container::Engine;
use crate::support::executor::Build;
use crate::support::registry::Registry;
use crate::support::{bases, run};

/// podman with the busybox base in its store, and the image's name there.
fn engine() -> (Engine, String) {
    let engine = Engine::new();
    let from = format!("oci:{}:latest", bases::busybox().display());
    let id = run(engine.podman().args(["pull", "--quiet", &from])).trim().to_owned();
    (engine, id)
}

fn push(engine: &Engine, id: &str, args: &[&str], name: &str) {
    let mut command = engine.podman();
    run(command.args(["push", "--quiet", "--tls-verify=false"]).args(args).args([id, &format!("docker://{name}")]));
}

/// The image as we pull it, every blob of which is there.
fn pulled(name: &str, platform: &Platform) -> Image {
    let dir = scratch();
    let store = BlobDir::create(dir.path()).unwrap();
    let image = client().pull(&reference(name), platform, &store).unwrap();
    assert!(image.layers().iter().all(|layer| store.has(&layer.descriptor.digest)));
    image
}

/// Builds on it and pushes what was made; podman runs that, with the base's files and ours.
fn can_be_built_on(engine: &Engine, name: &str, to: &str) {
    let built = Build::new(&format!("FROM {name}\nRUN echo ours > /ours\n")).arg(format!("--destination={to}")).run();
    assert!(built.status.success(), "{}", built.stderr());
    run(engine.podman().args(["pull", "--quiet", "--tls-verify=false", to]));
    assert_eq!(run(engine.podman().args(["run", "--rm", "--network=host", to, "cat", "/ours"])), "ours\n");
}

#[test]
fn its_images_are_pulled_and_built_on() {
    let (engine, id) = engine();
    for (format, compression, args) in [
        (Format::Oci, Compression::Gzip, ["--format=oci", "--compression-format=gzip"]),
        (Format::Oci, Compression::Zstd, ["--format=oci", "--compression-format=zstd"]),
        (Format::Docker, Compression::Gzip, ["--format=v2s2", "--compression-format=gzip"]),
    ] {
        // A registry of its own for each: podman takes a layer that it knows to be there in another form.
        let registry = Registry::start();
        let name = registry.name("podman/base:1");
        push(&engine, &id, &args, &name);
        let image = pulled(&name, &Platform::host());
        assert_eq!((image.format, image.layers().len()), (format, 2));
        let kinds = image.layers().iter().map(|layer| layer.descriptor.media_type.clone());
        assert!(
            kinds.clone().all(|kind| kind == MediaType::Layer(format, compression)),
            "{:?}",
            kinds.collect::<Vec<_>>()
        );
        can_be_built_on(&engine, &name, &registry.name("app:1"));
    }
}

#[test]
fn its_manifest_lists_give_the_image_of_the_platform() {
    let (registry, engine, sample) = (Registry::start(), Engine::new(), sample());
    let platforms = [Platform::host(), "linux/s390x".parse().unwrap()];
    for (number, platform) in platforms.iter().enumerate() {
        let mut image = sample.image.clone();
        image.config.set_platform(platform);
        client().push(&reference(&registry.name(&format!("single:{number}"))), &image, &sample.blobs).unwrap();
    }
    run(engine.podman().args(["manifest", "create", "ours"]));
    for number in 0..platforms.len() {
        let single = format!("docker://{}", registry.name(&format!("single:{number}")));
        run(engine.podman().args(["manifest", "add", "--tls-verify=false", "ours", &single]));
    }
    for (format, flag) in [(Format::Oci, "--format=oci"), (Format::Docker, "--format=v2s2")] {
        let name = registry.name(&format!("list:{format:?}"));
        let to = format!("docker://{name}");
        run(engine.podman().args(["manifest", "push", "--quiet", "--all", "--tls-verify=false", flag, "ours", &to]));
        let list = MediaType::Index(format);
        let (status, text) = registry.get(&format!("/v2/list/manifests/{format:?}"), list.as_str());
        assert!(status == 200 && text.contains(list.as_str()), "{status} {text}");
        for platform in &platforms {
            let image = pulled(&name, platform);
            assert_eq!((image.config.platform(), image.format), (platform.clone(), format));
        }
        can_be_built_on(&engine, &name, &registry.name("app:1"));
    }
}
