//! Where the image goes: registries, archives, layouts, digest files.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::support::container::Engine;
use crate::support::executor::Build;
use crate::support::registry::Registry;
use crate::support::tree::{Times, assert_same, list};
use crate::support::{bases, image, run};

const DOCKERFILE: &str = "FROM base\nCOPY . /context/\nRUN echo made > /made\n";

fn build() -> Build {
    Build::new(DOCKERFILE).base("base", &bases::busybox()).file("a", "a").file("dir/b", "b")
}

#[test]
fn every_destination_gets_the_same_image_and_so_do_the_files() {
    let registry = Registry::start();
    let (one, two) = (registry.name("one:1"), registry.name("deep/er/two:2"));
    let build = build().args([format!("--destination={one}"), format!("--destination={two}")]);
    let place = |name: &str| build.dir().join(name).display().to_string();
    let (layout, digest_file) = (place("layout"), place("digest"));
    let options = [format!("--oci-layout-path={layout}"), format!("--digest-file={digest_file}")];
    let built = build.args(options).succeed();
    let expected = list(&built.root(), Times::Exact);
    for from in [format!("docker://{one}"), format!("docker://{two}"), format!("oci:{layout}")] {
        assert_same(&expected, &list(&image::unpack(&from).tree(), Times::Exact), &from);
    }
    let digest = fs::read_to_string(digest_file).unwrap();
    assert_eq!(digest.trim_end().len(), "sha256:".len() + 64, "{digest:?}");
    assert_eq!(registry.manifest_status("one", digest.trim_end()), 200);
    assert_eq!(registry.manifest_status("deep/er/two", digest.trim_end()), 200);
    let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
    let (_, manifest) = registry.get("/v2/one/manifests/1", accept);
    let hash = Sha256::digest(manifest.as_bytes()).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    assert_eq!(digest.trim_end(), format!("sha256:{hash}"));
}

#[test]
fn an_archive_loads_under_the_names_of_its_destinations() {
    let build =
        build().args(["--destination=localhost/first:1", "--destination=example.test/second/name:2", "--no-push"]);
    let archive = build.dir().join("image.tar");
    let built = build.arg(format!("--tar-path={}", archive.display())).succeed();
    let engine = Engine::new();
    assert_eq!(engine.load(&archive), ["example.test/second/name:2", "localhost/first:1"]);
    let script = ["run", "--rm", "--network=host", "localhost/first:1", "cat", "/made", "/context/dir/b"];
    assert_eq!(run(engine.podman().args(script)), "made\nb");
    let unpacked = image::unpack(&format!("docker-archive:{}:localhost/first:1", archive.display()));
    assert_same(&list(&unpacked.tree(), Times::Exact), &list(&built.root(), Times::Exact), "archive, build root");
}

#[test]
fn a_digest_file_is_written_in_place() {
    let build = build().arg("--no-push");
    let (file, link) = (build.dir().join("digest"), build.dir().join("link"));
    fs::write(&file, "x".repeat(200)).unwrap();
    symlink(&file, &link).unwrap();
    let inode = fs::metadata(&file).unwrap().ino();
    let built = build.arg(format!("--digest-file={}", link.display())).succeed();
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let digest = fs::read_to_string(&file).unwrap();
    assert_eq!(digest.trim_end().len(), 71, "{digest:?}");
    drop(built);
}

#[test]
fn a_digest_file_may_be_a_bind_mount() {
    let build = build().arg("--no-push");
    let (file, place) = (build.dir().join("digest"), build.dir().join("termination-log"));
    fs::write(&file, "").unwrap();
    fs::write(&place, "").unwrap();
    // In a mount namespace of its own, so that nothing is left mounted.
    let script = format!("mount --bind {} {} && exec \"$@\"", file.display(), place.display());
    let digest = format!("--digest-file={}", place.display());
    let built = build.arg(digest).through(&["unshare", "--mount", "sh", "-c", &script, "sh"]).succeed();
    assert!(fs::read_to_string(file).unwrap().starts_with("sha256:"));
    drop(built);
}

#[test]
fn labels_and_arguments_of_the_command_line_reach_the_image() {
    let dockerfile = "ARG TAG=none\nFROM base\nARG TAG\nARG OTHER=default\nENV SAID=$TAG-${OTHER:-x}-${NONE:-y}${TAG:+z}\nRUN echo \"$SAID $OTHER\" > /said\nLABEL a=1 b=2\n";
    let build = Build::new(dockerfile).base("base", &bases::busybox()).args([
        "--build-arg=TAG=t",
        "--label=b=3",
        "--label",
        "c=4",
    ]);
    let layout = build.dir().join("layout");
    let built = build.args([format!("--oci-layout-path={}", layout.display()), "--no-push".into()]).succeed();
    assert_eq!(fs::read_to_string(built.root().join("said")).unwrap(), "t-default-yz default\n");
    let config = image::unpack(&format!("oci:{}", layout.display())).config();
    assert_eq!(config["config"]["Labels"], serde_json::json!({"a": "1", "b": "3", "c": "4"}));
}

#[test]
fn the_layers_of_the_base_are_passed_through_untouched() {
    let registry = Registry::start();
    let name = registry.name("app:1");
    drop(build().arg(format!("--destination={name}")).succeed());
    let first = image::unpack(&format!("docker://{name}"));
    drop(build().arg(format!("--destination={name}")).succeed());
    let second = image::unpack(&format!("docker://{name}"));
    for layer in 0..2 {
        assert_eq!(first.manifest()["layers"][layer]["digest"], second.manifest()["layers"][layer]["digest"]);
        let base = image::manifest(&bases::busybox())["layers"][layer]["digest"].clone();
        assert_eq!(first.manifest()["layers"][layer]["digest"], base);
    }
}

#[test]
fn timings_can_be_switched_off() {
    let build = build().arg("--no-push");
    let work = build.dir().to_owned();
    let built = build.through(&["env", "-C", &work.display().to_string(), "BENCHMARK_FILE=false"]).succeed();
    assert!(!work.join("false").exists() && !work.join("benchmark.json").exists());
    drop(built);
}

#[test]
fn the_program_is_static() {
    let said = Command::new("ldd").arg(crate::support::executor::EXECUTOR).output().unwrap();
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.contains("statically linked") || said.contains("not a dynamic executable"), "{said}");
}

#[test]
fn layers_are_compressed_as_asked() {
    let registry = Registry::start();
    let name = registry.name("zstd:1");
    let asked = ["--compression=zstd".to_owned(), "--compression-level=7".to_owned(), format!("--destination={name}")];
    let built = build().args(asked).succeed();
    let accept = "application/vnd.oci.image.manifest.v1+json";
    let (_, manifest) = registry.get("/v2/zstd/manifests/1", accept);
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let types: Vec<_> =
        manifest["layers"].as_array().unwrap().iter().rev().take(2).map(|layer| &layer["mediaType"]).collect();
    assert_eq!(types, ["application/vnd.oci.image.layer.v1.tar+zstd"; 2]);
    let engine = Engine::new();
    let script = ["run", "--rm", "--network=host", "--tls-verify=false", &name, "cat", "/made", "/context/dir/b"];
    assert_eq!(run(engine.podman().args(script)), "made\nb");
    assert!(built.root().join("made").exists());
    let refused = build().args(["--compression=zstd", "--image-format=docker", "--no-push"]);
    refused.fail(1, &["--compression=zstd", "--image-format=docker"]);
    build().args(["--compression-level=10", "--no-push"]).fail(1, &["--compression-level=10", "1 to 9"]);
}
