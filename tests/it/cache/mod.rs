//! The layer cache as a user meets it: builds that share a registry or a directory, and what the second one does and does not do.

mod agreement;
mod entries;
mod explain;
mod keys;
mod kills;
mod laziness;
mod requests;
mod straying;
mod watching;

use std::path::Path;

use serde_json::Value;

use crate::support::executor::{Build, Built};
use crate::support::{bases, image};

/// A build with a cache whose COPY and ADD are cached too, of a Dockerfile that may begin with `FROM base`.
fn cached(dockerfile: &str, repo: &str) -> Build {
    Build::new(dockerfile)
        .base("base", &bases::busybox())
        .args(["--cache", "--cache-copy-layers", "--no-push"])
        .arg(format!("--cache-repo={repo}"))
}

/// Runs a build and expects success. Its root need not hold the image.
fn done(build: Build) -> Built {
    let built = build.run();
    assert!(built.status.success(), "{}", built.stderr());
    image::check_layers(&built.layout());
    built
}

/// The steps that the cache had, and those that were carried out, by the first words of their instructions.
fn outcome(built: &Built) -> (Vec<String>, Vec<String>) {
    let timings = built.timings();
    let steps = timings["steps"].as_array().expect("steps").iter();
    let is_of_files = |step: &&Value| {
        let text = step["instruction"].as_str().unwrap_or_default();
        ["RUN", "COPY", "ADD", "WORKDIR"].iter().any(|name| text.starts_with(name))
    };
    let (hits, runs): (Vec<&Value>, Vec<&Value>) = steps.filter(is_of_files).partition(|step| step["cached"] == true);
    let names =
        |steps: Vec<&Value>| steps.iter().map(|step| step["instruction"].as_str().unwrap().to_owned()).collect();
    (names(hits), names(runs))
}

/// Expects that a build carried out just these steps.
fn ran(built: &Built, expected: &[&str]) {
    assert_eq!(outcome(built).1, expected, "{}", built.stderr());
}

/// What an image is, but for the times of the build.
fn essence(layout: &Path) -> Value {
    let manifest = image::manifest(layout);
    let digest = manifest["config"]["digest"].as_str().unwrap().to_owned();
    let mut config: Value = serde_json::from_slice(&std::fs::read(image::blob_path(layout, &digest)).unwrap()).unwrap();
    config.as_object_mut().unwrap().remove("created");
    for row in config["history"].as_array_mut().unwrap() {
        row.as_object_mut().unwrap().remove("created");
    }
    serde_json::json!({"config": config, "layers": manifest["layers"], "type": manifest["mediaType"]})
}
