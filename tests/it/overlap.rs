//! What goes on while a step runs: earlier layers are compressed and sent. Shown by what was done before the step ended, which it
//! does when the test lets it; and whatever way such a build ends, nothing of it is published or left.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::bases;
use crate::support::executor::{Build, Built, Running};
use crate::support::gateway::{Gateway, Request, Verdict};
use crate::support::registry::Registry;

/// No upload of these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A step that says that it runs, and goes on when the test says so.
const WAITING: &str = "RUN echo > /started; while [ ! -e /go ]; do sleep 0.02; done\n";

/// Makes a large file that takes long to compress: noise of seven bits a byte, since noise as such is stored.
fn noise(megabytes: u32) -> String {
    let count = 16 * megabytes;
    format!("RUN dd if=/dev/urandom bs=64k count={count} 2> /dev/null | tr '\\200-\\377' '\\000-\\177' > /noise\n")
}

/// How uploads end.
const COMMIT: &str = "PUT /v2/";

fn dockerfile(before: &str, after: &str) -> String {
    format!("FROM base\n{before}{WAITING}{after}")
}

fn build(dockerfile: &str, gateway: &Gateway) -> Build {
    let build = Build::new(dockerfile).base("base", &bases::busybox());
    build.arg(format!("--destination={}", gateway.name("some/app:1")))
}

/// Waits until the waiting step runs and `is_so`, and has it go on.
fn once(running: &mut Running, what: &str, is_so: impl Fn() -> bool) {
    running.wait_for("started");
    let limit = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < limit, "not while the step ran: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn go_on(running: &Running) {
    fs::write(running.root().join("go"), "").unwrap();
}

/// The digests of the blobs whose upload was ended.
fn committed(gateway: &Gateway) -> Vec<String> {
    let digest = |line: String| Some(line.split("digest=").nth(1)?.split('&').next()?.replace("%3A", ":"));
    gateway.lines(COMMIT).into_iter().filter_map(digest).collect()
}

fn manifests(gateway: &Gateway) -> Vec<String> {
    gateway.lines(COMMIT).into_iter().filter(|line| line.contains("/manifests/")).collect()
}

/// The digests of the image's layers and configuration.
fn blobs(built: &Built) -> BTreeSet<String> {
    let manifest = crate::support::image::manifest(&built.layout());
    let layers = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
    layers.map(|blob| blob["digest"].as_str().unwrap().to_owned()).collect()
}

/// Each blob was asked for once and sent once, and the manifest came last.
fn sent_once(gateway: &Gateway, expected: &BTreeSet<String>) {
    let sent = committed(gateway);
    assert_eq!((sent.iter().cloned().collect(), sent.len()), (expected.clone(), expected.len()));
    assert_eq!(gateway.lines("PATCH").len(), expected.len());
    let asked = gateway.lines("HEAD").len();
    assert_eq!(asked, expected.len(), "{:?}", gateway.lines("HEAD"));
    assert!(gateway.requests().last().unwrap().target.contains("/manifests/"));
    let (most, all) = gateway.connections();
    assert!(most <= 4 && all <= 4, "{most} connections at a time, {all} in all");
}

#[test]
fn layers_are_uploaded_while_the_next_step_runs() {
    let registry = Registry::start();
    let gateway = Gateway::start(registry.port(), |_| Verdict::Forward);
    let file = dockerfile("RUN echo 1 > /one\nCOPY two /two\n", "RUN echo 3 > /three\n");
    let mut running = build(&file, &gateway).file("two", "2").start();
    once(&mut running, "two uploads", || committed(&gateway).len() == 2);
    assert_eq!(manifests(&gateway), Vec::<String>::new());
    go_on(&running);
    let built = running.finish().succeeded();
    sent_once(&gateway, &blobs(&built));
}

#[test]
fn a_layer_of_an_earlier_stage_that_is_the_images_is_uploaded_and_no_other() {
    let registry = Registry::start();
    let gateway = Gateway::start(registry.port(), |_| Verdict::Forward);
    let tools = "FROM base AS tools\nRUN echo not in the image > /tool\nFROM base AS first\nRUN echo 1 > /one\n";
    let file = format!("{tools}FROM first\nCOPY --from=tools /tool /tool\n{WAITING}");
    let mut running = build(&file, &gateway).start();
    once(&mut running, "the upload of two layers", || committed(&gateway).len() == 2);
    go_on(&running);
    let built = running.finish().succeeded();
    sent_once(&gateway, &blobs(&built));
}

#[test]
fn without_a_push_nothing_is_sent() {
    let registry = Registry::start();
    let gateway = Gateway::start(registry.port(), |_| Verdict::Forward);
    let build = build("FROM base\nRUN echo 1 > /one\nRUN echo 2 > /two\n", &gateway);
    build.arg("--no-push").succeed();
    assert_eq!(gateway.requests().len(), 0);
}

#[test]
fn an_upload_that_fails_early_is_made_again_at_the_end() {
    let registry = Registry::start();
    let is_open = Arc::new(AtomicBool::new(false));
    let open = is_open.clone();
    let judge = move |asked: &Request| match asked.method.as_str() {
        "PATCH" if !open.load(Ordering::Relaxed) => Verdict::status(403),
        _ => Verdict::Forward,
    };
    let gateway = Gateway::start(registry.port(), judge);
    let mut running = build(&dockerfile("RUN echo 1 > /one\n", ""), &gateway).start();
    once(&mut running, "an upload that is refused", || !gateway.lines("PATCH").is_empty());
    is_open.store(true, Ordering::Relaxed);
    go_on(&running);
    let built = running.finish().succeeded();
    assert_eq!(committed(&gateway).into_iter().collect::<BTreeSet<_>>(), blobs(&built));
    let warned = built.stderr().lines().filter(|line| line.contains("WARN") && line.contains("push")).count();
    assert_eq!(warned, 0, "{}", built.stderr());
}

