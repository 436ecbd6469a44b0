//! Executors that find their base images in the directory, and what they do where they do not.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{Scene, asked};
use crate::support::{image, run};

#[test]
fn a_digest_needs_no_registry_and_a_tag_only_the_headers_of_its_manifest() {
    let scene = Scene::new();
    let digest = scene.warm_base();
    let counted = scene.counting();
    let built = scene.build(&counted.name(&format!("base@{digest}"))).succeed();
    assert_eq!(asked(&counted), Vec::<String>::new(), "{}", built.stderr());
    assert!(built.root().join("made").exists() && built.root().join("etc").exists());
    scene.build(&counted.name("base:1")).succeed();
    assert_eq!(asked(&counted), ["HEAD /v2/base/manifests/1"]);
    // Neither does a stage that copies from it, nor one that needs no files.
    let from = counted.name(&format!("base@{digest}"));
    let text = format!("FROM scratch AS none\nFROM {from}\nENV A=b\nCOPY --from={from} /etc/passwd /copied\n");
    let build = crate::support::executor::Build::new(&text).args([
        "--no-push",
        "--cache",
        "--cache-repo=oci:/nowhere/layers",
        "--no-push-cache",
    ]);
    build.arg(format!("--cache-dir={}", scene.cache().display())).succeed();
    assert_eq!(asked(&counted).len(), 1, "{:?}", asked(&counted));
}

#[test]
fn without_the_flag_the_directory_is_not_looked_into() {
    let scene = Scene::new();
    let digest = scene.warm_base();
    let counted = scene.counting();
    scene.build(&counted.name(&format!("base@{digest}"))).arg("--cache=false").succeed();
    assert_eq!(asked(&counted).len(), 4, "{:?}", asked(&counted));
}

#[test]
fn layers_are_pushed_from_the_directory() {
    let (scene, elsewhere) = (Scene::new(), crate::support::registry::Registry::start());
    let digest = scene.warm_base();
    let counted = scene.counting();
    let text = format!("FROM {}\nENV A=b\n", counted.name(&format!("base@{digest}")));
    let destination = elsewhere.name("app:1");
    let build = crate::support::executor::Build::new(&text).args(["--cache", "-d", &destination]);
    let built = build.arg(format!("--cache-dir={}", scene.cache().display())).run();
    assert!(built.status.success(), "{}", built.stderr());
    assert_eq!(asked(&counted), Vec::<String>::new());
    assert!(image::unpack(&format!("docker://{destination}")).tree().join("bin/sh").exists());
}

#[test]
fn what_is_corrupt_is_named_and_pulled() {
    let scene = Scene::new();
    let digest = scene.warm_base();
    let entry = scene.entry(&digest);
    let manifest: serde_json::Value = serde_json::from_slice(&scene.raw("base:1")).unwrap();
    let blob = |descriptor: &serde_json::Value| image::blob_path(&entry, descriptor["digest"].as_str().unwrap());
    let cases = [
        (blob(&manifest["layers"][0]), "a layer in", 1),
        (blob(&manifest["config"]), "the base image in", 3),
        (image::blob_path(&entry, &digest), "the base image in", 3),
    ];
    let aside = scene.dir.path().join("aside");
    for (path, expected, blobs) in cases {
        for change in ["other", "cut", "link", "gone"] {
            fs::rename(&path, &aside).unwrap();
            let bytes = fs::read(&aside).unwrap();
            match change {
                "other" => fs::write(&path, bytes.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap(),
                "cut" => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
                "link" => std::os::unix::fs::symlink(&aside, &path).unwrap(),
                _ => {}
            }
            let counted = scene.counting();
            let built = scene.build(&counted.name(&format!("base@{digest}"))).run();
            let stderr = built.stderr();
            assert!(built.status.success(), "{change}: {stderr}");
            assert!(stderr.contains(expected) && stderr.contains("is pulled"), "{change} {path:?}: {stderr}");
            assert!(built.root().join("bin/sh").exists() && built.root().join("made").exists());
            let pulled = asked(&counted).iter().filter(|line| line.contains("/blobs/")).count();
            assert_eq!(pulled, blobs, "only what cannot be used: {:?}", asked(&counted));
            fs::remove_file(&path).ok();
            fs::rename(&aside, &path).unwrap();
        }
    }
    scene.build(&scene.gateway.name(&format!("base@{digest}"))).succeed();
}

#[test]
fn what_is_too_old_is_ignored() {
    let scene = Scene::new();
    let digest = scene.warm_base();
    let old = SystemTime::now() - Duration::from_secs(400 * 3600);
    fs::File::open(scene.entry(&digest)).unwrap().set_modified(old).unwrap();
    let counted = scene.counting();
    let from = counted.name(&format!("base@{digest}"));
    let built = scene.build(&from).run();
    assert!(built.status.success() && !built.stderr().contains("cannot be used"), "{}", built.stderr());
    let pulled = asked(&counted).len();
    assert_eq!(pulled, 4, "{:?}", asked(&counted));
    scene.build(&from).arg("--cache-ttl=401h").succeed();
    assert_eq!(asked(&counted).len(), pulled);
}

#[test]
fn a_directory_that_is_read_only_missing_or_none_is_no_error() {
    let scene = Scene::new();
    let digest = scene.warm_base();
    let cache = scene.cache();
    let counted = scene.counting();
    let from = counted.name(&format!("base@{digest}"));
    let mount = |args: &[&str], dir: &Path| run(Command::new("mount").args(args).arg(&cache).arg(dir));
    let place = scene.dir.path().join("read-only");
    fs::create_dir(&place).unwrap();
    mount(&["--bind", "-o", "ro"], &place);
    let built = scene.build(&from).arg(format!("--cache-dir={}", place.display())).run();
    run(Command::new("umount").arg(&place));
    assert!(built.status.success(), "{}", built.stderr());
    assert_eq!(asked(&counted), Vec::<String>::new());
    let file = scene.dir.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [scene.dir.path().join("missing"), file] {
        let before = asked(&counted).len();
        let built = scene.build(&from).arg(format!("--cache-dir={}", dir.display())).run();
        assert!(built.status.success() && !built.stderr().contains("cannot be used"), "{dir:?}: {}", built.stderr());
        assert_eq!(asked(&counted).len() - before, 4, "pulled");
        assert!(!scene.dir.path().join("missing").exists(), "nothing is made");
    }
}
