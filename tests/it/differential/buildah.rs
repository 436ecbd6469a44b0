//! buildah with a store of its own: chroot isolation and vfs, whose layers are whole trees that can be read where they lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::around::{Around, System};
use super::outcome::Outcome;
use crate::support::tree::{Times, list};
use crate::support::{run, scratch};

/// Where the store is: Debian's files are so many that a disk takes minutes to remove them.
fn store(system: System) -> tempfile::TempDir {
    match (system, tempfile::tempdir_in("/dev/shm")) {
        (System::Debian, Ok(memory)) => memory,
        _ => scratch(),
    }
}

/// A store that has a system as `base`.
pub struct Buildah {
    store: tempfile::TempDir,
}

impl Buildah {
    /// A new store.
    pub fn new(around: &Around) -> Buildah {
        let buildah = Buildah { store: store(around.system) };
        buildah.pull(&format!("oci:{}:latest", around.system.layout().display()), "base");
        if let Some(triggers) = &around.triggers {
            buildah.pull(&format!("docker-archive:{}", triggers.archive().display()), "triggers");
        }
        buildah
    }

    fn pull(&self, from: &str, name: &str) {
        let id = run(self.command().args(["pull", "--quiet", from]));
        run(self.command().args(["tag", id.trim(), &format!("localhost/{name}:latest")]));
    }

    fn command(&self) -> Command {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(self.root()).arg("--runroot").arg(self.store.path().join("run"));
        command.args(["--storage-driver", "vfs"]);
        command
    }

    fn root(&self) -> PathBuf {
        self.store.path().join("root")
    }

    /// Builds a context, and returns what came out, or what it said.
    pub fn build(&self, name: &str, context: &Path, args: &[String], times: Times) -> Result<Outcome, String> {
        let tag = format!("localhost/{}", name.to_lowercase());
        let mut command = self.command();
        command.args(["build", "--isolation=chroot", "--format=docker", "--pull=false", "--tag", &tag]);
        command.arg("--file").arg(context.join("Dockerfile"));
        let done = command.args(args).arg(context).output().unwrap();
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        let said = run(self.command().args(["inspect", "--type=image", &tag]));
        let image: Value = serde_json::from_str(&said).unwrap();
        let outcome = Outcome::new(list(&self.tree(&tag), times), &image["Docker"]);
        run(self.command().args(["rmi", &tag]));
        Ok(outcome)
    }

    /// How long it takes to build a Dockerfile of these files again, with nothing changed: the best of three.
    pub fn rebuild(&self, dockerfile: &str, files: &[(&str, &str)]) -> Duration {
        let context = scratch();
        for (name, content) in files.iter().chain(&[("Dockerfile", dockerfile)]) {
            fs::write(context.path().join(name), content).unwrap();
        }
        let build = || {
            let started = Instant::now();
            let args = ["build", "--isolation=chroot", "--layers", "--pull=false", "--tag=localhost/again"];
            run(self.command().args(args).arg(context.path()));
            started.elapsed()
        };
        build();
        (0..3).map(|_| build()).min().unwrap()
    }

    /// Where the store has the whole tree of an image.
    fn tree(&self, tag: &str) -> PathBuf {
        let images = fs::read(self.root().join("vfs-images/images.json")).unwrap();
        let images: Value = serde_json::from_slice(&images).unwrap();
        let named =
            |image: &&Value| image["names"].as_array().is_some_and(|names| names.iter().any(|name| has_tag(name, tag)));
        let image = images.as_array().unwrap().iter().find(named).unwrap_or_else(|| panic!("no {tag} in the store"));
        let Some(layer) = image["layer"].as_str() else {
            let none = self.store.path().join("none");
            fs::create_dir_all(&none).unwrap();
            return none;
        };
        self.root().join("vfs/dir").join(layer)
    }
}

fn has_tag(name: &Value, tag: &str) -> bool {
    name.as_str() == Some(&format!("{tag}:latest"))
}
