//! The executor's image in a container engine, with a context, a registry and a base: where most tests of a container begin.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::container::Engine;
use super::executor::EXECUTOR;
use super::registry::Registry;
use super::{Machine, bases, image, machine, scratch};

/// The program in the container must not need the machine's libraries, and sees nothing of the machine but these mounts.
pub struct Trial {
    /// With the image `silt`.
    pub engine: Engine,
    pub registry: Registry,
    /// With the Dockerfile, and `file`.
    pub context: tempfile::TempDir,
    /// The busybox base in that registry.
    pub base: String,
    _machine: fs::File,
}

/// One of this Dockerfile.
pub fn trial(dockerfile: &str) -> Trial {
    trial_on(Machine::Shared, dockerfile)
}

/// The same, with a say in who else uses the machine.
pub fn trial_on(wanted: Machine, dockerfile: &str) -> Trial {
    let machine = machine(wanted);
    let (engine, registry, context) = (Engine::new(), Registry::start(), scratch());
    engine.executor_image(Path::new(EXECUTOR), "silt");
    fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
    fs::write(context.path().join("file"), "x").unwrap();
    let base = registry.name("base:1");
    image::copy(&format!("oci:{}:latest", bases::busybox().display()), &format!("docker://{base}"));
    Trial { engine, registry, context, base, _machine: machine }
}

impl Trial {
    /// `podman run` with the context at /workspace and the base as a layout at /base, both read-only.
    pub fn container(&self, options: &[&str]) -> Command {
        let mut command = self.engine.container();
        command.arg("--volume").arg(format!("{}:/workspace:ro", self.context.path().display()));
        command.arg("--volume").arg(format!("{}:/base:ro", bases::busybox().display()));
        command.args(options).arg("silt");
        command
    }

    /// The same with the program's arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.container(&[]);
        command.args(args);
        command
    }
}
