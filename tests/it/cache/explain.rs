//! Why a step was carried out: what differs from the last time, by name.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{cached, done};
use crate::support::executor::{Build, Built};
use crate::support::nginx::Nginx;
use crate::support::registry::Registry;
use crate::support::scratch;

const FILE: &str = "FROM base AS tools\nRUN echo t > /t\nFROM base\nARG VERSION\nENV MODE=fast\nRUN echo $VERSION $MODE > /v\n\
                    COPY src /src\nCOPY --from=tools /t /t\nRUN cat /t\n";

fn build(file: &str, repo: &str, version: &str) -> Build {
    let build =
        cached(file, repo).file("src/main", "1").file("src/lib", "1").arg(format!("--build-arg=VERSION={version}"));
    let path = build.dir().join("explained");
    build.arg(format!("--cache-explain={}", path.display()))
}

/// Instruction, outcome and reason of each step.
fn rows(built: &Built) -> Vec<(String, String, String)> {
    let explained: Value = serde_json::from_slice(&fs::read(built.dir().join("explained")).unwrap()).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let steps = explained["steps"].as_array().unwrap().iter();
    steps.map(|row| (text(row, "instruction"), text(row, "outcome"), text(row, "why"))).collect()
}

fn why(built: &Built, instruction: &str) -> String {
    let rows = rows(built);
    let row = rows.iter().find(|row| row.0.starts_with(instruction)).unwrap_or_else(|| panic!("{rows:?}"));
    format!("{}: {}", row.1, row.2)
}

#[test]
fn what_differs_is_named() {
    let (registry, dir) = (Registry::start(), scratch());
    for repo in [registry.name("c/cache"), format!("oci:{}", dir.path().display())] {
        let first = done(build(FILE, &repo, "hunter2"));
        assert_eq!(why(&first, "COPY src"), "miss: there is no entry of this step yet");
        let again = done(build(FILE, &repo, "hunter2"));
        assert!(rows(&again).iter().all(|row| row.1 == "hit"), "{:?}", rows(&again));

        let argument = done(build(FILE, &repo, "2"));
        assert_eq!(why(&argument, "RUN echo $VERSION"), "miss: build argument VERSION changed");
        assert_eq!(why(&argument, "COPY src"), "miss: the step of line 6 changed");
        assert_eq!(why(&argument, "RUN echo t"), "hit: ");
        assert!(argument.stderr().contains("build argument VERSION changed"), "{}", argument.stderr());

        let file = build(FILE, &repo, "hunter2").file("src/main", "2").file("src/new", "");
        assert_eq!(
            why(&done(file), "COPY src"),
            "miss: the step of line 6 changed, context file src/main changed, context file src/new added"
        );
        let text = FILE.replace("MODE=fast", "MODE=slow").replace("echo t >", "echo u >");
        let text = done(build(&text, &repo, "2"));
        assert_eq!(why(&text, "RUN echo u"), "miss: instruction changed");
        assert_eq!(why(&text, "RUN echo $VERSION"), "miss: variable MODE changed");
        assert!(why(&text, "COPY --from").contains("stage tools changed"), "{:?}", rows(&text));
    }
}

#[test]
fn no_value_is_in_a_cache() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    done(build(FILE, &repo, "hunter2-is-secret"));
    let mut documents = 0;
    for path in below(vec![dir.path().to_owned()]) {
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        documents += usize::from(text.contains("VERSION"));
        assert!(!text.contains("hunter2"), "{}", path.display());
    }
    assert!(documents > 0, "no document names the argument");
}

#[test]
fn secrets_of_addresses_are_shown_nowhere() {
    let nginx =
        Nginx::start(|port, _| format!("server {{ listen 127.0.0.1:{port}; location = /x {{ return 200 \"x\"; }} }}"));
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let host = nginx.name("");
    let file = |more: &str| {
        format!(
            "FROM base\nARG TOKEN\nADD http://me:hunter2@{host}x?t=hunter2 /a\nADD http://$TOKEN@{host}x{more} /b\n"
        )
    };
    let of = |more: &str| build(&file(more), &repo, "1").args(["--build-arg=TOKEN=hunter2:x", "--verbosity=debug"]);
    let (first, second) = (done(of("")), done(of("?a=hunter2")));
    assert!(why(&second, "ADD http://***@").starts_with("hit"), "{:?}", rows(&second));
    let failed = build(&file("/none?a=hunter2"), &repo, "1").arg("--build-arg=TOKEN=hunter2:x").run();
    assert!(!failed.status.success() && failed.stderr().contains("ADD http://***@"), "{}", failed.stderr());
    let mut all = vec![dir.path().to_owned()];
    for built in [&first, &second, &failed] {
        let named = ["explained", "benchmark.json", "stderr", "stdout", "image/index.json"];
        all.extend(named.map(|name| built.dir().join(name)).into_iter().filter(|path| path.exists()));
    }
    let history = super::essence(&second.layout())["config"]["history"].to_string();
    assert!(history.contains("ADD http://***@") && !history.contains("me:hunter2"), "{history}");
    assert!(all.len() > 10);
    for path in below(all) {
        let bytes = fs::read(&path).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"), "{}", path.display());
    }
}

/// The files at and below these paths.
fn below(mut waiting: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    while let Some(path) = waiting.pop() {
        match path.is_dir() {
            true => waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path())),
            false => files.push(path),
        }
    }
    files
}

#[test]
fn a_base_and_a_miss_of_a_cache_that_forgot() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let file = "FROM base\nRUN true\nRUN false || true\n";
    done(build(file, &repo, "1"));
    let other = build(&file.replace("FROM base", "FROM base AS x\nRUN echo > /x\nFROM x"), &repo, "1");
    assert!(why(&done(other), "RUN true").starts_with("miss: "));
    for entry in fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            fs::remove_dir_all(entry).unwrap();
        }
    }
    assert_eq!(why(&done(build(file, &repo, "1")), "RUN true"), "miss: its entry is gone");
}
