//! The programs as they are called: commands besides the build, what is said where, exit statuses.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use silt::oci::Platform;

use crate::registry::{client, index_layout, reference, sample};
use crate::support::authority::Authority;
use crate::support::executor::{Build, EXECUTOR};
use crate::support::registry::{Kind, Registry, USER, free_port};
use crate::support::{bases, image, run, scratch};

const WARMER: &str = env!("CARGO_BIN_EXE_warmer");

/// Runs a program and expects this exit code; what it said on standard output and standard error.
fn said(program: &str, args: &[&str], code: i32) -> (String, String) {
    let Output { status, stdout, stderr } = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(status.code(), Some(code), "{program} {args:?}\n{stdout}{stderr}");
    (stdout, stderr)
}

#[test]
fn answers_go_to_standard_output_and_mistakes_to_standard_error() {
    let version = format!("silt {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(said(EXECUTOR, &["version"], 0), (version, String::new()));
    for args in [&["--help"][..], &["help"], &["push", "--help"]] {
        let (help, nothing) = said(EXECUTOR, args, 0);
        assert!(help.contains("Usage: executor") && nothing.is_empty(), "{help}{nothing}");
    }
    let (nothing, mistake) = said(EXECUTOR, &["--destinaton=x"], 1);
    assert!(nothing.is_empty() && mistake.contains("--destination"), "{mistake}");
}

#[test]
fn a_shell_takes_the_completion_script() {
    let (script, _) = said(EXECUTOR, &["completion", "bash"], 0);
    let dir = scratch();
    let path = dir.path().join("completion");
    fs::write(&path, script).unwrap();
    let complete = format!(
        "source {} && COMP_WORDS=(executor --desti) COMP_CWORD=1 && _executor executor --desti executor && echo \"${{COMPREPLY[*]}}\"",
        path.display()
    );
    assert_eq!(run(Command::new("bash").args(["-c", &complete])).trim(), "--destination");
}

/// `login` with a config.json in `dir` and a password on standard input; the exit code and what it said.
fn login(dir: &Path, args: &[&str], password: &str) -> (Option<i32>, String) {
    let mut command = Command::new(EXECUTOR);
    command.arg("login").args(args).env("DOCKER_CONFIG", dir).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert!(!stderr.contains(password.trim_end()), "{stderr}");
    (done.status.code(), stderr)
}

#[test]
fn login_stores_what_the_registry_takes_and_a_build_pushes_with_it() {
    let (registry, dir) = (Registry::start_as(Kind::Password), scratch());
    let file = dir.path().join("config.json");
    let before = r#"{"auths": {"other.example": {"auth": "kept"}}}"#;
    fs::write(&file, before).unwrap();
    let host = registry.name("");
    let host = host.trim_end_matches('/');
    let (code, stderr) = login(dir.path(), &[host, "-u", USER.0, "--password-stdin"], "a-wrong-one\n");
    assert!(code == Some(1) && stderr.contains("access denied"), "{stderr}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let (code, stderr) = login(dir.path(), &[host, "-u", USER.0, "--password-stdin"], &format!("{}\n", USER.1));
    assert!(code == Some(0) && stderr.contains("the registry takes it"), "{stderr}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let config: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(config["auths"]["other.example"]["auth"], "kept");
    let name = format!("--destination={}", registry.name("team/app:1"));
    let build = Build::new("FROM scratch\nCOPY f /f\n").file("f", "f").env("DOCKER_CONFIG", dir.path());
    build.arg(name).succeed();
}

#[test]
fn login_stores_for_a_registry_out_of_reach_and_says_so() {
    let dir = scratch();
    let host = format!("127.0.0.1:{}", free_port());
    let (code, stderr) = login(dir.path(), &[&host, "-u", "me", "--password-stdin"], "word-of-me");
    assert!(code == Some(0) && stderr.contains("not verified"), "{stderr}");
    let config: serde_json::Value = serde_json::from_slice(&fs::read(dir.path().join("config.json")).unwrap()).unwrap();
    assert_eq!(config, serde_json::json!({"auths": {host: {"auth": "bWU6d29yZC1vZi1tZQ=="}}}));
}

#[test]
fn login_says_that_nobody_is_asked_who_he_is() {
    let (registry, dir) = (Registry::start(), scratch());
    let host = registry.name("");
    let (code, stderr) = login(dir.path(), &[host.trim_end_matches('/'), "-u", "me", "--password-stdin"], "word-of-me");
    assert!(code == Some(0) && stderr.contains("the registry asks nobody who he is"), "{stderr}");
    assert!(!stderr.contains("takes it") && dir.path().join("config.json").exists(), "{stderr}");
}

#[test]
fn push_sends_one_image_of_several_platforms_and_says_which() {
    let (registry, sample) = (Registry::start(), sample());
    let layout = index_layout(&sample).display().to_string();
    let name = registry.name("one:1");
    let (_, stderr) = said(EXECUTOR, &["push", &layout, "-d", &name], 0);
    let host = Platform::host();
    assert!(stderr.contains(&format!("the image for {host} is taken, and not: linux/s390x")), "{stderr}");
    let there = client().resolve(&reference(&name), &host).unwrap();
    assert_eq!(there.image.config.platform(), host);
    // Any of them can be named.
    let other = fs::read_to_string(Path::new(&layout).join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&other).unwrap();
    let list =
        fs::read_to_string(image::blob_path(Path::new(&layout), index["manifests"][0]["digest"].as_str().unwrap()));
    let list: serde_json::Value = serde_json::from_str(&list.unwrap()).unwrap();
    let digest = list["manifests"][1]["digest"].as_str().unwrap();
    let source = format!("{layout}@{digest}");
    let (_, stderr) = said(EXECUTOR, &["push", &source, "-d", &registry.name("other:1")], 0);
    assert!(!stderr.contains("is taken, and not"), "{stderr}");
    assert_eq!(registry.manifest_status("other", digest), 200);
}

#[test]
fn push_sends_what_a_build_has_written() {
    let registry = Registry::start();
    let build = Build::new("FROM base\nCOPY dir /dir\n").base("base", &bases::busybox()).file("dir/a", "a");
    let [archive, layout] = ["image.tar", "layout"].map(|name| build.dir().join(name).display().to_string());
    let (tar, oci) = (format!("--tar-path={archive}"), format!("--oci-layout-path={layout}"));
    let digest_of_build = build.dir().join("built");
    let digest = format!("--digest-file={}", digest_of_build.display());
    let built = build.args([&*tar, &*oci, "--no-push", &digest]).succeed();
    let from = image::unpack(&format!("oci:{layout}"));
    for (source, name) in [(&archive, "archive"), (&layout, "layout")] {
        let (first, second) = (registry.name(&format!("{name}/one:1")), registry.name(&format!("{name}/two")));
        let file = format!("{archive}.{name}");
        let file_flag = format!("--image-name-with-digest-file={file}");
        said(EXECUTOR, &["push", source, "-d", &first, "--destination", &second, &file_flag], 0);
        let pushed = image::unpack(&format!("docker://{first}"));
        assert_eq!(pushed.config()["rootfs"], from.config()["rootfs"]);
        let told = fs::read_to_string(&file).unwrap();
        let [one, two] = [0, 1].map(|line| told.lines().nth(line).unwrap().split_once('@').unwrap());
        assert_eq!((one.0, two.0), (first.trim_end_matches(":1"), &*second));
        assert_eq!(registry.manifest_status(&format!("{name}/two"), one.1), 200);
        if name == "layout" {
            assert_eq!(
                one.1,
                fs::read_to_string(&digest_of_build).unwrap().trim_end(),
                "what was built is what is pushed"
            );
        }
    }
    drop(built);
}

#[test]
fn push_takes_an_archive_of_another_tool_and_says_what_is_wrong_with_one() {
    let registry = Registry::start();
    let dir = scratch();
    let archive = dir.path().join("image.tar").display().to_string();
    let base = bases::busybox();
    let from = format!("oci:{}:latest", base.display());
    run(Command::new("skopeo").args(["copy", "--quiet", &from, &format!("docker-archive:{archive}:a/b:c")]));
    let name = registry.name("skopeo:1");
    said(EXECUTOR, &["push", &archive, "-d", &name], 0);
    let (pushed, original) = (image::unpack(&format!("docker://{name}")), image::unpack(&from));
    assert_eq!(pushed.config()["rootfs"], original.config()["rootfs"]);
    let refused = |args: &[&str], parts: &[&str]| {
        let (_, stderr) = said(EXECUTOR, args, 1);
        let last = stderr.lines().last().unwrap_or_default();
        assert!(parts.iter().all(|part| last.contains(part)), "{args:?}\n{stderr}");
    };
    refused(&["push", &archive], &["--destination"]);
    refused(&["push", "/nowhere", "-d", &name], &["/nowhere"]);
    let length = fs::metadata(&archive).unwrap().len();
    fs::OpenOptions::new().write(true).open(&archive).unwrap().set_len(length / 2).unwrap();
    refused(&["push", &archive, "-d", &registry.name("cut:1")], &["image.tar"]);
    assert_eq!(registry.manifest_status("cut", "1"), 404);
}

#[test]
fn the_warmer_reads_its_flags_and_says_what_is_wrong_in_the_form_that_is_asked_for() {
    let dir = scratch();
    let cache = format!("-c{}", dir.path().join("cache").display());
    let (_, stderr) = said(WARMER, &["-i", "127.0.0.1:1/a", &cache, "-f", "--log-format=json"], 1);
    let line: serde_json::Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("127.0.0.1:1/a"), "{line}");
    assert!(said(WARMER, &["--imag=x"], 1).1.contains("--image"));
    assert!(said(WARMER, &["--help"], 0).0.contains("--cache-dir"));
}

#[test]
fn what_is_not_there_yet_is_refused_before_anything_is_done() {
    let build = Build::new("FROM scratch\nCOPY a /a\n").file("a", "a").args(["--no-push", "--preserve-context"]);
    let built = build.fail(1, &["--preserve-context is not supported yet"]);
    assert!(!built.root().exists());
}

#[test]
fn logs_have_the_form_that_is_asked_for_and_a_step_speaks_for_itself() {
    let lines = |format: &str| {
        let build = Build::new("FROM base\nRUN echo from-the-step\n").base("base", &bases::busybox());
        let built = build.args([&format!("--log-format={format}"), "--no-push", "--snapshotMode=full"]).succeed();
        let stdout = fs::read_to_string(built.root().parent().unwrap().parent().unwrap().join("stdout")).unwrap();
        let (own, step): (Vec<_>, Vec<_>) =
            format!("{stdout}{}", built.stderr()).lines().map(str::to_owned).partition(|line| line != "from-the-step");
        assert_eq!(step.len(), 1, "{own:?}");
        own
    };
    for line in lines("json") {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let keys: Vec<_> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["level", "msg", "time"]);
    }
    for line in lines("text") {
        assert!(line.starts_with("time=\"") && line.contains(" level=") && line.contains(" msg="), "{line}");
    }
    let color = lines("color");
    assert!(
        color.iter().any(|line| line.starts_with("\u{1b}[33mWARN\u{1b}[0m[0") && line.contains("--snapshotMode")),
        "{color:?}"
    );
}

#[test]
fn a_platform_and_a_part_of_the_context_can_be_chosen() {
    let build =
        Build::new("FROM scratch\nARG TARGETPLATFORM\nENV P=$TARGETPLATFORM\nCOPY a /a\n").file("sub/dir/a", "sub");
    let layout = build.dir().join("layout");
    let dockerfile = build.dir().join("context/Dockerfile").display().to_string();
    let built = build
        .args(["--customPlatform=linux/arm/v6", "--context-sub-path=sub/dir", "--no-push", "-f", &dockerfile])
        .arg(format!("--oci-layout-path={}", layout.display()))
        .run();
    assert!(built.status.success(), "{}", built.stderr());
    assert!(
        built.stderr().contains("Flag --customPlatform is deprecated. Use: --custom-platform"),
        "{}",
        built.stderr()
    );
    let index: serde_json::Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let platform = &index["manifests"][0]["platform"];
    assert_eq!(*platform, serde_json::json!({"architecture": "arm", "os": "linux", "variant": "v6"}));
    assert_eq!(fs::read_to_string(built.root().join("a")).unwrap(), "sub");
}

#[test]
fn a_switch_of_the_fork_is_accepted() {
    let build = Build::new("FROM scratch\nCOPY a /a\n").file("a", "a").args(["--no-push", "-v", "debug"]);
    let switches =
        ["env", "FF_KANIKO_PRESERVE_HARDLINKS=true", "FF_KANIKO_SECUREJOIN_EXTRACTION=false", "FF_KANIKO_NEW=1"];
    let plan = ["KANIKO_PRINT_PLAN=t", "GIT_TOKEN=x"];
    let said = build.through(&[&switches[..], &plan[..]].concat()).succeed().stderr();
    assert!(said.contains("COPY a /a\n") && said.find("COPY a /a\n") < said.find("Building 1 of"), "{said}");
    assert!(!said.lines().any(|line| line.contains("GIT_TOKEN") && line.contains("WARN")), "{said}");
    let level = |name: &str| said.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {said}"));
    assert!(level("PRESERVE_HARDLINKS").contains("DEBU"));
    assert!(level("SECUREJOIN_EXTRACTION").contains("WARN"));
    assert!(level("FF_KANIKO_NEW").contains("DEBU"));
}

#[test]
fn cleanup_empties_the_root_and_the_image_is_whole() {
    let build = Build::new("FROM base\nRUN echo made > /made\n").base("base", &bases::busybox());
    let layout = build.dir().join("layout");
    let layout_flag = format!("--oci-layout-path={}", layout.display());
    let built = build.args(["--cleanup", "--no-push", &layout_flag]).run();
    assert!(built.status.success(), "{}", built.stderr());
    assert_eq!(fs::read_dir(built.root()).unwrap().count(), 0);
    let image = image::unpack(&format!("oci:{}", layout.display()));
    assert_eq!(fs::read_to_string(image.tree().join("made")).unwrap(), "made\n");
    let built = Build::new("FROM base\nRUN exit 3\n").base("base", &bases::busybox()).args(["--cleanup", "--no-push"]);
    assert_eq!(fs::read_dir(built.fail(3, &["Dockerfile:2"]).root()).unwrap().count(), 0);
}

#[test]
fn flags_of_registries_and_outputs_reach_a_build() {
    let authority = Authority::new();
    let (signed, plain, dir) = (Registry::start_as(Kind::Signed(&authority)), Registry::start(), scratch());
    let base = format!("docker://{}", plain.name("library/base:1"));
    run(Command::new("skopeo")
        .args(["copy", "--quiet", "--dest-tls-verify=false"])
        .args([&format!("oci:{}:latest", bases::busybox().display()), &base]));
    let (mirror, host) = (plain.name(""), signed.name(""));
    let (mirror, host) = (mirror.trim_end_matches('/'), host.trim_end_matches('/'));
    let name = signed.name("team/app:1");
    let build = Build::new("FROM base:1\nRUN echo made > /made\n")
        .env("BUILDER_OUTPUT", dir.path())
        .env("KANIKO_REGISTRY_MIRROR", mirror)
        .arg(format!("--registry-certificate={host}={}", authority.certificate().display()))
        .args(["--skip-default-registry-fallback", "--annotation=key=value", "--image-format=oci", "-d", &name]);
    build.succeed();
    let certificates = format!("--cert-dir={}", dir.path().join("certificates").display());
    fs::create_dir(dir.path().join("certificates")).unwrap();
    fs::copy(authority.certificate(), dir.path().join("certificates/ca.crt")).unwrap();
    let raw = run(Command::new("skopeo").args(["inspect", "--raw", &certificates, &format!("docker://{name}")]));
    let manifest: serde_json::Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(manifest["annotations"], serde_json::json!({"key": "value"}));
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    let images: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.path().join("images")).unwrap()).unwrap();
    assert_eq!(images["name"], name);
}

