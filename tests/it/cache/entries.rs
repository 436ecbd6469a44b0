//! Entries that are broken, foreign, old or not there: a build does what it would do without them, and says so.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{cached, done, essence, outcome, ran};
use crate::support::executor::{Build, Built};
use crate::support::registry::{Registry, free_port};
use crate::support::{bases, image, mkfifo, run, scratch};
use crate::warmer::digest_of;

const FILE: &str = "FROM base\nRUN echo one > /one\nRUN cat /one > /two\n";
const STEPS: [&str; 2] = ["RUN echo one > /one", "RUN cat /one > /two"];

fn build(repo: &str) -> Build {
    cached(FILE, repo)
}

/// The directories of the entries in a cache of layouts.
fn layouts(dir: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.join("index.json").exists()).collect()
}

#[test]
fn an_entry_that_is_not_what_it_was_is_not_used() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let first = done(build(&repo));
    let spoil = |change: &dyn Fn(&Path)| {
        layouts(dir.path()).iter().for_each(|layout| change(layout));
        let built = done(build(&repo));
        ran(&built, &STEPS);
        assert!(built.stderr().contains("is not used"), "{}", built.stderr());
        // It was replaced.
        ran(&done(build(&repo)), &[]);
    };
    let blobs = |layout: &Path| fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    spoil(&|layout| blobs(layout).for_each(|blob| fs::write(blob, "x").unwrap()));
    spoil(&|layout| {
        let digest = image::manifest(layout)["layers"][0]["digest"].as_str().unwrap().to_owned();
        let path = image::blob_path(layout, &digest);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
    });
    spoil(&|layout| fs::write(layout.join("index.json"), "{").unwrap());
    spoil(&|layout| fs::remove_file(layout.join("oci-layout")).unwrap());
    // Each under the name of the other.
    let all = layouts(dir.path());
    let aside = dir.path().join("aside");
    fs::rename(&all[0], &aside).unwrap();
    fs::rename(&all[1], &all[0]).unwrap();
    fs::rename(&aside, &all[1]).unwrap();
    let built = done(build(&repo));
    ran(&built, &STEPS);
    assert!(built.stderr().contains("the entry of another key"), "{}", built.stderr());
    assert_eq!(essence(&first.layout())["config"]["history"], essence(&built.layout())["config"]["history"]);
}

/// The keys of a build's steps.
fn keys(built: &Built) -> Vec<String> {
    let explained: Value = serde_json::from_slice(&fs::read(built.dir().join("explained")).unwrap()).unwrap();
    let steps = explained["steps"].as_array().unwrap().iter();
    steps.map(|step| step["key"].as_str().unwrap().to_owned()).collect()
}

fn explained(repo: &str) -> Build {
    let build = build(repo);
    let path = build.dir().join("explained");
    build.arg(format!("--cache-explain={}", path.display()))
}

#[test]
fn what_is_wrong_in_a_registry_is_a_miss() {
    let registry = Registry::start();
    let repo = registry.name("c/cache");
    let keys = keys(&done(explained(&repo)));
    // Somebody's image under the name of an entry.
    image::copy(&format!("oci:{}:latest", bases::busybox().display()), &format!("docker://{repo}:{}", keys[0]));
    let built = done(explained(&repo));
    ran(&built, &STEPS[..1]);
    assert!(built.stderr().contains("it has"), "{}", built.stderr());
    // A layer that is gone, and one whose bytes are others; it shows when it is unpacked, and then the step is carried out.
    let layer = |key: &str| {
        let (_, manifest) =
            registry.get(&format!("/v2/c/cache/manifests/{key}"), "application/vnd.oci.image.manifest.v1+json");
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        registry.blob_path(manifest["layers"][0]["digest"].as_str().unwrap())
    };
    let other = cached("FROM base\nRUN echo one > /one\nRUN cat /one > /three\n", &repo);
    let mut bytes = fs::read(layer(&keys[0])).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(layer(&keys[0]), bytes).unwrap();
    let built = done(other);
    assert!(built.stderr().contains("cannot be unpacked"), "{}", built.stderr());
    let unpacked = image::unpack(&format!("oci:{}", built.layout().display()));
    assert_eq!(fs::read(unpacked.tree().join("three")).unwrap(), b"one\n");
    fs::remove_file(layer(&keys[1])).unwrap();
    let built = done(explained(&repo));
    assert!(outcome(&built).1.contains(&STEPS[1].to_owned()), "{}", built.stderr());
}

