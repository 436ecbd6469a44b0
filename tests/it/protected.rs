//! Places that are not the image's, on the image's own file system: a hard link or a mapping there changes a file of the image, so
//! they are listened to and looked at like any other, and kept out of the layers only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::executor::{Build, EXECUTOR};
use crate::support::image::{self, Unpacked};
use crate::support::trial::trial;
use crate::support::{bases, repository, run};

/// Steps that change files of the image through names below `aside`, which are there before a step, come in it, or go in it.
fn dockerfile(aside: &str) -> String {
    format!(
        "FROM base\nCOPY store /bin/store\n\
         RUN mkdir -p {aside} && ln /etc/motd {aside}/gone && echo changed >> {aside}/gone && rm {aside}/gone\n\
         RUN ln /opt/old/three {aside}/stays && echo changed >> {aside}/stays\n\
         RUN echo again >> {aside}/stays\n\
         RUN ln /usr/share/kinds/setuid {aside}/mapped && store {aside}/mapped X && rm {aside}/mapped\n\
         RUN ln /etc/group {aside}/mapped && store {aside}/mapped Y\n\
         RUN store {aside}/mapped Z\n\
         RUN echo x > {aside}/no-file-of-the-image\n"
    )
}

/// A static program that stores a byte through a shared mapping.
fn store_program(dir: &Path) -> PathBuf {
    let (source, program) = (repository().join("tests/it/store.c"), dir.join("store"));
    run(Command::new("cc").args(["-static", "-O1", "-o"]).arg(&program).arg(source));
    program
}

fn check(image: &Unpacked, aside: &str, how: &str) {
    let read = |path: &str| fs::read_to_string(image.tree().join(path)).unwrap();
    assert_eq!(read("etc/motd"), "welcome to the base\nchanged\n", "{how}");
    assert_eq!(read("opt/old/three"), "3\nchanged\nagain\n", "{how}");
    assert_eq!(read("usr/share/kinds/setuid"), "X!/bin/sh\n", "{how}");
    assert!(read("etc/group").starts_with("Zoot:"), "{how}: {}", read("etc/group"));
    let names = image.layer_names().concat();
    let inside: Vec<_> = names.iter().filter(|name| name.starts_with(&aside[1..])).collect();
    assert!(inside.is_empty(), "{how}: {inside:?}");
}

#[test]
fn below_a_build_root_an_ignored_path_is_heard() {
    let compiled = crate::support::scratch();
    let program = fs::read(store_program(compiled.path())).unwrap();
    for recorder in ["fanotify", "dirwatch", "sweep"] {
        let build = Build::new(&(dockerfile("/aside") + "RUN rm -r /aside\n"))
            .base("base", &bases::busybox())
            .file("store", &program);
        fs::set_permissions(build.dir().join("context/store"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let out = build.dir().join("out");
        let arguments = ["--ignore-path=/aside", "--no-push", &format!("--recorder={recorder}")].map(str::to_owned);
        let built = build.args(arguments).arg(format!("--oci-layout-path={}", out.display())).succeed();
        let changes: Vec<_> = built.steps("RUN").iter().map(|step| step["changes"].as_u64().unwrap()).collect();
        if recorder != "dirwatch" {
            assert_eq!(changes, [1, 1, 1, 1, 1, 1, 0, 0], "{recorder}: each step is exact alone");
        }
        check(&image::unpack(&format!("oci:{}", out.display())), "/aside", recorder);
    }
}

#[test]
fn in_a_container_our_own_directory_is_heard() {
    let trial = trial(&dockerfile("/kaniko"));
    store_program(trial.context.path());
    for recorder in ["dirwatch", "sweep"] {
        let name = trial.registry.name(&format!("protected/{recorder}:1"));
        let arguments = ["--build-context=base=oci-layout:///base:latest", &format!("--destination={name}")];
        run(trial.container(&[]).args(arguments).arg(format!("--recorder={recorder}")));
        check(&image::unpack(&format!("docker://{name}")), "/kaniko", recorder);
    }
}

/// A mark on the superblock needs a root that is no overlay: a tmpfs, on which the executor builds in `/`.
#[test]
fn in_place_under_a_mark_our_own_directory_is_heard() {
    const SCRIPT: &str = r#"
        mount -t tmpfs tmpfs "$1" && cd "$1" && mkdir -p kaniko proc dev workspace base out
        cp "$2" kaniko/executor
        mount -t proc proc proc && mount --bind /dev dev
        mount --bind "$3" workspace && mount --bind "$4" base && mount --bind "$5" out
        exec chroot . /kaniko/executor --force --context=/workspace --build-context=base=oci-layout:///base:latest --no-push \
            --oci-layout-path=/out/image --recorder=fanotify --verify-snapshot"#;
    let _machine = crate::support::machine(crate::support::Machine::Shared);
    let dir = crate::support::scratch();
    let made = |name: &str| {
        fs::create_dir(dir.path().join(name)).unwrap();
        dir.path().join(name)
    };
    let (root, context, out) = (made("root"), made("context"), made("out"));
    fs::write(context.join("Dockerfile"), dockerfile("/kaniko")).unwrap();
    store_program(&context);
    let mut command = Command::new("unshare");
    // What the machine trusts is not in this root.
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    command.args(["--mount", "--propagation=private", "sh", "-euc", SCRIPT, "sh"]);
    run(command.arg(root).arg(EXECUTOR).arg(context).arg(bases::busybox()).arg(&out));
    check(&image::unpack(&format!("oci:{}", out.join("image").display())), "/kaniko", "fanotify");
}
