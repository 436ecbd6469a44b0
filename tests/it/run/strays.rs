//! Nothing of a step is left: no process, no mount, no stub, however the step or the executor ended.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use silt::steps::run::{Error, Isolation, Outcome, RunSpec, make_private_process, run};

use super::scene::{ELSEWHERE, Scene, control, install_busybox};

/// The processes of this machine whose command line contains `mark`.
fn processes_with(mark: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let line =
        |pid: &u32| String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).into_owned();
    pids.filter(|pid| line(pid).contains(mark)).collect()
}

fn parent_of(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap().parse().unwrap()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The file does not grow any more: whoever wrote to it is gone.
fn assert_quiet(file: &Path) {
    let size = fs::metadata(file).unwrap().len();
    assert!(size > 0, "nobody ever wrote to {file:?}");
    thread::sleep(Duration::from_millis(100));
    assert_eq!(fs::metadata(file).unwrap().len(), size, "somebody still writes to {file:?}");
}

#[test]
fn processes_that_fled_are_dead_on_return() {
    for isolation in ELSEWHERE {
        let scene = Scene::new(isolation);
        scene.compile("linger");
        assert_eq!(scene.run(&scene.step(["/bin/linger", "/tmp/growing"])), Ok(Outcome::Exited(0)));
        assert_quiet(&scene.root().join("tmp/growing"));
        let failing = scene.script("setsid sh -c 'while :; do echo x >> /tmp/shell; done' & sleep 0.2; exit 7");
        assert_eq!(scene.run(&failing), Ok(Outcome::Exited(7)), "the outcome is the command's also then");
        assert_quiet(&scene.root().join("tmp/shell"));
    }
}

#[test]
fn a_tree_of_two_hundred_sleepers_is_reaped() {
    for isolation in ELSEWHERE {
        let scene = Scene::new(isolation);
        scene.compile("sleepers");
        let mark = scene.root().to_str().unwrap();
        assert_eq!(scene.run(&scene.step(["sleepers", mark])), Ok(Outcome::Exited(0)));
        assert_eq!(processes_with(mark), Vec::<u32>::new());
    }
}

#[test]
fn no_mount_and_no_stub_is_left() {
    for isolation in ELSEWHERE {
        let scene = Scene::new(isolation);
        let mark = scene.root().file_name().unwrap().to_str().unwrap().to_owned();
        let before = fs::metadata(scene.root()).unwrap();
        let names = |path: &Path| -> Vec<_> {
            let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        for script in ["exit 0", "exit 1", "kill -9 $$", "setsid sleep 1000 &"] {
            scene.run(&scene.script(script)).unwrap();
        }
        assert_eq!(scene.run(&scene.step(["missing"])).unwrap_err().exit_code(), Some(127));
        assert_eq!(names(scene.root()), ["bin", "tmp"]);
        let after = fs::metadata(scene.root()).unwrap();
        assert_eq!((after.mtime(), after.mtime_nsec()), (before.mtime(), before.mtime_nsec()));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&mark), "{mounts}");
    }
}

#[test]
fn cancelling_ends_a_deaf_command_and_its_strays() {
    for isolation in ELSEWHERE {
        let scene = Arc::new(Scene::new(isolation));
        let deaf = "trap '' TERM INT HUP; setsid sh -c 'while :; do echo x >> /tmp/stray; sleep 0.01; done' & \
                    while :; do echo x >> /tmp/deaf; sleep 0.01; done";
        let step = thread::spawn({
            let scene = Arc::clone(&scene);
            move || scene.run(&scene.script(deaf))
        });
        let files = ["tmp/stray", "tmp/deaf"].map(|path| scene.root().join(path));
        wait_until("the step writes", || files.iter().all(|file| file.exists()));
        let start = Instant::now();
        scene.control.cancel(15);
        assert_eq!(step.join().unwrap(), Err(Error::Cancelled { signal: 15 }));
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        files.iter().for_each(|file| assert_quiet(file));
        assert!(!scene.root().join("dev").exists(), "stubs are removed");
        scene.control.cancel(2);
        assert_eq!(scene.run(&scene.script("exit 0")), Err(Error::Cancelled { signal: 15 }), "the first signal counts");
    }
}

