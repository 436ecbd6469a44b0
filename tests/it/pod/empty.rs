//! The executor's image holds one program and the roots of trust. What such a program usually takes from files and libraries around
//! it, each is tested here: users and groups, names of hosts, certificates.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::names::NameServer;
use crate::support::executor::{Build, EXECUTOR};
use crate::support::registry::Registry;
use crate::support::tree::{Times, assert_same, list, moment};
use crate::support::trial::trial;
use crate::support::{image, repository, run};

#[test]
fn the_image_is_laid_out_as_kanikos() {
    let trial = trial("");
    let said = run(trial.engine.podman().args(["image", "inspect", "silt"]));
    let config = &serde_json::from_str::<Value>(&said).unwrap()[0]["Config"];
    assert_eq!(config["Entrypoint"], serde_json::json!(["/kaniko/executor"]));
    assert_eq!(config["WorkingDir"], "/workspace");
    let env: Vec<_> = config["Env"].as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
    let certificates = "SSL_CERT_DIR=/kaniko/ssl/certs";
    for expected in
        ["HOME=/root", "USER=root", "PATH=/usr/local/bin:/kaniko", certificates, "DOCKER_CONFIG=/kaniko/.docker/"]
    {
        assert!(env.contains(&expected), "{expected} in {env:?}");
    }
    let archive = trial.context.path().join("image.tar");
    run(trial.engine.podman().args(["save", "--format=oci-archive", "silt", "--output"]).arg(&archive));
    let mut names = image::unpack(&format!("oci-archive:{}", archive.display())).layer_names().concat();
    names.retain(|name| !name.ends_with('/'));
    assert_eq!(names, ["kaniko/executor", "kaniko/ssl/certs/ca-certificates.crt"]);
}

/// One builder of it is the program itself.
#[test]
fn silt_builds_its_own_image() {
    let times = Times::NewSince(moment());
    let trial = trial("");
    let archive = trial.context.path().join("image.tar");
    run(trial.engine.podman().args(["save", "--format=oci-archive", "silt", "--output"]).arg(&archive));
    let theirs = image::unpack(&format!("oci-archive:{}", archive.display()));

    let dockerfile = fs::read_to_string(repository().join("images/Dockerfile")).unwrap();
    let build = Build::new("").arg("--no-push");
    let (root, own, out) = (build.dir().join("image"), build.dir().join("own"), build.dir().join("out"));
    run(Command::new(repository().join("scripts/image-root.sh")).arg(EXECUTOR).arg(&root));
    fs::write(&own, dockerfile).unwrap();
    let place = |option: &str, path: &Path| format!("--{option}={}", path.display());
    let _built =
        build.args([place("context", &root), place("dockerfile", &own), place("oci-layout-path", &out)]).succeed();
    let ours = image::unpack(&format!("oci:{}", out.display()));
    assert_same(&list(&ours.tree(), times), &list(&theirs.tree(), times), "silt, podman");
    for key in ["Env", "Entrypoint", "WorkingDir"] {
        assert_eq!(ours.config()["config"][key], theirs.config()["config"][key], "{key}");
    }
}

/// The base's switch file names a plug-in that is not there, which libc would look for.
#[test]
fn users_and_groups_are_those_of_the_image_being_built() {
    let dockerfile = "FROM base\nRUN echo 'passwd: nosuch' > /etc/nsswitch.conf; echo 'group: nosuch' >> /etc/nsswitch.conf\n\
        COPY --chown=user:extra file /owned\nUSER user:extra\nRUN id -u > ~/who; id -g >> ~/who\nUSER user\nRUN id -G > ~/groups\n";
    let trial = trial(dockerfile);
    let name = trial.registry.name("users:1");
    let destination = format!("--destination={name}");
    run(&mut trial.command(&["--build-context=base=oci-layout:///base:latest", &destination]));
    let image = image::unpack(&format!("docker://{name}"));
    let read = |path: &str| fs::read_to_string(image.tree().join(path)).unwrap();
    assert_eq!(read("home/user/who"), "1000\n2000\n");
    assert_eq!(read("home/user/groups"), "1000 10 2000\n");
    let owned = fs::metadata(image.tree().join("owned")).unwrap();
    assert_eq!((owned.uid(), owned.gid()), (1000, 2000));
}

/// A base from `registry`, pulled under the name `host`, and the image pushed there.
fn build_by_name(host: &str, options: &[&str]) {
    let trial = trial("ARG BASE\nFROM $BASE\nRUN echo 1 > /one\n");
    let name = format!("{host}:{}/app:1", trial.registry.port());
    let base = format!("--build-arg=BASE={host}:{}/base:1", trial.registry.port());
    let mut command = trial.container(options);
    run(command.args([&base, &format!("--destination={name}"), "--insecure", "--insecure-pull"]));
    assert_eq!(trial.registry.manifest_status("app", "1"), 200);
}

#[test]
fn a_host_is_found_in_the_hosts_file() {
    build_by_name("registry.test", &["--add-host=registry.test:127.0.0.1"]);
}

#[test]
fn a_host_is_found_by_the_name_server_of_resolv_conf() {
    let server = NameServer::start();
    build_by_name("registry.test", &[&format!("--dns={}", server.address())]);
    assert!(server.asked("registry.test"), "the name server was not asked");
}

#[test]
fn certificates_are_found_in_the_directory_of_the_environment() {
    let secure = Registry::start_tls();
    let trial = trial("FROM scratch\nCOPY file /file\n");
    let destination = format!("--destination={}", secure.name("app:1"));
    let done = trial.command(&[&destination]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && said.contains("UnknownIssuer"), "{said}");
    // The bundle that the image has, with one authority more.
    let bundle = trial.context.path().join("bundle");
    let parts = ["/etc/ssl/certs/ca-certificates.crt".as_ref(), secure.certificate().as_path()]
        .map(|path| fs::read(path).unwrap());
    fs::write(&bundle, parts.concat()).unwrap();
    let trust = format!("{}:/kaniko/ssl/certs/ca-certificates.crt:ro", bundle.display());
    run(trial.container(&["--volume", &trust]).arg(&destination));
    // And without it the authorities of the image were the ones asked, not those built in.
    let done = trial.command(&["--no-push", "--verbosity=debug"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && !said.contains("no certificates of its own"), "{said}");
}
