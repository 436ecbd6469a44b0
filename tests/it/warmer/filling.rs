//! What the warmer writes, with which requests, and how it ends.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{Scene, asked, digest_of, entries, fault, said};
use crate::platforms::several;
use crate::support::gateway::{Gateway, Verdict};
use crate::support::nginx::Nginx;
use crate::support::{image, mkfifo, run};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[test]
fn an_entry_is_a_layout_that_others_read_and_is_the_image_of_the_registry() {
    let scene = Scene::new();
    let digest = scene.warm_base();
    let entry = scene.entry(&digest);
    assert_eq!(fault(&entry), None);
    let inspect = ["inspect", "--raw"];
    let raw = run(Command::new("skopeo").args(inspect).arg(scene.layout(&digest)));
    assert_eq!(raw.into_bytes(), scene.raw("base:1"));
    let mode = fs::metadata(&entry).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o755, "others read it too");
    let tree = image::unpack(&scene.layout(&digest));
    assert!(tree.tree().join("bin/sh").exists());
}

#[test]
fn what_is_there_costs_one_request_for_a_tag_and_none_for_a_digest() {
    let scene = Scene::new();
    let digest = scene.warm_base();
    let again = scene.counting();
    let said = scene.warm(&["-i", &again.name("base:1"), "-i", &again.name(&format!("base@{digest}"))]);
    assert_eq!(asked(&again), ["HEAD /v2/base/manifests/1"], "{said}");
    assert_eq!(said.matches("is there already").count(), 2, "{said}");
    let forced = scene.counting();
    scene.warm(&["-f", "-i", &forced.name("base:1")]);
    let blobs = asked(&forced).iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!((blobs, fault(&scene.entry(&digest))), (3, None), "configuration and two layers: {:?}", asked(&forced));
}

#[test]
fn a_layer_that_another_image_has_is_not_pulled_again() {
    let scene = Scene::new();
    scene.warm_base();
    let built = scene.build(&scene.registry.name("base:1")).arg(format!("-d={}", scene.registry.name("child:1")));
    built.arg("--no-push=false").succeed();
    let gateway = scene.counting();
    scene.warm(&["-i", &gateway.name("child:1")]);
    let blobs = asked(&gateway).into_iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!(blobs, 2, "its configuration and its own layer: {:?}", asked(&gateway));
    assert_eq!(fault(&scene.entry(&scene.digest("child:1"))), None);
}

#[test]
fn of_an_index_the_image_of_the_platform_is_stored() {
    let scene = Scene::new();
    let layout = scene.dir.path().join("several");
    several(&layout, &["linux/amd64", "linux/arm64", "linux/arm/v6"]);
    let multi = format!("docker://{}", scene.registry.name("multi:1"));
    let from = format!("oci:{}", layout.display());
    let listed = fs::read(layout.join("index.json")).unwrap();
    fs::write(image::blob_path(&layout, &digest_of(&listed)), &listed).unwrap();
    let entry = serde_json::json!({"mediaType": INDEX, "digest": digest_of(&listed), "size": listed.len()});
    let outer = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(layout.join("index.json"), outer.to_string()).unwrap();
    run(Command::new("skopeo").args(["copy", "--quiet", "--all", "--dest-tls-verify=false", &from, &multi]));
    let index: serde_json::Value = serde_json::from_slice(&scene.raw("multi:1")).unwrap();
    let of = |architecture: &str| {
        let entries = index["manifests"].as_array().unwrap();
        let found = entries.iter().find(|entry| entry["platform"]["architecture"] == architecture).unwrap();
        found["digest"].as_str().unwrap().to_owned()
    };
    for (platform, architecture) in [("linux/arm64", "arm64"), ("linux/arm/v6", "arm")] {
        scene.warm(&["-i", &scene.gateway.name("multi:1"), &format!("--customPlatform={platform}")]);
        assert_eq!(fault(&scene.entry(&of(architecture))), None, "{platform}");
    }
    assert_eq!(entries(&scene.own()).len(), 2, "no entry for the index itself, which kaniko would take for an image");
    // The index is known too, so that its digest needs no registry, and its tag only the headers.
    let counted = scene.counting();
    let by_digest = counted.name(&format!("multi@{}", scene.digest("multi:1")));
    for (platform, expected) in [("linux/arm64", "linux/arm64"), ("linux/arm/v6", "linux/arm/v6")] {
        for from in [&by_digest, &counted.name("multi:1")] {
            let build = crate::support::executor::Build::new(&format!("FROM {from}\nCOPY Dockerfile /d\n"));
            let build = build.args([
                "--no-push",
                "--cache",
                "--cache-repo=oci:/nowhere/layers",
                "--no-push-cache",
                &format!("--custom-platform={platform}"),
            ]);
            let built = build.arg(format!("--cache-dir={}", scene.cache().display())).succeed();
            assert_eq!(fs::read_to_string(built.root().join("which")).unwrap(), expected);
        }
    }
    assert_eq!(asked(&counted), ["HEAD /v2/multi/manifests/1"; 2]);
    scene.build(&by_digest).arg("--custom-platform=linux/s390x").fail(1, &["linux/s390x"]);
}

