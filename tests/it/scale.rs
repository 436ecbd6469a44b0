//! What the design promises of cost: a step costs what it changed and not what exists, and memory does not grow with a layer.
//!
//! These tests have the machine to themselves. Times are the least of several equal steps, so that one disturbance does not count.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::executor::{Build, EXECUTOR, Running, snapshot_ns};
use crate::support::memory::MemoryLimit;
use crate::support::registry::Registry;
use crate::support::{Machine, bases, image, scratch};

const MANY: usize = 200_000;
const FEW: usize = 20_000;

/// Steps of one build that each touch one file.
const EQUAL_STEPS: usize = 15;

/// Appends a line to one file of the base, in a step of its own each time.
fn one_file_steps(count: usize) -> String {
    let step = |number| format!("RUN echo {number} >> /files/p000/d00000/f000000\n");
    (0..count).map(step).fold("FROM base\n".to_owned(), |text, step| text + &step)
}

/// What a small pod has, in bytes.
const POD: u64 = 192 << 20;

fn build(files: usize, mode: &str, steps: usize) -> Build {
    let build = Build::on(Machine::Alone, &one_file_steps(steps)).base("base", &bases::files(files));
    build.args([format!("--snapshot-mode={mode}"), "--no-push".into()])
}

fn least(steps: &[Value], cost: impl Fn(&Value) -> u64) -> u64 {
    steps.iter().map(cost).min().unwrap()
}

#[test]
fn a_step_that_touches_one_file_costs_the_same_in_any_tree() {
    let many = build(MANY, "events", EQUAL_STEPS).measured().succeed();
    let by_events = many.steps("RUN");
    assert_little_memory(&many.timings(), 100, "the base");
    assert_little_memory(&copied(&many.root()), 105, "the context");
    drop(many);
    let by_walk = build(MANY, "full", 2).succeed().steps("RUN");
    let in_few = build(FEW, "events", EQUAL_STEPS).succeed().steps("RUN");
    assert_eq!((by_events.len(), by_walk.len(), in_few.len()), (EQUAL_STEPS, 2, EQUAL_STEPS));
    for step in by_events.iter().chain(&in_few) {
        assert_eq!(step["recorder"], "fanotify", "{step}");
        assert!(step["stats"].as_u64().unwrap() < 50, "{step}");
    }
    assert!(by_walk[0]["stats"].as_u64().unwrap() > MANY as u64, "the walk looks at everything: {}", by_walk[0]);
    let (by_events_ns, by_walk_ns) = (least(&by_events, snapshot_ns), least(&by_walk, snapshot_ns));
    assert!(by_events_ns * 200 < by_walk_ns, "{by_events_ns} ns by events, {by_walk_ns} ns by the full walk");
    // Processor time: a fraction of a millisecond of wall clock tells more of the disk and the neighbours.
    let processor = |step: &Value| step["snapshot_cpu_ns"].as_u64().unwrap();
    let (many, few) = (least(&by_events, processor), least(&in_few, processor));
    assert!(many < 10_000_000, "{many} ns of processor time in a tree of {MANY}");
    assert!(many * 2 <= few * 3, "{many} ns of processor time in a tree of {MANY}, {few} ns in one of {FEW}");
}

/// The timings of a build that copies `/files` of the directory `context`.
fn copied(context: &Path) -> Value {
    let dir = scratch();
    fs::write(dir.path().join("Dockerfile"), "FROM scratch\nCOPY files /files\n").unwrap();
    // Not a child of ours, which would have our own peak for its least: getrusage(2) keeps that over an exec.
    let mut command = Command::new("/usr/bin/time");
    command.args(["-o", "/dev/null", EXECUTOR, "--no-push"]).env("BENCHMARK_FILE", dir.path().join("timings"));
    for (name, value) in [("dockerfile", dir.path().join("Dockerfile")), ("context", context.to_owned())] {
        command.arg(format!("--{name}={}", value.display()));
    }
    let output = command.arg(format!("--build-root={}/build", dir.path().display())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&fs::read_to_string(dir.path().join("timings")).unwrap()).unwrap()
}

