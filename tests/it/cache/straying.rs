//! Contexts that change while a build is under way: nothing that was made of other files than the keys say is in the cache.

use std::fs;

use super::{cached, done, ran};
use crate::support::executor::Build;
use crate::support::{image, scratch};

/// A step that goes on only when the context is another.
const WAIT: &str = "RUN touch /begun; while test ! -e /go; do sleep 0.05; done";

/// Builds `steps` while `context/d/f` becomes `B`, then over what it was before: each of `steps` is carried out again, and what is then
/// `/out` of the image says what the context held.
fn check(steps: &[&str], with: impl Fn(Build) -> Build, expected: &str) {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let build = || {
        let build = cached(&format!("FROM base\n{WAIT}\n{}\n", steps.join("\n")), &repo);
        fs::create_dir_all(build.dir().join("context/d")).unwrap();
        with(build)
    };
    let first = build();
    let changing = first.dir().join("context/d/f");
    let mut running = first.start();
    running.wait_for("begun");
    fs::write(changing, "B").unwrap();
    fs::write(running.root().join("go"), "").unwrap();
    let built = running.finish().succeeded();
    assert!(built.stderr().contains("are not cached"), "{}", built.stderr());
    let built = done(build());
    ran(&built, steps);
    let unpacked = image::unpack(&format!("oci:{}", built.layout().display()));
    assert_eq!(fs::read_to_string(unpacked.tree().join("out")).unwrap(), expected, "{steps:?}");
}

#[test]
fn no_step_after_a_copy_of_other_files_has_an_entry() {
    let with = |build: Build| build.file("d/f", "A");
    check(&["COPY d /d/", "RUN cat /d/f > /out"], with, "A");
    check(&["COPY d /d/", "RUN cat /d/f > /out"], |build| with(build).arg("--cache-copy-layers=false"), "A");
    check(&["RUN --mount=type=bind,target=/m cat /m/d/f > /x", "RUN cat /x > /out"], with, "A");
}

#[test]
fn a_directory_that_was_empty_can_change_too() {
    check(&["COPY d /d/", "RUN cat /d/f > /out || true"], |build| build, "");
}

/// Without that the image would have a file of one context and what a step made of it in another.
#[test]
fn what_is_known_of_other_files_is_not_used() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    // It ends by itself too, since it is carried out again where the build begins anew.
    let wait = "touch /begun; for i in $(seq 100); do test -e /go && break; sleep 0.05; done; echo $N > /n";
    let file = format!(
        "FROM base AS wait\nARG N\nRUN {wait}\nFROM base\nCOPY d /d/\nRUN cat /d/f > /out\nCOPY --from=wait /n /\n"
    );
    let build = |number: u32| {
        let build = cached(&file, &repo).file("d/f", "A").arg("--cache-copy-layers=false");
        build.arg(format!("--build-arg=N={number}"))
    };
    for (number, more) in [(1, "--verbosity=info"), (2, "--no-push-cache")] {
        let first = build(number).arg(more);
        let changing = first.dir().join("context/d/f");
        let mut running = first.start();
        running.wait_for("begun");
        if number == 2 {
            fs::write(changing, "B").unwrap();
        }
        fs::write(running.root().join("go"), "").unwrap();
        let built = running.finish().succeeded();
        let unpacked = image::unpack(&format!("oci:{}", built.layout().display()));
        let read = |name: &str| fs::read_to_string(unpacked.tree().join(name)).unwrap();
        let expected = if number == 2 { "B" } else { "A" };
        assert_eq!((read("d/f"), read("out"), read("n")), (expected.into(), expected.into(), format!("{number}\n")));
        assert_eq!(built.stderr().contains("are not cached"), number == 2, "{}", built.stderr());
    }
}
