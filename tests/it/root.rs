//! The root that a step sees: its own, whatever the builder may do on this machine, and nothing of the machine in the image.

use std::fs;

use crate::support::executor::Build;
use crate::support::tree::{Times, assert_same, list};
use crate::support::{bases, image};

/// What is left of root's power in a container: no mounts, no namespaces.
const WITHOUT_ADMIN: [&str; 2] = ["setpriv", "--bounding-set=-sys_admin,-sys_ptrace,-sys_resource"];

const DOCKERFILE: &str = "FROM base\nRUN rm /etc/motd && echo 1 > /one && mkdir /dir && mv /opt/old /opt/new\n\
    RUN (setsid sleep 1003 > /dev/null 2>&1 &) ; chown 1000:1000 /dir && ln /one /two\n";

#[test]
fn a_builder_without_the_right_to_mount_makes_the_same_image() {
    let make = |program: &[&str]| {
        let build = Build::new(DOCKERFILE).base("base", &bases::busybox()).arg("--no-push");
        let out = build.dir().join("out");
        let build = build.arg(format!("--oci-layout-path={}", out.display()));
        let built = if program.is_empty() { build } else { build.through(program) }.succeed();
        let image = image::unpack(&format!("oci:{}", out.display()));
        assert_same(&list(&image.tree(), Times::Exact), &list(&built.root(), Times::Exact), "image, build root");
        (image.layer_names(), built.steps("RUN"))
    };
    let (with, by_events) = make(&[]);
    let (without, by_walk) = make(&WITHOUT_ADMIN);
    assert_eq!(with, without);
    assert_eq!(by_events[0]["recorder"], "fanotify", "{by_events:?}");
    assert_ne!(by_walk[0]["recorder"], "fanotify", "{by_walk:?}");
    assert!(by_walk[0]["recorder_why"].as_str().is_some_and(|why| !why.is_empty()), "{by_walk:?}");
}

#[test]
fn a_step_has_the_devices_and_the_processes_that_programs_expect() {
    let script =
        "echo > /dev/null && head -c 4 /dev/urandom | wc -c && ls -d /proc/self/fd && [ -d /sys ] && [ ! -e /context ]";
    let dockerfile = format!("FROM base\nRUN {script}\n");
    let built = Build::new(&dockerfile).base("base", &bases::busybox()).arg("--no-push").succeed();
    // Nothing of what was mounted for the step is in the tree.
    assert_eq!(fs::read_dir(built.root().join("proc")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(built.root().join("dev")).unwrap().count(), 0);
}

#[test]
fn a_step_runs_as_the_user_of_the_image_with_its_groups_and_home() {
    let dockerfile = "FROM base\nENV A=1\nWORKDIR /home/user\nRUN echo b > /tmp/b\nUSER user\nRUN echo \"$(id -u):$(id -g):$(id -G) $HOME $PWD $A\" > who\n\
        USER 1000:10\nRUN echo \"$(id -u):$(id -g)\" > group\nWORKDIR /\nUSER 4321\nRUN echo \"$(id -u):$(id -g)\" > /tmp/number\n";
    let built = Build::new(dockerfile).base("base", &bases::busybox()).arg("--no-push").succeed();
    let read = |name: &str| fs::read_to_string(built.root().join(name)).unwrap();
    assert_eq!(read("home/user/who"), "1000:1000:1000 10 2000 /home/user /home/user 1\n");
    assert_eq!(read("home/user/group"), "1000:10\n");
    assert_eq!(read("tmp/number"), "4321:0\n");
}

#[test]
fn a_step_does_not_see_the_environment_of_the_builder() {
    let dockerfile = "FROM base\nRUN env > /env && ls /proc/self/fd | wc -l > /open\n";
    let build = Build::new(dockerfile).base("base", &bases::busybox()).arg("--no-push");
    let built = build.through(&["env", "SECRET_OF_THE_BUILDER=1"]).succeed();
    let env = fs::read_to_string(built.root().join("env")).unwrap();
    assert!(env.contains("PATH=/usr/local/sbin:"), "{env}");
    assert!(!env.contains("SECRET_OF_THE_BUILDER") && !env.contains("BENCHMARK_FILE"), "{env}");
    // Standard input, output and error, and the directory that ls reads.
    assert_eq!(fs::read_to_string(built.root().join("open")).unwrap().trim(), "4");
}

#[test]
fn no_link_of_the_base_leads_a_copy_out_of_the_root() {
    let outside = crate::support::scratch();
    let target = outside.path().display();
    let dockerfile = format!(
        "FROM base\nRUN ln -s {target} /absolute && ln -s ../../../../../../../../..{target} /relative\nCOPY file /absolute/file\nCOPY file /relative/\n\
         WORKDIR /absolute/below\nADD file .\n"
    );
    let build = Build::new(&dockerfile).base("base", &bases::busybox()).file("file", "x").arg("--no-push");
    let built = build.run();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "written outside the root\n{}", built.stderr());
    assert!(built.succeeded().root().join(outside.path().strip_prefix("/").unwrap()).join("file").exists());
}

#[test]
fn a_build_root_with_something_in_it_is_not_destroyed() {
    let build = Build::new("FROM base\nRUN true\n").base("base", &bases::busybox()).arg("--no-push");
    let precious = build.dir().join("build/precious");
    fs::create_dir_all(precious.parent().unwrap()).unwrap();
    fs::write(&precious, "x").unwrap();
    let built = build.run();
    assert!(precious.exists(), "{}", built.stderr());
}

#[test]
fn no_base_image_can_have_its_steps_run_with_less_around_them() {
    let busybox = fs::read("/bin/busybox").unwrap();
    let hostile = Build::new("FROM scratch\nCOPY in-the-way /proc\nCOPY --chmod=755 busybox /bin/sh\n");
    let layout = hostile.dir().join("layout");
    let args =
        ["--no-push".into(), "--destination=hostile:latest".into(), format!("--oci-layout-path={}", layout.display())];
    let made = hostile.file("in-the-way", "").file("busybox", busybox).args(args).succeed();
    let built = Build::new("FROM hostile\nRUN echo > /ran\n").base("hostile", &layout).arg("--no-push");
    let built = built.fail(1, &["Dockerfile:2", "/proc"]);
    assert!(!built.root().join("ran").exists());
    drop(made);
}
