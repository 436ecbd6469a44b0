//! `--recorder` in whole builds: who nominated, what of our own writes a sweep comes across, and what is refused.

use std::fs::DirEntry;
use std::path::Path;

use serde_json::Value;

use crate::support::executor::Build;
use crate::support::tree::{Times, assert_same, list};
use crate::support::{bases, image};

/// Steps whose own traces a later sweep could find: stubs that a step needs, copied files, implied directories.
const DOCKERFILE: &str = "FROM base\nRUN true\nCOPY file /copied/deep/file\nWORKDIR /made/here\nRUN true\n\
    RUN echo 2 > /changed; mv /copied/deep /moved\nRUN true\n";

fn number(step: &Value, key: &str) -> u64 {
    step[key].as_u64().unwrap_or_else(|| panic!("{key}: {step}"))
}

#[test]
fn a_sweep_comes_across_nothing_but_what_the_step_did() {
    let build = Build::new(DOCKERFILE).base("base", &bases::busybox()).file("file", "content");
    let built = build.args(["--no-push", "--recorder=sweep", "--verify-snapshot"]).succeed();
    let steps = built.steps("RUN");
    assert_eq!(steps.len(), 4);
    let paths = entries_below(&built.root());
    for step in &steps {
        assert_eq!(step["recorder"], "sweep", "{step}");
        assert!(step.get("recorder_why").is_none(), "{step}");
        assert!(number(step, "stats") > paths / 2, "{step}: of {paths}");
        assert!(number(step, "wait_ns") < number(step, "record_ns"), "{step}");
    }
    let idle = [&steps[0], &steps[1], &steps[3]];
    for step in idle {
        assert_eq!(number(step, "changes"), 0, "{step}");
        assert!(number(step, "candidates") <= 3, "what steps need and leave no trace of: {step}");
    }
    assert_eq!(number(&steps[2], "changes"), 4, "{}", steps[2]);
    assert!(number(&steps[2], "candidates") <= 8, "{}", steps[2]);
}

/// As in a pod: without `CAP_SYS_ADMIN` a file system cannot be marked.
const UNPRIVILEGED: [&str; 3] = ["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"];

#[test]
fn where_events_are_refused_the_tree_is_swept() {
    let build = Build::new("FROM base\nRUN echo 1 > /new\n").base("base", &bases::busybox());
    let built = build.args(["--no-push", "--verify-snapshot"]).through(&UNPRIVILEGED).succeed();
    let step = &built.steps("RUN")[0];
    assert_eq!(step["recorder"], "sweep", "{step}");
    let why = step["recorder_why"].as_str().unwrap_or_default();
    assert!(why.contains("CAP_SYS_ADMIN"), "{step}");
    assert_eq!(built.stderr().matches(why).count(), 1, "said once:\n{}", built.stderr());
    assert_eq!(number(step, "changes"), 1, "{step}");
}

#[test]
fn a_recorder_asked_for_by_name_is_used_or_the_build_fails() {
    let build = || Build::new("FROM base\nRUN echo 1 > /new\n").base("base", &bases::busybox()).arg("--no-push");
    for name in ["fanotify", "dirwatch", "sweep", "full"] {
        let built = build().arg(format!("--recorder={name}")).succeed();
        assert_eq!(built.steps("RUN")[0]["recorder"], name);
    }
    let refused = ["fanotify cannot be used here", "CAP_SYS_ADMIN"];
    build().arg("--recorder=fanotify").through(&UNPRIVILEGED).fail(1, &refused);
}

/// In a pod: the layers of single steps come from watches, and what those cannot hear of from the sweep of the stage.
#[test]
fn what_watches_miss_is_in_the_image() {
    let hidden = "mkdir /n && ln /etc/passwd /n/p && echo x:x:7:7::/: >> /n/p && rm -r /n";
    let dockerfile = format!(
        "FROM base AS one\nRUN {hidden}\nRUN echo 2 > /two; mkdir /later\nRUN echo 3 > /later/three\nFROM one\nRUN id x\n"
    );
    let build = Build::new(&dockerfile).base("base", &bases::busybox());
    let out = build.dir().join("out");
    let built = build.args(["--no-push", "--recorder=dirwatch"]).arg(format!("--oci-layout-path={}", out.display()));
    let built = built.through(&UNPRIVILEGED).succeed();
    let steps = built.steps("RUN");
    assert!(steps.iter().all(|step| step["recorder"] == "dirwatch"), "{steps:?}");
    assert_eq!(number(&steps[0], "changes"), 0, "then this test shows nothing: {}", steps[0]);
    assert_eq!(number(&steps[2], "changes"), 1, "a directory of an earlier step is watched: {}", steps[2]);
    let settled = built.steps("what directory watches did not hear of");
    assert_eq!(number(&settled[0], "changes"), 1, "{settled:?}");
    assert!(built.stderr().contains("in a layer of their own"), "{}", built.stderr());
    let image = image::unpack(&format!("oci:{}", out.display()));
    assert_same(&list(&image.tree(), Times::Exact), &list(&built.root(), Times::Exact), "image, build root");
    assert!(std::fs::read_to_string(image.tree().join("etc/passwd")).unwrap().contains("x:x:7:7"));
}

#[test]
fn a_large_tree_is_watched_and_swept_once() {
    let build = Build::new("FROM base\nRUN echo 1 > /one\nRUN echo 2 > /two\n").base("base", &bases::files(20_000));
    let built = build.arg("--no-push").through(&UNPRIVILEGED).succeed();
    for step in built.steps("RUN") {
        assert_eq!(step["recorder"], "dirwatch", "{step}");
        assert!(number(&step, "stats") < 50, "{step}");
    }
    let settled = built.steps("what directory watches did not hear of");
    assert_eq!((settled.len(), number(&settled[0], "changes")), (1, 0), "{settled:?}");
    assert_eq!(settled[0]["recorder"], "sweep");
}

/// Each read of an event makes the tracer write to its log, which is another event: the queue never gets empty.
#[test]
fn a_queue_that_never_gets_empty_does_not_keep_a_build_from_its_end() {
    let build = Build::new("FROM base\nRUN echo 1 > /one\nRUN echo 2 > /two\n").base("base", &bases::busybox());
    let log = build.dir().join("trace").display().to_string();
    let traced = ["strace", "-f", "-e", "trace=read", "-o", &log];
    let built = build.args(["--no-push", "--recorder=fanotify"]).through(&traced).succeed();
    for step in built.steps("RUN") {
        assert_eq!((step["recorder"].as_str(), number(&step, "changes")), (Some("fanotify"), 1), "{step}");
    }
}

/// How many paths are at or below `dir`.
fn entries_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let below = |entry: DirEntry| if entry.file_type().unwrap().is_dir() { entries_below(&entry.path()) } else { 1 };
    1 + entries.map(below).sum::<u64>()
}
