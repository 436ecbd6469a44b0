//! Base images in a directory: the warmer that fills it, executors that read it, and kaniko beside them.

mod archives;
mod filling;
mod reading;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::executor::Build;
use crate::support::gateway::{Gateway, Verdict};
use crate::support::registry::Registry;
use crate::support::{bases, image, run, scratch};

const WARMER: &str = env!("CARGO_BIN_EXE_warmer");

/// A registry with images, a server before it that counts, and a directory to fill.
pub struct Scene {
    pub registry: Registry,
    gateway: Gateway,
    pub dir: tempfile::TempDir,
}

impl Scene {
    /// One with the busybox base at `base:1`.
    fn new() -> Scene {
        Scene::below(scratch())
    }

    pub fn below(dir: tempfile::TempDir) -> Scene {
        let registry = Registry::start();
        image::copy(
            &format!("oci:{}:latest", bases::busybox().display()),
            &format!("docker://{}", registry.name("base:1")),
        );
        let gateway = Gateway::start(registry.port(), |_| Verdict::Forward);
        Scene { registry, gateway, dir }
    }

    /// The directory.
    pub fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// A server that has counted nothing yet.
    fn counting(&self) -> Gateway {
        Gateway::start(self.registry.port(), |_| Verdict::Forward)
    }

    /// The digest of what a name stands for in the registry.
    pub fn digest(&self, name: &str) -> String {
        digest_of(&self.raw(name))
    }

    /// Its manifest or index.
    fn raw(&self, name: &str) -> Vec<u8> {
        let mut command = Command::new("skopeo");
        command.args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{}", self.registry.name(name))]);
        run(&mut command).into_bytes()
    }

    /// Where the entry of a digest is.
    fn entry(&self, digest: &str) -> PathBuf {
        self.own().join(digest)
    }

    /// The directory of silt's own in it.
    pub fn own(&self) -> PathBuf {
        self.cache().join("silt")
    }

    /// Where kaniko has its entry.
    fn kanikos(&self, digest: &str) -> PathBuf {
        self.cache().join(digest)
    }

    /// An entry under a name that skopeo does not take apart at a colon.
    fn layout(&self, digest: &str) -> String {
        let link = self.dir.path().join("entry");
        fs::remove_file(&link).ok();
        std::os::unix::fs::symlink(self.entry(digest), &link).unwrap();
        format!("oci:{}", link.display())
    }

    /// A command that warms this directory.
    pub fn warmer(&self, args: &[&str]) -> Command {
        let mut command = Command::new(WARMER);
        command.arg(format!("--cache-dir={}", self.cache().display())).args(args).stdin(Stdio::null());
        command
    }

    /// Warms and expects success; what it said.
    pub fn warm(&self, args: &[&str]) -> String {
        let done = self.warmer(args).output().unwrap();
        assert!(done.status.success(), "{}", said(&done));
        said(&done)
    }

    /// Warms `base:1` by way of the gateway and returns its digest.
    fn warm_base(&self) -> String {
        self.warm(&["-i", &self.gateway.name("base:1")]);
        self.digest("base:1")
    }

    /// A build from an image that may use the directory.
    fn build(&self, from: &str) -> Build {
        let build = Build::new(&format!("FROM {from}\nRUN echo made > /made\n"));
        build
            .args(["--no-push", "--cache", "--cache-repo=oci:/nowhere/layers", "--no-push-cache"])
            .arg(format!("--cache-dir={}", self.cache().display()))
    }
}

fn said(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// The digest of bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// What was asked for besides `/v2/`.
fn asked(gateway: &Gateway) -> Vec<String> {
    let lines = gateway.requests().into_iter().map(|request| request.line());
    lines.filter(|line| !line.ends_with(" /v2/")).collect()
}

/// Why an entry is not the image of its name, read without the program under test.
pub fn fault(entry: &Path) -> Option<String> {
    let digest = entry.file_name().unwrap().to_str().unwrap();
    match listed(entry) {
        Ok(listed) if listed == digest => layout_fault(entry),
        Ok(listed) => Some(format!("index.json names {listed}")),
        Err(error) => Some(error),
    }
}

/// Why a directory is not a layout of a whole image, likewise.
pub fn layout_fault(entry: &Path) -> Option<String> {
    let check = || -> Result<(), String> {
        read(&entry.join("oci-layout"))?;
        let named = |digest: &str| -> Result<Vec<u8>, String> {
            let bytes = read(&entry.join("blobs").join(digest.replace(':', "/")))?;
            if digest_of(&bytes) == digest { Ok(bytes) } else { Err(format!("{digest} has other bytes")) }
        };
        let manifest: Value = serde_json::from_slice(&named(&listed(entry)?)?).map_err(|e| e.to_string())?;
        let mut blobs = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
        blobs.try_for_each(|blob| named(blob["digest"].as_str().unwrap()).map(drop))
    };
    check().err()
}

/// The digest that a layout lists.
fn listed(entry: &Path) -> Result<String, String> {
    let index: Value = serde_json::from_slice(&read(&entry.join("index.json"))?).map_err(|e| e.to_string())?;
    Ok(index["manifests"][0]["digest"].as_str().unwrap_or_default().to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The entries that have a digest for a name.
fn entries(cache: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(cache).into_iter().flatten().map(|entry| entry.unwrap().path());
    names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("sha256:")).collect()
}