/// What is known of so many files must leave room in a small pod; `most` is in megabytes.
fn assert_little_memory(timings: &Value, most: u64, place: &str) {
    let peak = timings["totals"]["peak_rss_bytes"].as_u64().unwrap();
    assert!((10_000_000..=most * 1_000_000).contains(&peak), "{peak} bytes resident with {MANY} files in {place}");
}

/// What a pod without privileges gets.
#[test]
fn a_sweep_costs_little_for_each_path() {
    let build = Build::on(Machine::Alone, &one_file_steps(EQUAL_STEPS)).base("base", &bases::files(MANY));
    let steps = build.args(["--recorder=sweep", "--no-push"]).succeed().steps("RUN");
    for step in &steps {
        assert_eq!(step["recorder"], "sweep", "{step}");
        assert!(step["candidates"].as_u64().unwrap() < 10, "{step}");
    }
    let paths = steps[0]["stats"].as_u64().unwrap();
    assert!(paths > MANY as u64, "{}", steps[0]);
    let processor = least(&steps, |step| step["snapshot_cpu_ns"].as_u64().unwrap());
    assert!(processor < 3_000 * paths, "{processor} ns of processor time for {paths} paths");
}

#[test]
fn the_kernel_saw_no_more_stats_than_the_builder_counted() {
    let dockerfile = "FROM base\nRUN echo 1 >> /files/p000/d00000/f000000; echo > /started; while [ ! -e /go ]; do sleep 0.05; done\n";
    let build = Build::on(Machine::Alone, dockerfile).base("base", &bases::files(MANY)).arg("--no-push");
    let log = build.dir().join("strace");
    let mut running = build.start();
    running.wait_for("started");
    let mut tracer = attach(&running, &log);
    fs::write(running.root().join("go"), "").unwrap();
    let built = running.finish().succeeded();
    tracer.wait().unwrap();
    let log = fs::read_to_string(log).unwrap();
    // Every system call that reads a path's or a descriptor's attributes, from the end of the step to the end of the program.
    let is_call = |line: &&str| line.contains("stat") && !line.contains("---") && !line.contains(" resumed>");
    let stats = log.lines().filter(is_call).count();
    assert!(log.contains("exited with 0"), "the trace is not whole:\n{log}");
    assert!(stats < 50, "{stats} calls for three files in a tree of {MANY}:\n{log}");
    assert_eq!(built.steps("RUN")[0]["recorder"], "fanotify");
}

/// Traces the threads of a running builder, not the step that it runs.
fn attach(running: &Running, log: &Path) -> Child {
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=%%stat", "-o"]).arg(log).arg("-p").arg(running.pid().to_string());
    let mut tracer = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace");
    let traced = |id: u32| {
        let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
        let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).unwrap_or_default();
        tasks.filter_map(Result::ok).all(|task| !status(task).contains("TracerPid:\t0\n"))
    };
    for _ in 0..500 {
        if traced(running.pid()) {
            return tracer;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    tracer.kill().unwrap();
    panic!("strace did not attach: {:?}", tracer.wait());
}

#[test]
fn memory_does_not_grow_with_the_layer() {
    let (registry, limit) = (Registry::start(), MemoryLimit::new(POD));
    let dockerfile = "FROM base\nRUN dd if=/dev/urandom of=/random bs=64k count=8192 && dd if=/dev/zero of=/zeros bs=64k count=8192\n";
    let build = Build::on(Machine::Alone, dockerfile).base("base", &bases::busybox());
    let name = registry.name("big:1");
    let build = build.through(&limit.enter().each_ref().map(String::as_str)).measured();
    let built = build.arg(format!("--destination={name}")).succeed();
    limit.peak();
    let step = &built.steps("RUN")[0];
    assert!(step["bytes_in"].as_u64().unwrap() >= 1 << 30, "{step}");
    let limit = 150 << 20;
    assert!(built.peak() < limit, "{} bytes resident at the most", built.peak());
    let said = built.timings()["totals"]["peak_rss_bytes"].as_u64().unwrap();
    assert!(said > 0 && said < limit, "{said}");
    let layers = image::inspect(&format!("docker://{name}"))["Layers"].as_array().unwrap().len();
    assert_eq!(layers, 3);
}
