//! What goes wrong ends with one line that names the place, a non-zero exit, and nothing published.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::support::executor::Build;
use crate::support::registry::{Registry, free_port};
use crate::support::{bases, image};

/// Fails a build with a registry as its destination and checks that no manifest was published.
fn check(dockerfile: &str, code: i32, said: &[&str]) {
    let registry = Registry::start();
    let build =
        Build::new(dockerfile).base("base", &bases::busybox()).file("there", "x").file(".dockerignore", "ignored\n");
    let destination = format!("--destination={}", registry.name("never:1"));
    drop(build.file("ignored", "x").arg(destination).fail(code, said));
    assert_eq!(registry.manifest_status("never", "1"), 404);
}

#[test]
fn the_exit_code_of_a_step_is_passed_on() {
    check("FROM base\nRUN echo 1 > /one\nRUN exit 7\n", 7, &["Dockerfile:3", "exit 7", "7"]);
    check("FROM base\nRUN [\"/bin/false\"]\n", 1, &["Dockerfile:2"]);
    check("FROM base\nRUN kill -9 $$\n", 137, &["Dockerfile:2"]);
    check("FROM base\nRUN [\"/no/such/program\"]\n", 127, &["Dockerfile:2", "/no/such/program"]);
}

#[test]
fn a_dockerfile_that_cannot_be_understood_names_its_line() {
    check("FROM base\n\nBUILD something\n", 1, &["Dockerfile:3", "BUILD"]);
    check("FROM base\nCOPY one\n", 1, &["Dockerfile:2"]);
    check("RUN before from\n", 1, &["Dockerfile:1"]);
    check("FROM base\nENV a=\"${x:?no value}\"\n", 1, &["Dockerfile:2", "no value"]);
    check("FROM base\nCOPY --from=later /a /b\nFROM base AS later\n", 1, &["Dockerfile:2"]);
}

#[test]
fn what_is_not_there_yet_is_an_error_and_never_ignored() {
    check("FROM base\nRUN --device=a true\n", 1, &["Dockerfile:2", "--device"]);
    check("FROM base\nADD git@nowhere.test:a/b.git /x\n", 1, &["Dockerfile:2", "SSH", "https://"]);
    check("FROM base\nENV u=https://nowhere.test/r.git\nADD $u /x\n", 1, &["Dockerfile:3", "git"]);
}

#[test]
fn a_source_that_is_missing_is_named_with_its_line() {
    check("FROM base\nCOPY there missing /to/\n", 1, &["Dockerfile:2", "missing"]);
    check("FROM base\nCOPY ignored /to/\n", 1, &["Dockerfile:2", "ignored"]);
    check("FROM base\nCOPY ../outside /to/\n", 1, &["Dockerfile:2", "outside"]);
    check("FROM base AS a\nFROM base\nCOPY --from=a /no/such /to/\n", 1, &["Dockerfile:3", "/no/such"]);
    check("FROM base\nCOPY there there /not-a-directory\n", 1, &["Dockerfile:2"]);
}

#[test]
fn a_registry_that_does_not_answer_is_named() {
    let port = free_port();
    let place = format!("127.0.0.1:{port}");
    let pulled = Build::new(&format!("FROM {place}/some:1\n")).args(["--no-push", "--insecure-pull"]);
    drop(pulled.fail(1, &["Dockerfile:1", &place]));
    let pushed = Build::new("FROM base\nRUN echo > /x\n").base("base", &bases::busybox());
    drop(pushed.args([format!("--destination={place}/some:1"), "--insecure".into()]).fail(1, &[&place]));
}

#[test]
fn a_missing_base_image_is_named() {
    let registry = Registry::start();
    let name = registry.name("nothing/here:1");
    drop(Build::new(&format!("FROM {name}\n")).args(["--no-push"]).fail(1, &["Dockerfile:1", &name]));
}

#[test]
fn a_blob_whose_bytes_are_not_those_of_its_digest_is_refused() {
    let registry = Registry::start();
    for blob in 0..2 {
        let dir = crate::support::scratch();
        let layout = corrupted(&bases::busybox(), dir.path(), blob);
        let build = Build::new("FROM base\nRUN echo > /x\n").base("base", &layout);
        let destination = format!("--destination={}", registry.name("never:1"));
        drop(build.arg(destination).fail(1, &["Dockerfile:1", "sha256:"]));
        assert_eq!(registry.manifest_status("never", "1"), 404);
    }
}

/// A copy of a layout with one byte of a layer changed.
fn corrupted(layout: &Path, dir: &Path, layer: usize) -> PathBuf {
    let copy = dir.join("layout");
    image::copy(&format!("oci:{}:latest", layout.display()), &format!("oci:{}:latest", copy.display()));
    let digest = image::manifest(&copy)["layers"][layer]["digest"].as_str().unwrap().to_owned();
    let path = image::blob_path(&copy, &digest);
    let blob = fs::File::options().read(true).write(true).open(path).unwrap();
    let (mut byte, middle) = ([0], blob.metadata().unwrap().len() / 2);
    blob.read_exact_at(&mut byte, middle).unwrap();
    blob.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    copy
}

#[test]
fn timings_are_written_at_failure_too() {
    let built = Build::new("FROM base\nRUN echo > /x\nRUN exit 3\n")
        .base("base", &bases::busybox())
        .arg("--no-push")
        .fail(3, &[]);
    assert_eq!(built.steps("RUN")[0]["line"], 2);
    assert!(built.timings()["totals"]["wall_ns"].as_u64().unwrap() > 0);
}

#[test]
fn a_build_without_a_destination_must_say_so() {
    drop(Build::new("FROM base\n").base("base", &bases::busybox()).fail(1, &["--destination", "--no-push"]));
}
