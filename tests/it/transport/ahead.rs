//! What is downloaded before it is needed: later layers while earlier ones are unpacked, and the bases of later stages while the
//! first one runs.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::support::executor::Build;
use crate::support::gateway::{Gateway, Verdict};
use crate::support::registry::Registry;
use crate::support::{bases, image};

const PATIENCE: Duration = Duration::from_secs(30);

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < limit, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An image of two layers, `one` and `two`, in a registry; and the digests of the layers.
fn two_layers(registry: &Registry) -> Vec<String> {
    let name = registry.name("base:1");
    let build = Build::new("FROM scratch\nCOPY one /\nCOPY two /\n").file("one", "1").file("two", "2");
    let _built = build.without_layout().arg(format!("--destination={name}")).run();
    let layers = image::inspect(&format!("docker://{name}"))["Layers"].clone();
    layers.as_array().unwrap().iter().map(|digest| digest.as_str().unwrap().to_owned()).collect()
}

fn blobs_asked_for(gateway: &Gateway, layers: &[String]) -> usize {
    gateway.lines("GET").iter().filter(|line| layers.iter().any(|layer| line.ends_with(layer.as_str()))).count()
}

#[test]
fn a_layer_is_unpacked_while_the_next_one_comes() {
    let registry = Registry::start();
    let layers = two_layers(&registry);
    let root: Arc<OnceLock<PathBuf>> = Arc::default();
    let (second, seen) = (layers[1].clone(), root.clone());
    let gateway = Gateway::start(registry.port(), move |asked| {
        if asked.target.ends_with(&second) {
            wait_until("the first layer in the root", || seen.get().is_some_and(|root| root.join("one").exists()));
        }
        Verdict::Forward
    });
    let build = Build::new(&format!("FROM {}\nCOPY three /\n", gateway.name("base:1"))).file("three", "3");
    root.set(build.dir().join("build/rootfs")).unwrap();
    build.arg("--no-push").succeed();
    assert_eq!(blobs_asked_for(&gateway, &layers), 2, "each once");
}

/// As with a registry that fetches from another one when it is first asked. The tree is compared with that of the image.
#[test]
fn a_layer_that_is_missing_once_is_in_the_root_all_the_same() {
    let registry = Registry::start();
    for late in two_layers(&registry) {
        let is_late = AtomicBool::new(true);
        let gateway = Gateway::start(registry.port(), move |asked| {
            match asked.target.ends_with(&late) && is_late.swap(false, Ordering::Relaxed) {
                true => Verdict::status(404),
                false => Verdict::Forward,
            }
        });
        let build = Build::new(&format!("FROM {}\nCOPY three /\n", gateway.name("base:1"))).file("three", "3");
        let built = build.arg("--no-push").succeed();
        let tree = ["one", "two", "three"].map(|name| built.root().join(name).exists());
        assert_eq!(tree, [true; 3], "{}", built.stderr());
    }
}

/// Its first stage runs until there is a file `go` in the root, and its second one is over the image that `gateway` has.
fn two_stages(gateway: &Gateway, then: &str) -> Build {
    let run = "touch /started; while [ ! -e /go ]; do sleep 0.02; done";
    let later = format!("FROM {}\nCOPY --from=0 /started /\n", gateway.name("base:1"));
    Build::new(&format!("FROM base\nRUN {run}; {then}\n{later}")).base("base", &bases::busybox()).arg("--no-push")
}

#[test]
fn the_base_of_a_later_stage_comes_while_the_first_one_runs() {
    let registry = Registry::start();
    let layers = two_layers(&registry);
    let gateway = Gateway::start(registry.port(), |_| Verdict::Forward);
    let mut running = two_stages(&gateway, "true").start();
    running.wait_for("started");
    wait_until("the layers of the second base", || blobs_asked_for(&gateway, &layers) == 2);
    fs::write(running.root().join("go"), "").unwrap();
    running.finish().succeeded();
    assert_eq!(blobs_asked_for(&gateway, &layers), 2, "each once");
}

#[test]
fn a_build_that_fails_does_not_wait_for_the_base_of_a_later_stage() {
    let registry = Registry::start();
    let layers = two_layers(&registry);
    let slow = layers.clone();
    let gateway =
        Gateway::start(registry.port(), move |asked| match slow.iter().any(|it| asked.target.ends_with(it)) {
            true => Verdict::Stall(1),
            false => Verdict::Forward,
        });
    let mut running = two_stages(&gateway, "exit 7").start();
    running.wait_for("started");
    wait_until("a layer of the second base", || blobs_asked_for(&gateway, &layers) > 0);
    fs::write(running.root().join("go"), "").unwrap();
    // A registry that is silent is waited for much longer.
    let built = running.finish();
    assert!(built.took < Duration::from_secs(15), "{:?}", built.took);
    built.failed(7, &["exited with code 7"]);
}
