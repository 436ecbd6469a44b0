//! A container engine with Docker's default capabilities, its seccomp filter and an overlay root, its store private to one test.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{repository, run, scratch};

/// The capabilities that Docker gives a container, and no others.
pub const CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SYS_CHROOT",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
];

/// The same as the kernel's mask, for `CapEff` of /proc/self/status.
pub const CAPABILITY_MASK: &str = "00000000a80425fb";

/// podman with a store of its own.
pub struct Engine {
    dir: tempfile::TempDir,
    /// In a place of its own, since podman refuses a run root whose path is longer than 50 bytes.
    run: tempfile::TempDir,
}

impl Engine {
    /// Writes the configuration that works where cgroups are hybrid and resource limits may not be raised.
    pub fn new() -> Engine {
        let dir = scratch();
        let limits = "default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]";
        let capabilities = format!("default_capabilities = {CAPABILITIES:?}");
        let engine = "runtime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"";
        let text = format!("[containers]\n{limits}\n{capabilities}\n[engine]\n{engine}\n");
        fs::write(dir.path().join("containers.conf"), text).unwrap();
        fs::write(dir.path().join("policy.json"), "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}").unwrap();
        Engine { dir, run: tempfile::tempdir().unwrap() }
    }

    /// podman with the arguments that say where its things are.
    pub fn podman(&self) -> Command {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", self.dir.path().join("containers.conf"));
        command.arg("--root").arg(self.dir.path().join("root")).arg("--runroot").arg(self.run.path());
        command.args(["--storage-driver", "overlay", "--tmpdir"]).arg(self.run.path().join("tmp"));
        command
    }

    /// `podman run` as a cluster would start the container: the network of the host, Docker's capabilities.
    pub fn container(&self) -> Command {
        let mut command = self.podman();
        command.args(["run", "--network=host", "--pull=never", "--cap-drop=all"]);
        command.args(CAPABILITIES.map(|name| format!("--cap-add={name}")));
        command
    }

    /// Loads an archive and returns the names that the engine then knows.
    pub fn load(&self, archive: &Path) -> Vec<String> {
        run(self.podman().arg("load").arg("--input").arg(archive));
        let names = run(self.podman().args(["images", "--format", "{{.Repository}}:{{.Tag}}"]));
        let mut names: Vec<_> = names.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Makes an image from images/Dockerfile with this program as the executor.
    pub fn executor_image(&self, executor: &Path, tag: &str) {
        let context = self.dir.path().join("context");
        run(Command::new(repository().join("scripts/image-root.sh")).arg(executor).arg(&context));
        self.build_image(&repository().join("images/Dockerfile"), &context, tag);
    }

    /// Makes an image from any Dockerfile without RUN.
    pub fn build_image(&self, dockerfile: &Path, context: &Path, tag: &str) {
        let policy = format!("--signature-policy={}", self.dir.path().join("policy.json").display());
        let mut command = self.podman();
        command.args(["build", "--isolation=chroot", "--format=docker", &policy, "--tag", tag, "--file"]);
        run(command.arg(dockerfile).arg(context));
    }

    /// Has the pods of a manifest run, with what else it says. Their containers are called POD-CONTAINER.
    pub fn play(&self, manifest: &str) {
        let file = self.dir.path().join("manifest.yaml");
        fs::write(&file, manifest).unwrap();
        run(self.podman().args(["kube", "play"]).arg(&file));
    }

    /// Waits for the end of a container; its exit code and what it said.
    pub fn ended(&self, name: &str) -> (i32, String) {
        let code = run(self.podman().args(["wait", name]));
        let said = self.podman().args(["logs", name]).output().unwrap();
        let said = [said.stdout, said.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        (code.trim().parse().unwrap(), said)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Whatever a failed test left running must not keep its directory busy.
        self.podman().args(["pod", "rm", "--all", "--force", "--time=0"]).output().ok();
        self.podman().args(["rm", "--all", "--force", "--time=0"]).output().ok();
    }
}

#[test]
fn a_container_has_docker_s_capabilities_its_filter_and_an_overlay_root() {
    let _machine = super::machine(super::Machine::Shared);
    let engine = Engine::new();
    engine.executor_image(Path::new("/bin/busybox"), "stand-in");
    let script = "grep -e CapEff -e Seccomp: /proc/self/status; grep ' / ' /proc/self/mounts";
    let stand_in = ["--volume=/bin/busybox:/busybox:ro", "--entrypoint=[\"/busybox\"]", "stand-in"];
    let said = run(engine.container().args(stand_in).args(["ash", "-c", script]));
    assert!(said.contains(&format!("CapEff:\t{CAPABILITY_MASK}\nSeccomp:\t2\n")), "{said}");
    assert!(said.contains("overlay / overlay"), "{said}");
}
