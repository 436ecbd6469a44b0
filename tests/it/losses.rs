//! What is lost and how: the queue overflows, a mount appears, watches run out. Each time the step is looked at in another way,
//! the reason and the cost are said once, and the image is the tree that the build left.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::executor::{Build, Built, Running};
use crate::support::{bases, run};

/// Waits in the step until the test has made a file in the root.
fn until(name: &str) -> String {
    format!("until [ -e /{name} ]; do sleep 0.05; done")
}

fn build(dockerfile: &str) -> Build {
    Build::new(dockerfile).base("base", &bases::busybox()).arg("--no-push")
}

/// Who answered for each RUN.
fn recorders(built: &Built) -> Vec<String> {
    built.steps("RUN").iter().map(|step| step["recorder"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The warnings that tell of a loss and what it cost: paths looked at and milliseconds.
fn told(built: &Built) -> Vec<String> {
    let said = built.stderr();
    let lines = said.lines().filter(|line| line.contains("Compared the "));
    lines.filter(|line| line.contains(" paths in ") && line.contains(" ms: ")).map(str::to_owned).collect()
}

/// Stops a builder. The signal takes effect thread by thread.
fn stop(running: &Running) {
    running.signal(Signal::STOP);
    let tasks = || fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap().map(Result::unwrap);
    let runs = |task: fs::DirEntry| {
        fs::read_to_string(task.path().join("status")).is_ok_and(|status| !status.contains("State:\tT"))
    };
    while tasks().any(runs) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The executor stands still while the step fills the queue of its watches.
#[test]
fn a_queue_that_overflows_is_swept() {
    let queue: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    let fill = format!("i=0; while [ $i -lt {} ]; do i=$((i+1)); : > /opt/$i; done", queue / 2 + 100);
    let dockerfile = format!(
        "FROM base\nRUN echo > /started; {}; {fill}; echo > /done; {}; rm /go /on /started /done\nRUN rm /opt/1 && echo 2 > /two\n",
        until("go"),
        until("on")
    );
    let mut running = build(&dockerfile).arg("--recorder=dirwatch").start();
    running.wait_for("started");
    stop(&running);
    fs::write(running.root().join("go"), "").unwrap();
    running.wait_for("done");
    running.signal(Signal::CONT);
    fs::write(running.root().join("on"), "").unwrap();
    let built = running.finish().succeeded();
    assert_eq!(recorders(&built), ["sweep", "dirwatch"], "{}", built.stderr());
    let told = told(&built);
    assert_eq!(told.len(), 1, "{}", built.stderr());
    assert!(told[0].contains("the attributes of every path") && told[0].contains("queue overflowed"), "{told:?}");
}

/// Somebody else mounts a file system in the root while a step runs, and takes it away while another does.
#[test]
fn a_mount_that_appears_is_not_entered_and_the_rest_is_swept() {
    let dockerfile = format!(
        "FROM base\nRUN mkdir /mnt; echo > /started; {}; rm /go; echo 1 > /one\nRUN echo > /again; {}; rm /on; echo 2 > /two\n\
         RUN echo 3 > /mnt/three\n",
        until("go"),
        until("on")
    );
    let mut running = build(&dockerfile).start();
    running.wait_for("started");
    let point = running.root().join("mnt");
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&point));
    fs::write(point.join("inside"), "not of the image").unwrap();
    fs::write(running.root().join("go"), "").unwrap();
    running.wait_for("again");
    run(Command::new("umount").arg(&point));
    fs::write(running.root().join("on"), "").unwrap();
    let built = running.finish().succeeded();
    assert_eq!(recorders(&built), ["sweep", "sweep", "fanotify"], "{}", built.stderr());
    let told = told(&built);
    assert_eq!(told.len(), 2, "{}", built.stderr());
    assert!(told.iter().all(|line| line.contains("the mounts below the root changed")), "{told:?}");
    assert_eq!(built.stderr().matches("mnt is a mount that a step left behind").count(), 1);
    assert!(built.root().join("mnt/three").exists());
}

#[test]
fn directories_that_cannot_be_watched_any_more_are_swept() {
    let dockerfile =
        "FROM base\nRUN mkdir -p $(seq 100 | sed s,^,/many/,)\nRUN echo 1 > /many/7/one\nRUN echo 2 > /many/8/two\n";
    let built = build(dockerfile).args(["--recorder=dirwatch", "--max-watches=90"]).succeed();
    assert_eq!(recorders(&built), ["dirwatch", "sweep", "sweep"], "{}", built.stderr());
    let told = told(&built);
    assert_eq!(told.len(), 1, "{}", built.stderr());
    assert!(told[0].contains("new directories cannot be watched: ") && told[0].contains("90 may be taken"), "{told:?}");
}

#[test]
fn the_number_of_watches_can_be_bounded() {
    let few = || build("FROM base\nRUN true\nRUN true\n");
    let said = ["directories cannot be watched here", "5 may be taken, as was asked for"];
    few().args(["--recorder=dirwatch", "--max-watches=5"]).fail(1, &said);
    let unprivileged = ["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"];
    let many = Build::new("FROM base\nRUN true\nRUN true\n").base("base", &bases::files(20_000)).arg("--no-push");
    let built = many.arg("--max-watches=5").through(&unprivileged).succeed();
    assert_eq!(recorders(&built), ["sweep", "sweep"]);
    assert_eq!(built.stderr().matches("5 may be taken, as was asked for").count(), 1, "{}", built.stderr());
}

/// On a tmpfs `ctime` does not tell of every change.
#[test]
fn where_a_sweep_is_not_relied_upon_a_loss_is_walked() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let dockerfile = "FROM base\nRUN mkdir -p $(seq 100 | sed s,^,/many/,)\nRUN echo 1 > /many/7/one\n";
    let root = format!("--build-root={}", dir.path().join("build").display());
    let built = build(dockerfile).args(["--recorder=dirwatch", "--max-watches=90"]).arg(root).run();
    assert!(built.status.success(), "{}", built.stderr());
    assert_eq!(recorders(&built), ["dirwatch", "full"], "{}", built.stderr());
    let told = told(&built);
    assert_eq!(told.len(), 1, "{}", built.stderr());
    let parts = ["the content of every file", "90 may be taken", "on tmpfs ctime does not tell of every change"];
    parts.iter().for_each(|part| assert!(told[0].contains(part), "{told:?}"));
    assert!(dir.path().join("build/rootfs/many/7/one").exists());
}
