//! Stages for other platforms than the machine's, and Dockerfiles that are in no file.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::executor::Build;
use crate::support::nginx::Nginx;
use crate::support::{bases, image};

/// A program for linux/386 that makes the file `/made` and does nothing else.
fn tiny() -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let code_length = 31;
    let mut code: Vec<u8> = Vec::new();
    let path = BASE + HEADERS + code_length;
    for (register, value) in [(0xb8, 5), (0xbb, path), (0xb9, 0o101), (0xba, 0o644)] {
        code.push(register);
        code.extend(value.to_le_bytes());
    }
    code.extend([0xcd, 0x80, 0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80]);
    assert_eq!(code.len() as u32, code_length);
    code.extend(b"/made\0");
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2u16, 3] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, BASE + HEADERS, 52, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for half in [52u16, 32, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let length = HEADERS + code.len() as u32;
    for word in [1, 0, BASE, BASE, length, length, 5, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file
}

fn config(layout: &Path) -> Value {
    image::unpack(&format!("oci:{}", layout.display())).config()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_program_of_the_32_bit_platform_runs_on_the_64_bit_one() {
    let build = Build::new("FROM scratch\nCOPY --chmod=755 tiny /tiny\nRUN [\"/tiny\"]\n").file("tiny", tiny());
    let layout = build.dir().join("layout");
    let build = build.args(["--no-push", "--customPlatform=linux/386"]);
    let built = build.arg(format!("--oci-layout-path={}", layout.display())).succeed();
    assert!(built.root().join("made").exists());
    assert_eq!(config(&layout)["architecture"], "386");
}

#[test]
fn a_run_for_a_platform_that_cannot_run_here_says_so_and_where() {
    let said = ["Dockerfile:1", "line 3", "linux/mips64", "binfmt_misc", "--platform=$BUILDPLATFORM"];
    Build::new("FROM --platform=linux/mips64 scratch\nENV A=b\nRUN [\"/x\"]\n").arg("--no-push").fail(1, &said);
    let from_stage = "FROM --platform=linux/mips64 scratch AS below\nENV A=b\nFROM below\nRUN [\"/x\"]\n";
    Build::new(from_stage).arg("--no-push").fail(1, &["Dockerfile:3", "linux/mips64"]);
    Build::new("FROM --platform=nonsense scratch\n").arg("--no-push").fail(1, &["Dockerfile:1", "nonsense"]);
}

/// A layout of one image for each platform, with its name in the file `/which`.
pub fn several(dir: &Path, platforms: &[&str]) {
    let mut entries = Vec::new();
    for platform in platforms {
        let build = Build::new("FROM scratch\nCOPY which /which\n").file("which", platform);
        let layout = build.dir().join("layout");
        let own = [format!("--customPlatform={platform}"), format!("--oci-layout-path={}", layout.display())];
        let _built = build.arg("--no-push").args(own).succeed();
        let read = |name: &str| fs::read(layout.join(name)).unwrap();
        let index: Value = serde_json::from_slice(&read("index.json")).unwrap();
        entries.extend(index["manifests"].as_array().unwrap().clone());
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
            let blob = blob.unwrap();
            fs::copy(blob.path(), dir.join("blobs/sha256").join(blob.file_name())).unwrap();
        }
        fs::write(dir.join("oci-layout"), read("oci-layout")).unwrap();
    }
    let index = json!({"schemaVersion": 2, "manifests": entries});
    fs::write(dir.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
}

#[test]
fn each_stage_has_the_base_of_its_platform_and_the_variant_stays() {
    let dir = tempfile::tempdir().unwrap();
    several(dir.path(), &["linux/amd64", "linux/arm64", "linux/arm/v6"]);
    let text = "FROM --platform=linux/arm64 multi AS other\nFROM --platform=$BUILDPLATFORM multi AS own\n\
                FROM multi\nCOPY --from=other /which /other\nCOPY --from=own /which /own\n";
    let build = Build::new(text).arg(format!("--build-context=multi=oci-layout://{}", dir.path().display()));
    let layout = build.dir().join("layout");
    let build = build.args(["--no-push", "--custom-platform=linux/arm/v6"]);
    let built = build.arg(format!("--oci-layout-path={}", layout.display())).succeed();
    let read = |name: &str| fs::read_to_string(built.root().join(name)).unwrap();
    let host = silt::oci::Platform::host().to_string();
    assert_eq!(
        [read("which"), read("other"), read("own")],
        ["linux/arm/v6".to_owned(), "linux/arm64".to_owned(), host]
    );
    let config = config(&layout);
    assert_eq!((&config["architecture"], &config["variant"]), (&json!("arm"), &json!("v6")));
    assert!(!built.stderr().contains("InvalidBaseImagePlatform"), "{}", built.stderr());
}

#[test]
fn a_base_for_another_platform_is_named_and_can_fail_the_build() {
    let text = "FROM --platform=linux/s390x base\nCOPY Dockerfile /\n";
    let build = |text: &str| Build::new(text).base("base", &bases::busybox()).arg("--no-push");
    let said = build(text).run().stderr();
    assert!(said.contains("Dockerfile:1") && said.contains("(InvalidBaseImagePlatform)"), "{said}");
    build(&format!("# check=error=true;skip=FromPlatformFlagConstDisallowed\n{text}"))
        .fail(1, &["Dockerfile:2", "InvalidBaseImagePlatform"]);
}

#[test]
fn a_dockerfile_comes_from_an_address_or_the_standard_input() {
    let nginx = Nginx::start(|port, _| {
        format!(
            "server {{ listen 127.0.0.1:{port};\n location /D {{ return 200 \"FROM base\\nRUN echo 1 > /one\\nCOPY file /file\\n\"; }}\n\
             location /bad {{ return 200 \"FROM base\\nRUNN\\n\"; }}\n location / {{ return 404; }} }}"
        )
    });
    let build = |text: &str| Build::new(text).base("base", &bases::busybox()).file("file", "x").arg("--no-push");
    let at = |name: &str| format!("--dockerfile=http://{}?token=hunter2", nginx.name(name));
    let built = build("RUN nothing\n").arg(at("D")).run();
    assert!(built.status.success(), "{}", built.stderr());
    assert!(built.root().join("one").exists() && built.root().join("file").exists());
    assert!(!built.stderr().contains("hunter2"), "{}", built.stderr());
    for (name, said) in [("bad", "Dockerfile:2"), ("none", "404")] {
        let failed = build("").arg(at(name)).fail(1, &[said]);
        assert!(!failed.stderr().contains("hunter2"), "{}", failed.stderr());
    }
    let piped = |text: &str| {
        let build = build("FROM base\n").arg("--dockerfile=-").file("input", text);
        let script = format!("exec \"$0\" \"$@\" < {}", build.dir().join("context/input").display());
        build.through(&["sh", "-c", &script])
    };
    let built = piped("FROM base\nRUN echo 2 > /two\n").run();
    assert!(built.status.success(), "{}", built.stderr());
    assert!(built.root().join("two").exists());
    piped("FROM base\nRUN exit 5\n").fail(5, &["Dockerfile from the standard input:2"]);
}

#[test]
fn a_file_for_another_front_end_says_so() {
    let syntax = "foreign.example/front:1";
    let failed =
        Build::new(&format!("// syntax={syntax}\nwhatever\n")).arg("--no-push").fail(1, &[syntax, "front end"]);
    assert!(failed.stderr().contains("Dockerfile:1"), "{}", failed.stderr());
    Build::new(&format!("{{\"syntax\": \"{syntax}\"}}\n")).arg("--no-push").fail(1, &[syntax, "front end"]);
    let built =
        Build::new(&format!("#!/usr/bin/x\n# syntax={syntax}\nFROM scratch\nCOPY Dockerfile /\n")).arg("--no-push");
    let built = built.succeed();
    assert!(built.stderr().contains(&format!("# syntax={syntax} is another front end")), "{}", built.stderr());
}