/// Replaces a document of a layout by another, in what names it too.
fn rewrite(layout: &Path, change: impl Fn(&mut Value)) {
    let put = |document: &Value, descriptor: &mut Value| {
        let bytes = serde_json::to_vec(document).unwrap();
        fs::write(image::blob_path(layout, &digest_of(&bytes)), &bytes).unwrap();
        descriptor["digest"] = digest_of(&bytes).into();
        descriptor["size"] = bytes.len().into();
    };
    let mut manifest = image::manifest(layout);
    let config = image::blob_path(layout, manifest["config"]["digest"].as_str().unwrap());
    let mut config: Value = serde_json::from_slice(&fs::read(config).unwrap()).unwrap();
    change(&mut config);
    put(&config, &mut manifest["config"]);
    let mut index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    put(&manifest, &mut index["manifests"][0]);
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn a_layer_that_does_not_hold_what_its_entry_says_is_in_no_image() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let first = done(build(&repo));
    for layout in layouts(dir.path()) {
        rewrite(&layout, |config| config["rootfs"]["diff_ids"][0] = digest_of(b"something else").into());
    }
    // Nothing is unpacked here, so nobody else would notice.
    let built = done(build(&repo));
    ran(&built, &STEPS);
    assert!(built.stderr().contains("is not used") && built.stderr().contains("holds"), "{}", built.stderr());
    let diff_ids = |built: &Built| essence(&built.layout())["config"]["rootfs"]["diff_ids"].clone();
    assert_eq!(diff_ids(&built)[0], diff_ids(&first)[0]);
    ran(&done(build(&repo)), &[]);
}

#[test]
fn what_lies_below_a_layer_that_is_broken_is_used() {
    let registry = Registry::start();
    let repo = registry.name("c/cache");
    let file =
        |last: &str| format!("FROM base\nRUN echo 1 > /1\nRUN echo 2 > /2\nRUN echo 3 > /3\nRUN cat /1 > /{last}\n");
    let built = done(cached(&file("x"), &repo));
    let manifest = image::manifest(&built.layout());
    let second = manifest["layers"].as_array().unwrap().iter().rev().nth(2).unwrap();
    let path = registry.blob_path(second["digest"].as_str().unwrap());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&path, bytes).unwrap();
    let built = done(cached(&file("y"), &repo));
    let (hits, _) = outcome(&built);
    // Twice, since the build began anew.
    assert_eq!(hits.iter().filter(|step| **step == "RUN echo 1 > /1").count(), 2, "{}", built.stderr());
    assert!(outcome(&built).1.ends_with(&["RUN echo 2 > /2", "RUN echo 3 > /3", "RUN cat /1 > /y"].map(str::to_owned)));
    let unpacked = image::unpack(&format!("oci:{}", built.layout().display()));
    assert_eq!(fs::read(unpacked.tree().join("y")).unwrap(), b"1\n");
}

#[test]
fn what_never_ends_in_a_directory_holds_nobody_up() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    done(build(&repo));
    let pipe = |path: &Path| {
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        mkfifo(path);
    };
    let both = layouts(dir.path());
    pipe(&both[0]);
    pipe(&both[1].join("index.json"));
    for newest in fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if newest.extension().is_some_and(|extension| extension == "json") {
            pipe(&newest);
        }
    }
    ran(&done(build(&repo)), &STEPS);
    // They are replaced. A document without an end is as good as none.
    ran(&done(build(&repo)), &[]);
    fs::File::create(both[0].join("index.json")).unwrap().set_len(1 << 40).unwrap();
    let blob = fs::read_dir(both[1].join("blobs/sha256")).unwrap().next().unwrap().unwrap().path();
    pipe(&blob);
    ran(&done(build(&repo)), &STEPS);
}

