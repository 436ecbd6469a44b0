//! The executor where kaniko runs: in a container with Docker's capabilities and filter, building in the container's own root.

use std::fs;

use crate::support::container::CAPABILITY_MASK;
use crate::support::executor::Build;
use crate::support::tree::{Times, assert_same, list, moment};
use crate::support::trial::trial;
use crate::support::{bases, image, run};

const DOCKERFILE: &str = r#"FROM base AS tools
RUN mkdir /out && echo tool > /out/tool && rm -r /usr/share

FROM base
COPY . /context/
RUN rm /etc/motd && mv /opt/old /opt/new && echo made > /made && ln /made /also-made
RUN (setsid sleep 1004 > /dev/null 2>&1 &) ; chown -R 1000:1000 /home/user && chmod 4711 /made
COPY --from=tools /out/ /usr/local/
USER user
RUN id -u > ~/who
"#;

#[test]
fn a_build_in_the_root_of_a_container_is_that_of_a_build_root() {
    let since = moment();
    let trial = trial(DOCKERFILE);
    let name = trial.registry.name("in/container:1");
    let destination = format!("--destination={name}");
    run(&mut trial.command(&["--build-context=base=oci-layout:///base:latest", &destination, "--verbosity=debug"]));
    let inside = image::unpack(&format!("docker://{name}"));

    let outside = Build::new(DOCKERFILE).file("file", "x").base("base", &bases::busybox());
    let other = trial.registry.name("in/root:1");
    let built = outside.arg(format!("--destination={other}")).succeed();
    let reference = image::unpack(&format!("docker://{other}"));

    let times = Times::NewSince(since);
    assert_same(&list(&inside.tree(), times), &list(&reference.tree(), times), "container, build root");
    assert_same(&list(&built.root(), times), &list(&reference.tree(), times), "build root, its image");
    assert_eq!(inside.layer_names(), reference.layer_names());
    assert_eq!(inside.config()["config"], reference.config()["config"]);
}

#[test]
fn a_base_from_a_registry_and_the_short_command_line_of_kaniko_work() {
    let trial =
        trial("ARG BASE\nFROM $BASE\nRUN grep -e CapEff -e Seccomp: /proc/self/status > /status; ls / > /top\n");
    let name = trial.registry.name("short:1");
    let base = format!("BASE={}", trial.base);
    run(&mut trial.command(&["-f", "Dockerfile", "-c", "/workspace", "-d", &name, "--build-arg", &base, "--insecure"]));
    let image = image::unpack(&format!("docker://{name}"));
    let read = |path: &str| fs::read_to_string(image.tree().join(path)).unwrap();
    // The container is what this test says it is.
    assert_eq!(read("status"), format!("CapEff:\t{CAPABILITY_MASK}\nSeccomp:\t2\n"));
    assert!(read("top").lines().any(|line| line == "etc"), "{}", read("top"));
    // Nothing of the builder and of the mounts of the container is in the image.
    for foreign in ["kaniko", "workspace", "base", ".dockerenv"] {
        assert!(!image.tree().join(foreign).exists(), "{foreign}");
    }
}

#[test]
fn a_failing_step_in_a_container_passes_its_code_on_and_publishes_nothing() {
    let trial = trial("FROM base\nRUN echo 1 > /one\nRUN exit 7\n");
    let destination = format!("--destination={}", trial.registry.name("never:1"));
    let base = "--build-context=base=oci-layout:///base:latest";
    let done = trial.command(&[base, &destination]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(7), "{said}");
    assert!(said.lines().any(|line| line.starts_with("error: ") && line.contains("Dockerfile:3")), "{said}");
    assert_eq!(trial.registry.manifest_status("never", "1"), 404);
}

#[test]
fn a_container_that_is_stopped_ends_with_143_in_time() {
    let trial = trial("FROM base\nRUN trap '' TERM; echo the step runs; sleep 1005\n");
    let (log, name) = (trial.context.path().join("log"), "stopped");
    let output = fs::File::create(&log).unwrap();
    let mut command = trial.container(&["--name", name]);
    command.args(["--build-context=base=oci-layout:///base:latest", "--no-push"]);
    let mut child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
    for _ in 0..600 {
        let said = fs::read_to_string(&log).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "ended too early\n{said}");
        if said.lines().any(|line| line.ends_with("the step runs") && !line.contains("echo")) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    run(trial.engine.podman().args(["stop", "--time=12", name]));
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(143), "{}", fs::read_to_string(&log).unwrap());
}

#[test]
fn a_second_build_in_one_container_works() {
    let trial = trial("FROM base AS one\nRUN echo 1 > /one\nFROM base\nCOPY --from=one /one /two\nCOPY file /three\n");
    let name = trial.registry.name("again:1");
    let destination = format!("--destination={name}");
    let arguments = ["--build-context=base=oci-layout:///base:latest", &destination];
    run(trial.container(&["--name", "again"]).args(arguments));
    let first = image::unpack(&format!("docker://{name}"));
    run(trial.engine.podman().args(["start", "--attach", "again"]));
    let second = image::unpack(&format!("docker://{name}"));
    assert_eq!(first.layer_names(), second.layer_names());
}

#[test]
fn a_digest_file_survives_in_the_root_that_is_cleared_and_in_a_mount() {
    let trial = trial("FROM base AS one\nRUN echo 1 > /one\nFROM base\nCOPY --from=one /one /two\n");
    let check = |place: &str, options: &[&str], name: &str| {
        let mut command = trial.container(&[&["--name", name], options].concat());
        let digest_file = format!("--digest-file={place}");
        run(command.args(["--build-context=base=oci-layout:///base:latest", "--no-push", &digest_file]));
    };
    let copy = trial.context.path().join("copy");
    check("/digest", &[], "inside");
    run(trial.engine.podman().args(["cp", "inside:/digest"]).arg(&copy));
    assert!(fs::read_to_string(&copy).unwrap().starts_with("sha256:"));

    let mounted = trial.context.path().join("termination-log");
    fs::write(&mounted, "").unwrap();
    check("/dev/termination-log", &["--volume", &format!("{}:/dev/termination-log", mounted.display())], "mounted");
    assert!(fs::read_to_string(&mounted).unwrap().starts_with("sha256:"));
}
