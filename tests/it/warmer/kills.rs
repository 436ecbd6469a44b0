//! Warmers that are killed at any moment, while others warm and executors read: an entry is whole or not there, always.

use std::fs;
use std::time::{Duration, Instant};

use super::{Scene, entries, fault};
use crate::operations::Random;

/// How many warmers are killed.
const KILLS: usize = 120;

#[test]
fn no_half_entry_has_its_name_whenever_a_warmer_is_killed() {
    // In memory, since a warmer mostly waits for a disk, and is to be killed elsewhere too.
    let scene = Scene::below(tempfile::tempdir_in("/dev/shm").unwrap());
    let names = ["base:1", "one:1", "two:1"].map(|name| scene.registry.name(name));
    for name in &names[1..] {
        let noise: String = (0..40_000).map(|number| format!("{number} {name}\n")).collect();
        let build = scene.build(&names[0]).file("noise", noise);
        let text = format!("FROM {}\nCOPY noise /noise\n", names[0]);
        build.file("Dockerfile", text).args(["--no-push=false", "-d", name]).run();
    }
    let digests = ["base:1", "one:1", "two:1"].map(|name| scene.digest(name));
    let whole = time_of_one(&scene, &names[1]);
    fs::remove_dir_all(scene.cache()).unwrap();
    let mut random = Random::new(7);
    let (mut killed, mut seen) = (0, 0);
    while killed < KILLS {
        let mut running: Vec<_> = (0..3)
            .map(|_| {
                let name = &names[random.below(3)];
                let force: &[&str] = if random.below(2) == 0 { &["-f"] } else { &[] };
                scene.warmer(&[&["-i", name], force].concat()).stderr(std::process::Stdio::null()).spawn().unwrap()
            })
            .collect();
        std::thread::sleep(whole.mul_f64(random.below(1000) as f64 / 700.0));
        for warmer in &mut running {
            warmer.kill().unwrap();
            killed += usize::from(!warmer.wait().unwrap().success());
        }
        for entry in entries(&scene.cache()) {
            seen += 1;
            assert_eq!(fault(&entry), None, "after {killed} kills");
        }
        if random.below(10) == 0 {
            reads_whole_entries(&scene, &digests);
        }
    }
    assert!(seen > KILLS / 4, "nothing was ever finished");
    for name in &names {
        scene.warm(&["-i", name]);
    }
    let left: Vec<_> = fs::read_dir(scene.cache()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "three entries and the locks: {left:?}");
    reads_whole_entries(&scene, &digests);
}

/// How long a warmer of one image takes that nobody kills.
fn time_of_one(scene: &Scene, name: &str) -> Duration {
    let started = Instant::now();
    scene.warm(&["-i", name]);
    started.elapsed()
}

/// A build from each entry while a warmer replaces it again and again.
fn reads_whole_entries(scene: &Scene, digests: &[String; 3]) {
    let names = ["base", "one", "two"];
    let at = digests.iter().zip(names).map(|(digest, name)| scene.registry.name(&format!("{name}@{digest}")));
    for from in at {
        let mut replacing = scene.warmer(&["-f", "-i", &from]).stderr(std::process::Stdio::null()).spawn().unwrap();
        let built = scene.build(&from).run();
        replacing.wait().unwrap();
        let stderr = built.stderr();
        assert!(built.status.success() && built.root().join("made").exists(), "{stderr}");
        assert!(!stderr.contains("cannot be used"), "{stderr}");
    }
}
