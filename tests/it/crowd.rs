//! A node with few inotify watches, shared by twenty builds at once: some watch, the others are refused watches and sweep, all
//! make the right image. The kernel counts watches for each user namespace too, so that is where they are made few.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::support::executor::{Build, Built, Running};
use crate::support::tree::{Times, assert_same, list};
use crate::support::{bases, image};

const BUILDS: usize = 20;

/// Enough for thirteen of the builds: each has a tree of some 230 directories.
const WATCHES: usize = 3_000;

/// A user namespace in which root is root and most other users are themselves, for as long as this lives.
struct Namespace {
    holder: Child,
    _input: ChildStdin,
}

impl Namespace {
    /// Makes one with so many watches. Its limits are set by a program that is started once users are mapped: whoever is
    /// nobody has no power to.
    fn new(watches: usize) -> Namespace {
        let set = format!("echo {watches} > /proc/sys/user/max_inotify_watches && echo set && read end");
        let mut command = Command::new("unshare");
        command.args(["--user", "sh", "-c", &format!("echo made; read mapped; exec sh -c '{set}'")]);
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut input = holder.stdin.take().unwrap();
        assert_eq!(said.next().as_deref(), Some("made"));
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{}/{map}", holder.id()), "0 0 65536").unwrap();
        }
        writeln!(input).unwrap();
        assert_eq!(said.next().as_deref(), Some("set"));
        Namespace { holder, _input: input }
    }

    fn start(&self, build: Build) -> Running {
        build.through(&["nsenter", "--user", "--target", &self.holder.id().to_string()]).start()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}

/// How many directories a build says that it watched, its own included.
fn watched(built: &Built) -> usize {
    let said = built.stderr();
    let line = said.lines().find(|line| line.contains("Watching ")).unwrap_or_else(|| panic!("{said}"));
    let number = line.split("Watching ").nth(1).unwrap().split(' ').next().unwrap();
    1 + number.parse::<usize>().unwrap()
}

#[test]
fn twenty_builds_share_the_watches_of_a_node() {
    let namespace = Namespace::new(WATCHES);
    let dockerfile = "FROM base\nRUN echo > /started; until [ -e /go ]; do sleep 0.1; done\n\
        RUN mkdir /d && echo 1 > /d/one && chown 1000:1000 /d/one && rm /go\nRUN echo 2 > /d/two; rm /etc/motd\n";
    let base = bases::names(20_000);
    let build = || {
        let build = Build::new(dockerfile).base("base", &base).arg("--no-push");
        let out = build.dir().join("out").display().to_string();
        (namespace.start(build.arg(format!("--oci-layout-path={out}"))), out)
    };
    let mut builds: Vec<_> = (0..BUILDS).map(|_| build()).collect();
    builds.iter_mut().for_each(|(running, _)| running.wait_for("started"));
    builds.iter().for_each(|(running, _)| fs::write(running.root().join("go"), "").unwrap());
    let built: Vec<_> = builds.into_iter().map(|(running, out)| (running.finish(), out)).collect();

    let uses =
        |recorder: &'static str| move |(built, _): &(Built, String)| built.steps("RUN")[0]["recorder"] == recorder;
    let watching: Vec<_> = built.iter().filter(|built| uses("dirwatch")(built)).collect();
    let sweeping: Vec<_> = built.iter().filter(|built| uses("sweep")(built)).collect();
    assert_eq!(watching.len() + sweeping.len(), BUILDS);
    assert!(!watching.is_empty() && !sweeping.is_empty(), "{} watch, {} sweep", watching.len(), sweeping.len());
    let taken: usize = watching.iter().map(|(built, _)| watched(built)).sum();
    assert!(taken <= WATCHES, "{taken}");
    for (built, _) in &sweeping {
        let why = built.steps("RUN")[0]["recorder_why"].as_str().unwrap_or_default().to_owned();
        assert!(why.contains("fs.inotify.max_user_watches"), "{why}");
    }
    for (built, out) in &built {
        assert!(built.status.success(), "{}\n{}", built.status, built.stderr());
        let two = fs::read_to_string(built.root().join("d/two")).unwrap();
        assert_eq!((two.as_str(), built.root().join("etc/motd").exists()), ("2\n", false));
        let layers = image::manifest(out.as_ref())["layers"].as_array().unwrap().len();
        assert_eq!(layers, 2 + 3, "{}", built.stderr());
    }
    // Read by others, which is what takes the time of this test.
    for recorder in ["dirwatch", "sweep"] {
        let (built, out) = built.iter().find(|built| uses(recorder)(built)).unwrap();
        image::check_layers(out.as_ref());
        let image = image::unpack(&format!("oci:{out}"));
        // Nobody may make a device in a user namespace.
        fs::remove_file(image.tree().join("usr/share/kinds/null")).unwrap();
        let (read, left) = (list(&image.tree(), Times::Exact), list(&built.root(), Times::Exact));
        assert_same(&read, &left, "the image as umoci unpacks it, the build root");
    }
}