/// By itself a plain step. Started by the test below it is a private executor, in the root that the environment names,
/// whose step does not end.
#[test]
#[allow(clippy::disallowed_methods, reason = "the one way to tell a test binary something")]
fn as_an_executor() {
    let told = std::env::var("SILT_TEST_EXECUTOR").unwrap_or_default();
    let Some((isolation, root)) = told.split_once(':') else {
        let root = tempfile::tempdir().unwrap();
        install_busybox(root.path());
        return execute(root.path(), Isolation::Isolated, "exit 0");
    };
    make_private_process().unwrap();
    assert_eq!(rustix::process::dumpable_behavior(), Ok(rustix::process::DumpableBehavior::NotDumpable));
    let isolation = if isolation == "Chroot" { Isolation::Chroot } else { Isolation::Isolated };
    execute(Path::new(root), isolation, ENDLESS);
}

fn execute(root: &Path, isolation: Isolation, script: &str) {
    let argv = ["/bin/sh", "-c", script].map(Into::into).to_vec();
    let (root, env, cwd) = (root.to_owned(), vec!["PATH=/bin".into()], "/".into());
    let spec =
        RunSpec { root, argv, env, cwd, uid: 0, gid: 0, groups: vec![], isolation, surroundings: Default::default() };
    assert_eq!(run(&spec, &control()), Ok(Outcome::Exited(0)));
}

const ENDLESS: &str = "setsid sh -c 'while :; do echo x >> /tmp/stray; sleep 0.01; done' & \
                       while :; do echo x >> /tmp/command; sleep 0.01; done";

#[test]
fn the_step_dies_with_its_executor() {
    for isolation in ELSEWHERE {
        let scene = Scene::new(isolation);
        let mut executor = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "run::strays::as_an_executor"])
            .env("SILT_TEST_EXECUTOR", format!("{isolation:?}:{}", scene.root().display()))
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let files = ["tmp/stray", "tmp/command"].map(|path| scene.root().join(path));
        wait_until("the step writes", || files.iter().all(|file| file.exists()));
        executor.kill().unwrap();
        executor.wait().unwrap();
        // Standard output ends when the last of them is gone, the supervisor included.
        let mut output = Vec::new();
        executor.stdout.take().unwrap().read_to_end(&mut output).unwrap();
        files.iter().for_each(|file| assert_quiet(file));
        assert!(!scene.root().join("dev").exists(), "stubs are removed");
    }
}

/// A process that is no business of the step, and does not outlive the test.
struct Bystander(Child);

impl Bystander {
    fn start(own_group: bool) -> Self {
        let mut command = Command::new("sleep");
        let command = command.arg("1000").stdout(Stdio::null());
        Bystander(if own_group { command.process_group(0) } else { command }.spawn().unwrap())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn nobody_else_is_killed() {
    let mut others = [Bystander::start(false), Bystander::start(true)];
    let scene = Scene::new(Isolation::Chroot);
    assert_eq!(scene.run(&scene.script("setsid sleep 1000 & sleep 1000 & exit 0")), Ok(Outcome::Exited(0)));
    for other in &mut others {
        assert_eq!(other.0.try_wait().unwrap(), None);
    }
}

#[test]
fn a_killed_supervisor_takes_its_namespace_along_and_is_an_error() {
    let scene = Arc::new(Scene::new(Isolation::Isolated));
    let mark = scene.root().display().to_string();
    let script = format!("setsid sh -c 'while :; do echo x >> /tmp/stray; sleep 0.01; done' & wait; : {mark}");
    let step = thread::spawn({
        let scene = Arc::clone(&scene);
        move || scene.run(&scene.script(&script))
    });
    let stray = scene.root().join("tmp/stray");
    wait_until("the step writes", || stray.exists());
    // The command, or what it forked before its own execve(2), is a child of process 1 there, and that of the supervisor.
    let supervisor = parent_of(parent_of(processes_with(&mark)[0]));
    // A command that has itself replaced by /proc/self/exe reaches a copy in memory, and not the file on the host.
    let program = fs::read_link(format!("/proc/{supervisor}/exe")).unwrap();
    assert_eq!(program, Path::new("/memfd:silt (deleted)"));
    assert!(Command::new("kill").args(["-KILL", &supervisor.to_string()]).status().unwrap().success());
    let error = step.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("killed by signal 9"), "{error}");
    wait_until("the namespace is gone", || processes_with(&mark).is_empty());
    assert_quiet(&stray);
}
