//! Credentials from every place that needs no cloud, shown to a real registry that lets in one user: pushed with, pulled with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::executor::{Build, Built};
use crate::support::registry::{Kind, Registry, USER};
use crate::support::{run, scratch};

/// `config.json` with these entries, in a directory that `DOCKER_CONFIG` can name. All have the right user and password.
fn config(dir: &Path, keys: &[String]) {
    let auths: serde_json::Map<_, _> = keys.iter().map(|key| (key.clone(), entry(USER.1))).collect();
    fs::write(dir.join("config.json"), json!({ "auths": auths }).to_string()).unwrap();
}

fn entry(password: &str) -> serde_json::Value {
    json!({"username": USER.0, "password": password})
}

/// A build that pushes to `name`, with no source of credentials but those that the test adds.
fn build(dockerfile: &str, name: &str) -> Build {
    let build =
        Build::new(dockerfile).file("f", "content").args(["-v=debug".to_owned(), format!("--destination={name}")]);
    build.env("DOCKER_CONFIG", "/nowhere").env("XDG_RUNTIME_DIR", "/nowhere").env("XDG_CONFIG_HOME", "/nowhere")
}

/// The build pushes, and the image can be read with the right password; nothing that was said holds it.
fn pushes(build: Build, name: &str) {
    quiet(build.succeed());
    let creds = format!("--creds={}:{}", USER.0, USER.1);
    run(Command::new("skopeo").args(["inspect", "--tls-verify=false", &creds, &format!("docker://{name}")]));
}

fn quiet(built: Built) {
    let stderr = built.stderr();
    assert!(!stderr.contains(USER.1), "{stderr}");
}

const COPY: &str = "FROM scratch\nCOPY f /f\n";

#[test]
fn an_entry_of_the_configuration_pushes_and_pulls() {
    let registry = Registry::start_as(Kind::Password);
    let dir = scratch();
    let (first, second) = (registry.name("team/app:1"), registry.name("team/app:2"));
    let host = registry.name("");
    config(dir.path(), &[format!("http://{host}")]);
    pushes(build(COPY, &first).env("DOCKER_CONFIG", dir.path()), &first);
    pushes(build(&format!("FROM {first}\nCOPY f /g\n"), &second).env("DOCKER_CONFIG", dir.path()), &second);
    // For one namespace alone.
    config(dir.path(), &[format!("{host}team")]);
    pushes(build(COPY, &first).env("DOCKER_CONFIG", dir.path()), &first);
    let other = registry.name("team-two/app:1");
    let place = format!("looked in config.json of {}", dir.path().display());
    quiet(
        build(COPY, &other).env("DOCKER_CONFIG", dir.path()).fail(1, &["access denied", "no credential for", &place]),
    );
}

#[test]
fn variables_and_helpers_push() {
    let registry = Registry::start_as(Kind::Password);
    let name = registry.name("a:1");
    let host = name.split('/').next().unwrap().to_owned();
    let inline = json!({"auths": {&host: entry(USER.1)}}).to_string();
    pushes(build(COPY, &name).env("DOCKER_AUTH_CONFIG", inline), &name);
    let variable = format!("KANIKO_{}", host.replace(['.', ':'], "_"));
    let kaniko =
        |build: Build| build.env(&format!("{variable}_USER"), USER.0).env(&format!("{variable}_PASSWORD"), USER.1);
    pushes(kaniko(build(COPY, &name)), &name);
    let none = kaniko(build(COPY, &name)).arg("--credential-helpers=");
    quiet(none.fail(1, &["access denied", "no credential for"]));
    let gitlab = build(COPY, &name).env("CI_REGISTRY", &host).env("CI_REGISTRY_USER", USER.0);
    pushes(gitlab.env("CI_REGISTRY_PASSWORD", USER.1), &name);
    let dir = scratch();
    let helper = dir.path().join("docker-credential-ours");
    let script = format!(
        "#!/bin/sh\nread -r server\n[ \"$1 $server\" = 'get {host}' ] || exit 9\n\
         [ -z \"$DOCKER_AUTH_CONFIG\" ] || exit 8\necho '{{\"Username\":\"{}\",\"Secret\":\"{}\"}}'\n",
        USER.0, USER.1
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.path().join("config.json"), json!({"credHelpers": {&host: "ours"}}).to_string()).unwrap();
    let path = format!("{}:{}", dir.path().display(), "/usr/sbin:/usr/bin:/sbin:/bin");
    pushes(build(COPY, &name).env("DOCKER_CONFIG", dir.path()).env("PATH", path), &name);
}

#[test]
fn what_is_wrong_names_the_source() {
    let registry = Registry::start_as(Kind::Password);
    let name = registry.name("a:1");
    let host = name.split('/').next().unwrap().to_owned();
    let dir = scratch();
    let with = |text: String| {
        fs::write(dir.path().join("config.json"), text).unwrap();
        build(COPY, &name).env("DOCKER_CONFIG", dir.path())
    };
    let place = format!("config.json of {}", dir.path().display());
    let wrong = json!({"auths": {&host: entry("wr0ng-password")}}).to_string();
    let built = with(wrong).fail(1, &["access denied", &format!("{place} (entry \"{host}\")"), USER.0]);
    assert!(!built.stderr().contains("wr0ng-password"), "{}", built.stderr());
    with("{\"auths\":".to_owned()).fail(1, &[&place, "near line 1"]);
    let missing = json!({"credHelpers": {&host: "none"}}).to_string();
    with(missing).fail(1, &[&place, "there is no docker-credential-none on PATH"]);
    let unknown = build(COPY, &name).arg("--credential-helpers=aws");
    unknown.fail(1, &["\"aws\" is not one of env, google, ecr, acr, gitlab"]);
}