#[test]
fn a_dockerfile_names_its_images() {
    let scene = Scene::new();
    for name in ["other:1", "tools:2"] {
        let built =
            scene.build(&scene.registry.name("base:1")).args(["--no-push=false", "--label"]).arg(format!("a={name}"));
        built.args(["-d", &scene.registry.name(name)]).succeed();
    }
    let host = scene.registry.name("");
    let text = format!(
        "ARG TAG=none\nARG HOST={host}\nFROM ${{HOST}}base:$TAG AS first\nFROM first\nRUN true\nFROM scratch\n\
         COPY --from={host}tools:2 /made /made\nCOPY --from=first /made /first\nFROM ${{HOST}}other:1\n"
    );
    let dockerfile = scene.dir.path().join("Dockerfile");
    fs::write(&dockerfile, &text).unwrap();
    let path = dockerfile.display().to_string();
    let expected: Vec<String> = ["base:1", "other:1", "tools:2"].map(|name| scene.digest(name)).to_vec();
    let check = |args: &[&str]| {
        let said = scene.warm(args);
        let missing: Vec<_> = expected.iter().filter(|digest| fault(&scene.entry(digest)).is_some()).collect();
        assert!(missing.is_empty(), "{missing:?}: {said}");
        assert_eq!(entries(&scene.own()).len(), 3, "{said}");
        fs::remove_dir_all(scene.cache()).unwrap();
    };
    check(&["--dockerfile", &path, "--build-arg=TAG=1"]);
    let served = text.replace('\n', "\\n").replace('$', "%");
    let nginx = Nginx::start(move |port, _| {
        let body = served.replace('%', "${dollar}");
        format!(
            "geo $dollar {{ default \"$\"; }} server {{ listen 127.0.0.1:{port}; location /D {{ return 200 \"{body}\"; }} }}"
        )
    });
    check(&["-d", &format!("http://{}", nginx.name("D")), "--build-arg=TAG=1"]);
    let refused = |text: &str, parts: &[&str]| {
        fs::write(&dockerfile, text).unwrap();
        let done = scene.warmer(&["-d", &path]).output().unwrap();
        assert_eq!(done.status.code(), Some(1));
        assert!(parts.iter().all(|part| said(&done).contains(part)), "{}", said(&done));
    };
    refused("FROM a\nRUNN x\n", &["Dockerfile:2", "RUNN"]);
    refused("FROM ${X:?none}\n", &["Dockerfile:1", "none"]);
    fs::remove_file(&dockerfile).unwrap();
    let done = scene.warmer(&["-d", &path]).output().unwrap();
    assert!(done.status.code() == Some(1) && said(&done).contains("--dockerfile="), "{}", said(&done));
}

#[test]
fn it_fails_only_if_every_image_failed_and_says_which_did() {
    let scene = Scene::new();
    let (good, bad) = (scene.registry.name("base:1"), scene.registry.name("none:1"));
    let said_of = scene.warm(&["-i", &bad, "-i", &good, "-i", "Not A Name"]);
    let last = said_of.lines().last().unwrap();
    assert!(last.contains("2 of 3") && last.contains(&bad) && last.contains("Not A Name"), "{said_of}");
    let done = scene.warmer(&["-i", &bad]).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let last = said(&done).lines().last().unwrap().to_owned();
    assert!(last.starts_with("error: ") && last.contains(&bad), "{last}");
    let done = scene.warmer(&[]).output().unwrap();
    assert!(done.status.code() == Some(1) && said(&done).contains("--image"), "{}", said(&done));
}