#[test]
fn a_cache_in_the_registry_gets_a_layer_first_and_it_is_sent_once() {
    let registry = Registry::start();
    let gateway = Gateway::start(registry.port(), |_| Verdict::Forward);
    let cache = [format!("--cache-repo={}", gateway.name("some/cache")), "--cache".to_owned()];
    let mut running = build(&dockerfile("RUN echo 1 > /one\n", ""), &gateway).args(cache).start();
    let is_cached = || manifests(&gateway).len() == 2;
    once(&mut running, "an entry of the cache", is_cached);
    go_on(&running);
    let built = running.finish().succeeded();
    let sent = committed(&gateway);
    let layers: Vec<_> = blobs(&built).into_iter().filter(|blob| sent.contains(blob)).collect();
    for blob in &layers {
        assert_eq!(sent.iter().filter(|sent| *sent == blob).count(), 1, "{blob}: {sent:?}");
    }
    let mounted = gateway.lines("POST").into_iter().filter(|line| line.contains("mount=")).count();
    assert!(mounted >= 2, "{:?}", gateway.lines("POST"));
}

/// A gateway on which uploads never end.
fn stalling(registry: &Registry) -> Gateway {
    let judge = |asked: &Request| if asked.method == "PATCH" { Verdict::Stall(0) } else { Verdict::Forward };
    Gateway::start(registry.port(), judge)
}

#[test]
fn a_step_that_fails_does_not_wait_for_uploads_and_nothing_is_published() {
    let registry = Registry::start();
    let gateway = stalling(&registry);
    let file = format!("FROM base\nRUN echo 1 > /one\n{}", WAITING.replace("done\n", "done; exit 7\n"));
    let mut running = build(&file, &gateway).start();
    once(&mut running, "an upload", || !gateway.lines("PATCH").is_empty());
    go_on(&running);
    let built = running.finish().failed(7, &["Dockerfile:3"]);
    assert!(built.took < Duration::from_secs(4), "{:?}", built.took);
    assert_eq!((manifests(&gateway).len(), registry.manifest_status("some/app", "1")), (0, 404));
    assert!(!built.dir().join("build/work").exists(), "the work directory is left");
}

#[test]
fn a_build_that_is_stopped_gives_up_what_is_under_way() {
    let registry = Registry::start();
    let gateway = stalling(&registry);
    // The second layer is compressed for seconds, when the upload of the first has begun.
    let build = build(&dockerfile(&format!("RUN echo 1 > /one\n{}", noise(150)), ""), &gateway);
    let mut running = build.args(["--compression-level=9"]).start();
    once(&mut running, "an upload", || !gateway.lines("PATCH").is_empty());
    running.signal(Signal::TERM);
    let built = running.finish();
    assert_eq!(built.status.code(), Some(143), "{}", built.stderr());
    assert!(built.took < Duration::from_secs(10), "{:?}", built.took);
    assert_eq!((manifests(&gateway).len(), registry.manifest_status("some/app", "1")), (0, 404));
    assert!(!built.dir().join("build/work").exists(), "the work directory is left");
    let spilled = built.steps("RUN dd")[0]["spilled_bytes"].as_u64().unwrap();
    assert!(spilled > 50 << 20, "{spilled} bytes waited on disk");
}

/// Three files that are not too large are too large as one layer.
#[test]
fn a_layer_that_cannot_be_stored_ends_the_build_at_its_line() {
    let registry = Registry::start();
    let gateway = Gateway::start(registry.port(), |_| Verdict::Forward);
    let noise = "for f in 1 2 3; do dd if=/dev/urandom of=/$f bs=64k count=50 2> /dev/null; done";
    for (after, line) in [("", "Dockerfile:2"), ("RUN echo 3 > /three\nRUN echo 4 > /four\n", "Dockerfile:2")] {
        let build = build(&format!("FROM base\nRUN {noise}\n{after}"), &gateway);
        let limit = ["env", "--ignore-signal=XFSZ", "prlimit", "--fsize=6000000"];
        drop(build.through(&limit).fail(1, &[line, "File too large"]));
    }
    assert_eq!((manifests(&gateway).len(), registry.manifest_status("some/app", "1")), (0, 404));
}

#[test]
fn a_large_layer_waits_on_disk_and_not_in_memory() {
    let noise = noise(120);
    let build = Build::new(&format!("FROM base\n{noise}RUN echo 1 > /one\n{noise}")).base("base", &bases::busybox());
    let built = build.arg("--no-push").measured().succeed();
    let steps = built.steps("RUN dd");
    let spilled: Vec<_> = steps.iter().map(|step| step["spilled_bytes"].as_u64().unwrap()).collect();
    assert!(spilled[0] > 40 << 20, "{spilled:?}");
    assert_eq!(spilled[1], 0, "nothing follows the last step, so it waits");
    assert!(steps.iter().all(|step| step["bytes_out"].as_u64().unwrap() > 100 << 20), "{steps:?}");
    assert!(built.peak() < 60 << 20, "{} bytes resident at the most", built.peak());
}
