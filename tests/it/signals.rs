//! A build that is told to stop stops soon, takes its strays with it, publishes nothing, and still writes its timings.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::bases;
use crate::support::executor::Build;
use crate::support::registry::Registry;

/// Starts a daemon that leaves the session, says that it runs, and sleeps.
const SLEEPER: &str = "FROM base\nRUN echo 1 > /one\nRUN setsid sh -c 'trap \"\" TERM INT HUP; echo $$ > /daemon; sleep 1001' & \
                       trap '' TERM INT; while [ ! -s /daemon ]; do sleep 0.05; done; echo > /started; sleep 1002\n";

fn check(signal: Signal, code: i32) {
    let registry = Registry::start();
    let build = Build::new(SLEEPER).base("base", &bases::busybox());
    let mut running = build.arg(format!("--destination={}", registry.name("never:1"))).start();
    running.wait_for("started");
    running.signal(signal);
    // `finish` checks that nothing is left mounted or running.
    let built = running.finish();
    assert_eq!(built.status.code(), Some(code), "{}", built.stderr());
    assert!(built.took < Duration::from_secs(10), "{:?}", built.took);
    assert_eq!(registry.manifest_status("never", "1"), 404);
    assert_eq!(built.steps("RUN")[0]["line"], 2, "{}", built.timings());
}

#[test]
fn a_terminated_build_ends_with_143() {
    check(Signal::TERM, 143);
}

#[test]
fn an_interrupted_build_ends_with_130() {
    check(Signal::INT, 130);
}

#[test]
fn processes_that_left_the_session_are_dead_before_the_snapshot() {
    let daemon = "setsid sh -c 'echo $$ > /daemon; while true; do date >> /busy; done' > /dev/null 2>&1 &";
    let dockerfile = format!(
        "FROM base\nRUN {daemon} while [ ! -s /busy ]; do sleep 0.05; done\nRUN wc -l < /busy > /first; sleep 0.3; wc -l < /busy > /second\n"
    );
    let built =
        Build::new(&dockerfile).base("base", &bases::busybox()).args(["--no-push", "--verify-snapshot"]).succeed();
    let read = |name: &str| fs::read_to_string(built.root().join(name)).unwrap();
    assert_eq!(read("first"), read("second"));
}

#[test]
fn a_killed_builder_leaves_no_process_behind() {
    let build = Build::new(SLEEPER).base("base", &bases::busybox()).arg("--no-push");
    let mut running = build.start();
    running.wait_for("started");
    let root = running.root();
    running.signal(Signal::KILL);
    // The kernel ends the strays a moment after the builder; `finish` looks when that moment is over.
    wait_until_quiet(&root);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&running.finish().status), Some(9));
}

fn wait_until_quiet(root: &Path) {
    let below = |entry: std::io::Result<fs::DirEntry>| {
        entry
            .ok()
            .and_then(|entry| fs::read_link(entry.path().join("root")).ok())
            .is_some_and(|link| link.starts_with(root))
    };
    for _ in 0..200 {
        if !fs::read_dir("/proc").unwrap().any(below) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_build_that_is_told_to_stop_before_its_first_step_stops() {
    let build = Build::new("FROM base\nRUN true\n").base("base", &bases::files(20_000)).arg("--no-push");
    let mut running = build.start();
    running.wait_for("files");
    running.signal(Signal::TERM);
    let built = running.finish();
    assert_eq!(built.status.code(), Some(143), "{}", built.stderr());
    assert!(built.took < Duration::from_secs(10), "{:?}", built.took);
}