#[test]
fn warmers_of_one_image_wait_for_each_other_and_pull_it_once() {
    let scene = Scene::new();
    let slow = Gateway::start(scene.registry.port(), |request| {
        if request.target.contains("/blobs/") {
            std::thread::sleep(Duration::from_millis(200));
        }
        Verdict::Forward
    });
    let name = slow.name("base:1");
    let running: Vec<_> = (0..4).map(|_| scene.warmer(&["-i", &name]).spawn().unwrap()).collect();
    for mut warmer in running {
        assert!(warmer.wait().unwrap().success());
    }
    let manifest: serde_json::Value = serde_json::from_slice(&scene.raw("base:1")).unwrap();
    for layer in manifest["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        assert_eq!(asked(&slow).iter().filter(|line| line.contains(digest)).count(), 1, "{:?}", asked(&slow));
    }
    assert_eq!(fault(&scene.entry(&scene.digest("base:1"))), None);
}

#[test]
fn an_entry_that_is_corrupt_is_replaced_and_one_that_is_old_renewed() {
    let scene = Scene::new();
    let digest = scene.warm_base();
    let entry = scene.entry(&digest);
    let manifest: serde_json::Value = serde_json::from_slice(&scene.raw("base:1")).unwrap();
    let layer = image::blob_path(&entry, manifest["layers"][1]["digest"].as_str().unwrap());
    let config = image::blob_path(&entry, manifest["config"]["digest"].as_str().unwrap());
    let own = image::blob_path(&entry, &digest);
    for spoilt in [&layer, &config, &own, &entry.join("index.json"), &entry.join("oci-layout")] {
        for change in ["cut", "gone", "other"] {
            match change {
                "cut" if *spoilt != entry.join("oci-layout") => {
                    fs::write(spoilt, &fs::read(spoilt).unwrap()[..3]).unwrap()
                }
                "other" if spoilt.starts_with(entry.join("blobs")) => {
                    let mut bytes = fs::read(spoilt).unwrap();
                    bytes[10] ^= 1;
                    fs::write(spoilt, bytes).unwrap();
                }
                "gone" => fs::remove_file(spoilt).unwrap(),
                _ => continue,
            }
            assert!(fault(&entry).is_some(), "{change} {spoilt:?}: the tests' own check sees nothing");
            let gateway = scene.counting();
            let said = scene.warm(&["-i", &gateway.name("base:1")]);
            assert!(said.contains("corrupt") && said.contains(&digest), "{change} {spoilt:?}: {said}");
            assert_eq!(fault(&entry), None, "{change} {spoilt:?}: {said}");
            let layers = asked(&gateway).iter().filter(|line| line.contains("/blobs/")).count();
            assert!(layers <= 2, "what is whole is not pulled again: {:?}", asked(&gateway));
        }
    }
    let old = SystemTime::now() - Duration::from_secs(400 * 3600);
    fs::File::open(&entry).unwrap().set_modified(old).unwrap();
    let gateway = scene.counting();
    let said = scene.warm(&["-i", &gateway.name("base:1")]);
    assert!(said.contains("counts as new"), "{said}");
    assert_eq!(asked(&gateway), ["HEAD /v2/base/manifests/1"]);
    assert!(fs::metadata(&entry).unwrap().modified().unwrap() > old + Duration::from_secs(3600));
    let left: Vec<_> = fs::read_dir(scene.own()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_str().unwrap().starts_with(".warming-")), "{left:?}");
}

#[test]
fn what_a_killed_warmer_left_goes_and_what_a_running_one_makes_stays() {
    let scene = Scene::new();
    let [left, held] = ["left", "held"].map(|name| scene.own().join(format!(".warming-{name}")));
    fs::create_dir_all(left.join("blobs/sha256")).unwrap();
    fs::create_dir(&held).unwrap();
    let lock = fs::File::open(&held).unwrap();
    lock.lock().unwrap();
    // Nobody is at the other end of a pipe, and a warmer does not wait for one.
    let pipe = scene.own().join(".warming-pipe");
    mkfifo(&pipe);
    scene.warm_base();
    assert!(!left.exists() && held.exists() && !pipe.exists());
}

#[test]
fn a_signal_ends_it_and_leaves_nothing() {
    let scene = Scene::new();
    let stuck = Gateway::start(scene.registry.port(), |request| match request.target.contains("/blobs/") {
        true => Verdict::Stall(100),
        false => Verdict::Forward,
    });
    let mut warmer = scene.warmer(&["-i", &stuck.name("base:1")]).spawn().unwrap();
    while asked(&stuck).iter().filter(|line| line.contains("/blobs/")).count() < 1 {
        std::thread::sleep(Duration::from_millis(10));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&warmer), rustix::process::Signal::TERM).unwrap();
    assert_eq!(warmer.wait().unwrap().code(), Some(143));
    let left = fs::read_dir(scene.own()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_str().unwrap().starts_with(".warming-")));
}