#[test]
fn a_terminal_shows_bars_and_the_output_of_steps_below_the_lines() {
    let registry = Registry::start();
    let typescript = |format: &str| {
        let build =
            Build::new("FROM base\nCOPY large /\nRUN echo from-the-step; sleep 0.3\n").base("base", &bases::busybox());
        let build = build.file("large", vec![7; 1 << 20]).arg(format!("--destination={}", registry.name("bars:1")));
        let place = build.dir().join("typescript");
        // script(1) takes a command line; it runs the builder on a terminal of its own.
        let script = "exec script -qec \"$(printf '%q ' \"$@\")\" \"$0\"";
        let build = build.arg(format!("--log-format={format}"));
        let _built = build.through(&["bash", "-c", script, place.to_str().unwrap()]).succeed();
        String::from_utf8_lossy(&fs::read(place).unwrap()).into_owned()
    };
    let seen = typescript("color");
    for what in ["unpack sha256:", "write layer", "push blob sha256:", "MiB/s"] {
        assert!(seen.contains(what), "{what}: {seen:?}");
    }
    assert!(seen.contains("from-the-step\r\n") && seen.contains("\u{1b}[36mINFO"), "{seen:?}");
    for format in ["json", "text"] {
        let seen = typescript(format);
        assert!(!seen.contains("write layer") && !seen.contains('\u{1b}'), "{seen:?}");
    }
}
