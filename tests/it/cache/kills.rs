//! Builds and warmers that are killed at any moment while others share their caches, a directory and a registry: what is there
//! afterwards is whole and right, and so is what is made of it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{done, outcome};
use crate::operations::Random;
use crate::support::executor::{Build, Built, Running};
use crate::support::image;
use crate::warmer::{Scene, fault, layout_fault};

/// How many builds and warmers are killed.
const KILLS: usize = 200;

/// As often is each Dockerfile built and killed, so that some begin with what others left.
const TIMES: usize = 3;

/// After so many Dockerfiles builds are let end.
const BETWEEN: usize = 5;

/// The images that warmers store.
const IMAGES: [&str; 2] = ["one:1", "two:1"];

/// What all share.
struct Shared {
    scene: Scene,
    /// The same layers in a registry and in a directory.
    repos: [String; 2],
    random: Random,
}

fn noise(number: usize) -> String {
    (0..20_000).map(|line| format!("{line} {number}\n")).collect()
}

impl Shared {
    fn new() -> Shared {
        // In memory, since a warmer mostly waits for a disk, and is to be killed elsewhere too.
        let scene = Scene::below(tempfile::tempdir_in("/dev/shm").unwrap());
        for (number, name) in IMAGES.iter().enumerate() {
            let text = format!("FROM {}\nCOPY noise /noise\n", scene.registry.name("base:1"));
            let build = Build::new(&text).file("noise", noise(number)).without_layout();
            let built = build.args(["-d", &scene.registry.name(name)]).run();
            assert!(built.status.success(), "{}", built.stderr());
        }
        let layers = format!("oci:{}", scene.dir.path().join("layers").display());
        let repos = [scene.registry.name("c/cache"), layers];
        Shared { scene, repos, random: Random::new(11) }
    }

    /// A build from an image that a warmer stores, with a cache of layers.
    fn build(&self, repo: &str, number: usize) -> Build {
        let image = IMAGES[number % 2];
        let (name, digest) = (image.trim_end_matches(":1"), self.scene.digest(image));
        let text = format!(
            "FROM {}\nCOPY noise /a\nRUN cat /a /a > /b; echo one > /one\nRUN cat /one /one > /two && rm /one\n",
            self.scene.registry.name(&format!("{name}@{digest}"))
        );
        let build =
            Build::new(&text).file("noise", noise(number)).args(["--cache", "--cache-copy-layers", "--no-push"]);
        let dir = self.scene.cache().display().to_string();
        build.args([format!("--cache-repo={repo}"), format!("--cache-dir={dir}")])
    }

    fn warmer(&mut self) -> Child {
        let name = self.scene.registry.name(IMAGES[self.random.below(2)]);
        let force: &[&str] = if self.random.below(2) == 0 { &["-f"] } else { &[] };
        self.scene.warmer(&[&["-i", &name], force].concat()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Starts builds and warmers, and kills them at a moment within `whole`; how many of them had not ended before.
    fn kill(&mut self, number: usize, whole: Duration) -> usize {
        let builds: Vec<Running> = self.repos.iter().map(|repo| self.build(repo, number).start()).collect();
        let warmers = [self.warmer(), self.warmer()];
        std::thread::sleep(whole.mul_f64(self.random.below(1000) as f64 / 900.0));
        let mut killed = 0;
        for mut warmer in warmers {
            warmer.kill().unwrap();
            killed += usize::from(!warmer.wait().unwrap().success());
        }
        for build in builds {
            build.signal(rustix::process::Signal::KILL);
            killed += usize::from(!build.killed().success());
        }
        killed
    }

    /// Looks at all entries in the two directories; how many there are.
    fn check(&self) -> usize {
        let bases = named(self.scene.own(), |name| name.starts_with("sha256:"));
        let layers = named(self.scene.dir.path().join("layers"), |name| !name.contains(['.', '-']));
        let faults =
            bases.iter().filter_map(|entry| fault(entry)).chain(layers.iter().filter_map(|at| layout_fault(at)));
        assert_eq!(faults.collect::<Vec<_>>(), Vec::<String>::new());
        bases.len() + layers.len()
    }

    /// Builds that nobody kills, while a warmer replaces their base; how many steps came from the caches.
    fn build_whole(&self, number: usize) -> usize {
        let name = self.scene.registry.name(IMAGES[number % 2]);
        let mut replacing = self.scene.warmer(&["-f", "-i", &name]).stderr(Stdio::null()).spawn().unwrap();
        let hits = self.repos.iter().map(|repo| is_right(done(self.build(repo, number)), number)).sum();
        replacing.wait().unwrap();
        hits
    }
}

/// What stands in a directory under such names.
fn named(dir: PathBuf, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    all.filter(|path| is_wanted(path.file_name().unwrap().to_str().unwrap())).collect()
}

/// Checks what the steps made, and that no entry was in the way. How many were used.
fn is_right(built: Built, number: usize) -> usize {
    let stderr = built.stderr();
    let complaints = ["is not used", "cannot be unpacked", "cannot be used", "corrupt"];
    assert!(!complaints.iter().any(|what| stderr.contains(what)), "{stderr}");
    let unpacked = image::unpack(&format!("oci:{}", built.layout().display()));
    let read = |name: &str| fs::read_to_string(unpacked.tree().join(name)).unwrap();
    assert!(!unpacked.tree().join("one").exists() && read("noise") == noise(number % 2));
    assert!(read("a") == noise(number) && read("b") == noise(number).repeat(2) && read("two") == "one\none\n");
    outcome(&built).0.len()
}

#[test]
fn no_corrupt_entry_is_ever_served_whenever_builds_and_warmers_are_killed() {
    let mut shared = Shared::new();
    let (first, started) = (shared.build(&shared.repos[0], 1_000), Instant::now());
    let first = first.start().finish();
    let mut whole = started.elapsed();
    is_right(first, 1_000);
    let (mut killed, mut rounds, mut seen) = (0, 0, 0);
    while killed < KILLS {
        let number = rounds / TIMES;
        let killed_now = shared.kill(number, whole);
        // How long a build takes changes with what else the machine does.
        match killed_now {
            0 => whole = whole.mul_f64(0.7),
            4 => whole = whole.mul_f64(1.1),
            _ => {}
        }
        killed += killed_now;
        rounds += 1;
        seen += shared.check();
        if rounds % (BETWEEN * TIMES) == 0 {
            shared.build_whole(number);
        }
    }
    assert!(seen > KILLS, "{seen} entries were there");
    for name in IMAGES {
        shared.scene.warm(&["-i", &shared.scene.registry.name(name)]);
    }
    let left: Vec<_> = named(shared.scene.own(), |_| true);
    assert_eq!(left.len(), 3, "two entries and the locks: {left:?}");
    // How much of a Dockerfile killed builds leave is a matter of luck; what a whole one leaves is not.
    shared.build_whole(rounds / TIMES);
    assert!(shared.build_whole(rounds / TIMES) > 0, "nothing came from the caches");
}
