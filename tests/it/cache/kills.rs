//! Builds that are killed at any moment while others share their caches: what is there afterwards is whole and right.

use std::time::{Duration, Instant};

use super::{cached, done, outcome};
use crate::operations::Random;
use crate::support::executor::{Build, Built};
use crate::support::image;
use crate::support::registry::Registry;

/// How many builds are killed.
const KILLS: usize = 100;

/// As often is each Dockerfile built and killed, so that some begin with what others left.
const TIMES: usize = 3;

fn noise(number: usize) -> String {
    (0..20_000).map(|line| format!("{line} {number}\n")).collect()
}

fn build(repo: &str, number: usize) -> Build {
    let file = "FROM base\nCOPY noise /a\nRUN cat /a /a > /b; echo one > /one\nRUN cat /one /one > /two && rm /one\n";
    cached(file, repo).file("noise", noise(number))
}

#[test]
fn no_entry_is_wrong_whenever_a_build_is_killed() {
    let registry = Registry::start();
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let repos = [registry.name("c/cache"), format!("oci:{}", dir.path().display())];
    let whole = time_of_one(&repos[0]);
    let (mut random, mut killed, mut rounds, mut hits) = (Random::new(11), 0, 0, 0);
    while killed < KILLS {
        let number = rounds / TIMES;
        let running: Vec<_> = repos.iter().map(|repo| build(repo, number).start()).collect();
        std::thread::sleep(whole.mul_f64(random.below(1000) as f64 / 900.0));
        for running in running {
            running.signal(rustix::process::Signal::KILL);
            killed += usize::from(!running.killed().success());
        }
        rounds += 1;
        if rounds % (4 * TIMES) == 0 {
            hits += repos.iter().map(|repo| is_right(done(build(repo, number)), number)).sum::<usize>();
        }
    }
    assert!(hits > 0, "nothing came from the caches");
}

/// How long a build takes that nobody kills.
fn time_of_one(repo: &str) -> Duration {
    let build = build(repo, usize::MAX);
    let started = Instant::now();
    is_right(done(build), usize::MAX);
    started.elapsed()
}

/// Checks what the steps made, and that no entry was in the way. How many were used.
fn is_right(built: Built, number: usize) -> usize {
    let stderr = built.stderr();
    assert!(!stderr.contains("is not used") && !stderr.contains("cannot be unpacked"), "{stderr}");
    let unpacked = image::unpack(&format!("oci:{}", built.layout().display()));
    let read = |name: &str| std::fs::read_to_string(unpacked.tree().join(name)).unwrap();
    assert!(!unpacked.tree().join("one").exists());
    assert!(read("a") == noise(number) && read("b") == noise(number).repeat(2) && read("two") == "one\none\n");
    outcome(&built).0.len()
}
