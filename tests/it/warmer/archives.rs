//! What kaniko's own warmers write is read, and what is written here leaves it as it is.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{Scene, asked, fault};
use crate::support::{image, run};

/// Puts `base:1` into the directory as kaniko 1.24 does: an archive with the blobs of the registry, and the manifest beside it.
fn as_kaniko(scene: &Scene) -> String {
    let (digest, raw) = (scene.digest("base:1"), scene.raw("base:1"));
    fs::create_dir_all(scene.cache()).unwrap();
    let layout = scene.dir.path().join("layout");
    image::copy(&format!("docker://{}", scene.registry.name("base:1")), &format!("oci:{}:x", layout.display()));
    let manifest: serde_json::Value = serde_json::from_slice(&raw).unwrap();
    let files = scene.dir.path().join("files");
    fs::create_dir_all(&files).unwrap();
    let place = |digest: &str, name: &str| {
        fs::copy(image::blob_path(&layout, digest), files.join(name)).unwrap();
    };
    let config = manifest["config"]["digest"].as_str().unwrap();
    place(config, config);
    let layers = manifest["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap());
    let name = |digest: &str| format!("{}.tar.gz", digest.strip_prefix("sha256:").unwrap());
    let names: Vec<String> = layers.inspect(|digest| place(digest, &name(digest))).map(name).collect();
    let list = serde_json::json!([{"Config": config, "RepoTags": ["base:1"], "Layers": names}]);
    fs::write(files.join("manifest.json"), list.to_string()).unwrap();
    run(Command::new("tar")
        .arg("-cf")
        .arg(scene.kanikos(&digest))
        .arg("-C")
        .arg(&files)
        .args([config])
        .args(&names)
        .arg("manifest.json"));
    fs::write(scene.cache().join(format!("{digest}.json")), raw).unwrap();
    digest
}

/// The same with skopeo, which does not keep the compression.
fn as_skopeo(scene: &Scene) -> String {
    let (digest, raw) = (scene.digest("base:1"), scene.raw("base:1"));
    fs::create_dir_all(scene.cache()).unwrap();
    let (archive, place) = (scene.dir.path().join("image.tar"), scene.kanikos(&digest));
    let to = format!("docker-archive:{}:a/b:c", archive.display());
    image::copy(&format!("docker://{}", scene.registry.name("base:1")), &to);
    fs::rename(&archive, place).unwrap();
    fs::write(scene.cache().join(format!("{digest}.json")), raw).unwrap();
    digest
}

fn builds_without_a_request(scene: &Scene, digest: &str) {
    let counted = scene.counting();
    let built = scene.build(&counted.name(&format!("base@{digest}"))).run();
    assert!(built.status.success(), "{}", built.stderr());
    assert_eq!(asked(&counted), Vec::<String>::new(), "{}", built.stderr());
    assert!(built.root().join("made").exists());
    assert!(scene.build(&counted.name("base:1")).run().status.success());
    assert_eq!(asked(&counted), ["HEAD /v2/base/manifests/1"]);
}

#[test]
fn an_archive_of_kaniko_is_read() {
    let scene = Scene::new();
    let digest = as_kaniko(&scene);
    builds_without_a_request(&scene, &digest);
}

#[test]
fn an_archive_with_other_compression_is_read() {
    let scene = Scene::new();
    let digest = as_skopeo(&scene);
    builds_without_a_request(&scene, &digest);
}

/// All that stands in the directory at names of kaniko's, and when it was last changed.
fn kanikos(scene: &Scene) -> Vec<(PathBuf, SystemTime)> {
    let all = fs::read_dir(scene.cache()).unwrap().map(|entry| entry.unwrap().path());
    let mut kanikos: Vec<_> = all.filter(|path| *path != scene.own()).collect();
    kanikos.sort();
    kanikos.into_iter().map(|path| (path.clone(), fs::metadata(path).unwrap().modified().unwrap())).collect()
}

#[test]
fn a_warmer_leaves_all_names_of_kaniko_alone() {
    let scene = Scene::new();
    let digest = scene.warm_base();
    assert_eq!(kanikos(&scene), []);
    assert_eq!(fault(&scene.entry(&digest)), None);
    fs::remove_dir_all(scene.own()).unwrap();
    // An archive that is whole serves both.
    as_kaniko(&scene);
    let (archive, before) = (scene.kanikos(&digest), kanikos(&scene));
    let bytes = fs::read(&archive).unwrap();
    let warm = || scene.warm(&["-i", &scene.registry.name("base:1")]);
    let said = scene.warm(&["-i", &scene.counting().name("base:1")]);
    assert!(said.contains("is there already") && !scene.entry(&digest).exists(), "{said}");
    builds_without_a_request(&scene, &digest);
    // One that is too old or broken has an entry of ours beside it, and stays what it was.
    let old = SystemTime::now() - Duration::from_secs(400 * 3600);
    fs::File::open(&archive).unwrap().set_modified(old).unwrap();
    let said = warm();
    assert!(said.contains("Stored") && fault(&scene.entry(&digest)).is_none(), "{said}");
    assert_eq!((fs::read(&archive).unwrap(), kanikos(&scene).len()), (bytes.clone(), before.len()));
    assert_eq!(fs::metadata(&archive).unwrap().modified().unwrap(), old);
    fs::remove_dir_all(scene.own()).unwrap();
    fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    let spoilt = kanikos(&scene);
    let said = warm();
    assert!(said.contains("is corrupt and is left to kaniko") && fault(&scene.entry(&digest)).is_none(), "{said}");
    assert_eq!((fs::read(&archive).unwrap().len(), kanikos(&scene)), (bytes.len() / 2, spoilt));
    builds_without_a_request(&scene, &digest);
    // And where ours is the broken one, kaniko's is used.
    fs::write(&archive, &bytes).unwrap();
    fs::write(scene.entry(&digest).join("blobs").join(digest.replace(':', "/")), "x").unwrap();
    builds_without_a_request(&scene, &digest);
}

#[test]
fn an_archive_that_cannot_be_checked_or_is_another_is_pulled_instead() {
    let scene = Scene::new();
    let digest = as_kaniko(&scene);
    let (entry, beside) = (scene.kanikos(&digest), scene.cache().join(format!("{digest}.json")));
    let (archive, manifest) = (fs::read(&entry).unwrap(), fs::read(&beside).unwrap());
    let pulls = |what: &str| {
        let counted = scene.counting();
        let built = scene.build(&counted.name(&format!("base@{digest}"))).run();
        assert!(built.status.success(), "{what}: {}", built.stderr());
        assert!(built.stderr().contains("is pulled") && !asked(&counted).is_empty(), "{what}: {}", built.stderr());
        fs::write(&entry, &archive).unwrap();
        fs::write(&beside, &manifest).unwrap();
    };
    fs::remove_file(&beside).unwrap();
    pulls("no manifest");
    fs::write(&beside, String::from_utf8(manifest.clone()).unwrap() + " ").unwrap();
    pulls("another manifest");
    fs::write(&entry, &archive[..archive.len() / 2]).unwrap();
    pulls("half an archive");
    let mut other = archive.clone();
    // Somewhere in the layers, which are nearly all of it.
    let at = other.len() / 2;
    other[at] ^= 1;
    fs::write(&entry, other).unwrap();
    pulls("another byte");
    fs::write(&entry, "").unwrap();
    pulls("nothing");
}

#[test]
fn a_layout_of_kanikos_fork_is_read() {
    let scene = Scene::new();
    let digest = scene.digest("base:1");
    let name = format!("docker://{}", scene.registry.name("base:1"));
    // As go-containerregistry writes it, with the manifest's own bytes.
    fs::create_dir_all(scene.cache()).unwrap();
    let made = scene.dir.path().join("made");
    let to = format!("oci:{}:{}", made.display(), "index.docker.io/library/base");
    run(Command::new("skopeo").args(["copy", "--quiet", "--preserve-digests", "--src-tls-verify=false", &name, &to]));
    fs::rename(made, scene.kanikos(&digest)).unwrap();
    builds_without_a_request(&scene, &digest);
    let said = scene.warm(&["-i", &scene.gateway.name("base:1")]);
    assert!(said.contains("is there already"), "{said}");
}
