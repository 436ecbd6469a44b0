//! Builds in `/` of a small machine of a test's own: a directory that is the root of a mount namespace, so that a step can
//! mount, and the context can lie in `/` without being a mount.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::executor::{Build, EXECUTOR};
use crate::support::image::Unpacked;
use crate::support::{Machine, bases, image, machine, scratch};

/// A root with our program in it, a context, and what is mounted there before the build.
struct Little {
    dir: tempfile::TempDir,
    _machine: fs::File,
}

/// Makes `$1` the root of a mount namespace and runs the rest there; what the namespace mounts goes with it. The program's
/// path exists only in that root, so it can never work on the root of the machine that runs the test.
const ENTER: &str = "set -eu; root=$1; layout=$2; before=$3; shift 3
mount --bind \"$root\" \"$root\"; mount -t proc proc \"$root/proc\"; mount --bind -o ro \"$layout\" \"$root/layout\"
cd \"$root\"; eval \"$before\"
exec chroot \"$root\" \"$@\"";

impl Little {
    fn new(context: &str, dockerfile: &str) -> Little {
        let machine = machine(Machine::Shared);
        let dir = scratch();
        let root = dir.path().join("root");
        for name in ["proc", "layout", "dev", "our-own-program", context] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy(EXECUTOR, root.join("our-own-program/executor")).unwrap();
        fs::write(root.join(context).join("Dockerfile"), dockerfile).unwrap();
        fs::write(root.join(context).join("file"), "of the context").unwrap();
        Little { dir, _machine: machine }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Builds in `/` after the commands `before`, which see the root as `.`.
    fn build(&self, context: &str, layout: &Path, before: &str, args: &[&str]) -> Output {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "sh", "-c", ENTER, "enter"]).arg(self.root()).arg(layout);
        command.args([before, "/our-own-program/executor", "--force", "--kaniko-dir=/our-own-program"]);
        command.env("BENCHMARK_FILE", "/our-own-program/benchmark.json");
        // What the machine trusts is not in this root.
        command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
        command.args(["--build-context=base=oci-layout:///layout:latest", "--no-push"]);
        command.args(["--oci-layout-path=/our-own-program/out", &format!("--context=/{context}")]).args(args);
        command.output().unwrap()
    }

    fn succeed(&self, context: &str, layout: &Path, before: &str, args: &[&str]) -> (Unpacked, String) {
        let output = self.build(context, layout, before, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}\n{said}", output.status);
        let out = self.root().join("our-own-program/out");
        (image::unpack(&format!("oci:{}", out.display())), said)
    }

    fn steps(&self) -> Vec<Value> {
        let text = fs::read(self.root().join("our-own-program/benchmark.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["steps"].as_array().unwrap().clone()
    }
}

/// An image of one file below another base, as a layout.
fn layout_with(dockerfile: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = scratch();
    let layout = dir.path().join("layout");
    let build = Build::new(dockerfile).base("base", &bases::busybox()).file("file", "of the base");
    let args =
        ["--no-push".into(), "--destination=made:latest".into(), format!("--oci-layout-path={}", layout.display())];
    drop(build.args(args).succeed());
    (dir, layout)
}

#[test]
fn a_mount_that_a_step_leaves_is_not_entered() {
    let dockerfile = "FROM base\nRUN mkdir /mnt && mount -t tmpfs t /mnt && echo secret > /mnt/inside && echo 1 > /one\n\
        RUN echo 2 > /two; echo more > /mnt/more\nRUN umount /mnt && echo 3 > /three\nRUN echo 4 > /mnt/four\n";
    for (mode, usual) in
        [("--recorder=auto", "fanotify"), ("--recorder=sweep", "sweep"), ("--snapshot-mode=full", "full")]
    {
        let little = Little::new("workspace", dockerfile);
        let (image, said) = little.succeed("workspace", &bases::busybox(), ":", &[mode]);
        let layers = image.layer_names();
        let layers: Vec<Vec<&str>> =
            layers[2..].iter().map(|names| names.iter().map(String::as_str).collect()).collect();
        assert_eq!(
            layers,
            [vec!["one"], vec!["two"], vec!["mnt/", "three"], vec!["mnt/", "mnt/four"]],
            "{mode}: {said}"
        );
        assert_eq!(said.matches("mnt is a mount that a step left behind").count(), 1, "{mode}: {said}");
        let recorders: Vec<_> =
            little.steps().iter().map(|step| step["recorder"].as_str().unwrap().to_owned()).collect();
        let after_a_loss = if usual == "fanotify" { "sweep" } else { usual };
        assert_eq!(recorders, [after_a_loss, usual, after_a_loss, usual], "{mode}");
    }
}

#[test]
fn a_mount_over_what_an_earlier_step_wrote_ends_a_build_that_looks_once() {
    let dockerfile = "FROM base\nRUN mkdir /mnt && echo 1 > /mnt/one\nRUN mount -t tmpfs t /mnt\n";
    let little = Little::new("workspace", dockerfile);
    let output = little.build("workspace", &bases::busybox(), ":", &["--single-snapshot"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("Dockerfile:3: RUN mount") && last.contains("the step left /mnt mounted"), "{said}");
}

#[test]
fn a_mount_with_a_name_of_any_bytes_is_left_alone() {
    let before = r#"name=$(printf 'm\377\n1'); mkdir "$name"; mount -t tmpfs t "$name"; echo secret > "$name/inside""#;
    let little =
        Little::new("workspace", "FROM base\nRUN echo 1 > /one\nRUN echo more > /m*/more; ls /m*/inside > /seen\n");
    let (image, said) = little.succeed("workspace", &bases::busybox(), before, &["--snapshot-mode=full"]);
    assert_eq!(image.layer_names()[2..], [vec!["one"], vec!["seen"]], "{said}");
}

#[test]
fn a_context_in_the_root_is_not_overwritten_by_the_base() {
    let (_dir, layout) = layout_with("FROM base\nCOPY file /workspace/file\n");
    let little = Little::new("workspace", "FROM base\nRUN echo 1 > /one\n");
    let output = little.build("workspace", &layout, ":", &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    let parts = ["error: Dockerfile:1: FROM base", "/workspace/file", "the build context lies in /workspace"];
    parts.iter().for_each(|part| assert!(last.contains(part), "{said}"));
    assert_eq!(fs::read_to_string(little.root().join("workspace/file")).unwrap(), "of the context");
    // A volume stands in its own right: what the base has there is left out, as kaniko does.
    let (_, said) = little.succeed("workspace", &layout, "mount --bind workspace workspace", &[]);
    assert!(!said.contains("error"), "{said}");
}

/// What a step writes into the context's directory is in the image, what stood there is not, whatever the base did above.
#[test]
fn a_context_in_the_root_is_no_part_of_the_image_and_what_a_step_writes_there_is() {
    let steps = "RUN echo made > /data/context/made\nFROM base\nCOPY --from=0 /data/context/made /copied\nRUN true\n";
    let (_dir, layout) = layout_with("FROM base\nRUN mkdir -p /data/context /data/x\nRUN rm -r /data\n");
    for mode in ["full", "events"] {
        let little = Little::new("data/context", &format!("FROM base\n{steps}"));
        let (image, said) = little.succeed("data/context", &layout, ":", &[&format!("--snapshot-mode={mode}")]);
        assert_eq!(image.layer_names()[4..], [vec!["copied"]], "{mode}: {said}");
        let target = little.build("data/context", &layout, ":", &["--target=0"]);
        assert!(target.status.success(), "{}", String::from_utf8_lossy(&target.stderr));
        let first = image::unpack(&format!("oci:{}", little.root().join("our-own-program/out").display()));
        assert_eq!(first.layer_names()[4..], [vec!["data/", "data/context/", "data/context/made"]], "{mode}");
    }
}