#[test]
fn an_entry_is_good_for_its_time() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    done(build(&repo));
    ran(&done(build(&repo).arg("--cache-ttl=1h")), &[]);
    let built = done(build(&repo).arg("--cache-ttl=1ms"));
    ran(&built, &STEPS);
    assert!(built.stderr().contains("too old"), "{}", built.stderr());
}

#[test]
fn a_cache_that_may_not_be_written_is_read() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().join("made").display());
    let read_only = |repo: &str| build(repo).arg("--no-push-cache");
    ran(&done(read_only(&repo)), &STEPS);
    assert!(!dir.path().join("made").exists());
    done(build(&repo));
    let before = layouts(&dir.path().join("made"));
    ran(&done(read_only(&repo)), &[]);
    let other = cached("FROM base\nRUN echo other > /one\n", &repo).arg("--no-push-cache");
    ran(&done(other), &["RUN echo other > /one"]);
    assert_eq!(layouts(&dir.path().join("made")), before);
}

#[test]
fn without_a_cache_there_is_a_warning_and_an_image() {
    let built = done(build(&format!("127.0.0.1:{}/x/cache", free_port())));
    ran(&built, &STEPS);
    assert_eq!(built.stderr().matches("is not read").count(), 1, "{}", built.stderr());
    let file = scratch();
    fs::write(file.path().join("file"), "").unwrap();
    let built = done(build(&format!("oci:{}", file.path().join("file").display())));
    ran(&built, &STEPS);
    assert!(built.stderr().contains("is not in the cache"), "{}", built.stderr());
}

#[test]
fn a_step_that_changes_nothing_is_known_too() {
    let (registry, dir) = (Registry::start(), scratch());
    for repo in [registry.name("c/cache"), format!("oci:{}", dir.path().display())] {
        let build = || cached("FROM base\nRUN true\nWORKDIR /etc\nRUN echo x > x\n", &repo);
        let first = done(build());
        let second = done(build());
        ran(&second, &[]);
        assert_eq!(essence(&first.layout()), essence(&second.layout()));
    }
}

#[test]
fn builds_that_share_a_cache_do_not_disturb_each_other() {
    let (registry, dir) = (Registry::start(), scratch());
    for repo in [registry.name("c/cache"), format!("oci:{}", dir.path().display())] {
        let running: Vec<_> = (0..4).map(|_| build(&repo).start()).collect();
        for built in running.into_iter().map(|running| running.finish()) {
            let stderr = built.stderr();
            let complaints = ["is not used", "is not read", "is not in the cache", "cannot be unpacked"];
            assert!(built.status.success() && !complaints.iter().any(|what| stderr.contains(what)), "{stderr}");
        }
        ran(&done(build(&repo)), &[]);
    }
}

#[test]
fn formats_and_compressions_do_not_mix() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let docker = |build: Build| build.arg("--image-format=docker");
    done(build(&repo));
    let built = done(docker(build(&repo)));
    ran(&built, &[]);
    let types = image::manifest(&built.layout());
    let types: Vec<_> = types["layers"].as_array().unwrap().iter().map(|layer| layer["mediaType"].clone()).collect();
    assert!(types.iter().all(|kind| kind == "application/vnd.docker.image.rootfs.diff.tar.gzip"), "{types:?}");
    let built = done(build(&repo).arg("--compression=zstd"));
    ran(&built, &STEPS);
    ran(&done(build(&repo).arg("--compression=zstd")), &[]);
}

#[test]
fn what_a_base_says_of_itself_does_not_count() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().join("cache").display());
    done(build(&repo));
    // The same layers with other labels, annotations and times.
    let other = dir.path().join("other");
    image::copy(&format!("oci:{}:latest", bases::busybox().display()), &format!("oci:{}:latest", other.display()));
    let config = ["--config.label=a=b", "--created=2001-02-03T04:05:06Z", "--manifest.annotation=c=d"];
    run(std::process::Command::new("umoci")
        .arg("config")
        .args(config)
        .args(["--image", &format!("{}:latest", other.display())]));
    let again = Build::new(FILE).base("base", &other).args(["--cache", "--no-push", &format!("--cache-repo={repo}")]);
    let built = done(again);
    ran(&built, &[]);
    let labels = &essence(&built.layout())["config"]["config"]["Labels"];
    assert_eq!(labels["a"], "b");
}
