//! What a build with a cache asks of a registry, and how long it takes when there is nothing to do.

use std::time::{Duration, Instant};

use super::{done, ran};
use crate::differential::around::{Around, System};
use crate::differential::buildah::Buildah;
use crate::support::executor::{Build, Built};
use crate::support::gateway::{Gateway, Verdict};
use crate::support::registry::Registry;
use crate::support::{Machine, bases, image};

const STEPS: &str = "ENV A=1\nCOPY a /a\nRUN cat /a > /1\nRUN cat /a > /2\nWORKDIR /srv\nCOPY b .\nRUN cat b > 3\n\
                     RUN rm 3\nADD c /c\nRUN cat /c > /4\nRUN true\n";

fn registry_with_base() -> Registry {
    let registry = Registry::start();
    image::copy(
        &format!("oci:{}:latest", bases::busybox().display()),
        &format!("docker://{}", registry.name("base:1")),
    );
    registry
}

fn build(gateway: &Gateway) -> Build {
    build_on(Machine::Shared, gateway)
}

fn build_on(wanted: Machine, gateway: &Gateway) -> Build {
    Build::on(wanted, &format!("FROM {}\n{STEPS}", gateway.name("base:1")))
        .file("a", "A")
        .file("b", "B")
        .file("c", "C")
        .args(["--cache", "--cache-copy-layers"])
        .arg(format!("--destination={}", gateway.name("team/app:1")))
}

/// Without the layout that tests look at: it would fetch what a push leaves where it is.
fn pushed(build: Build) -> Built {
    let built = build.without_layout().run();
    assert!(built.status.success(), "{}", built.stderr());
    built
}

fn forward(registry: &Registry) -> Gateway {
    Gateway::start(registry.port(), |_| Verdict::Forward)
}

#[test]
fn a_rebuild_fetches_no_layer_and_uploads_none() {
    let registry = registry_with_base();
    let first = forward(&registry);
    let built = pushed(build(&first));
    assert!(built.stderr().contains("0 of 10 steps found"), "{}", built.stderr());
    // What goes to the cache is sent once, and mounted from there.
    let layers = |gateway: &Gateway, what: &str| gateway.lines(what).len();
    let sent = layers(&first, "PATCH");
    let mounted = first.lines("POST").iter().filter(|line| line.contains("mount=")).count();
    assert!(mounted >= 9, "{:?}", first.lines("POST"));
    // Layers of nine steps, an empty one, eleven configurations.
    assert!(sent <= 9 + 1 + 11, "{sent} blobs were sent");
    let second = forward(&registry);
    let built = pushed(build(&second));
    assert!(built.stderr().contains("10 of 10 steps found"), "{}", built.stderr());
    assert!(!built.root().exists(), "something was unpacked");
    let blobs: Vec<_> = second.lines("GET").into_iter().filter(|line| line.contains("/blobs/")).collect();
    assert!(blobs.len() <= 11, "more than configurations was fetched: {blobs:?}");
    assert!(second.lines("PATCH").len() <= 1, "more than the configuration was sent: {:?}", second.lines("PATCH"));
    let (most, _) = second.connections();
    assert!(most <= 4, "{most} connections");
    image::unpack(&format!("docker://{}", registry.name("team/app:1")));
    // To a repository that has nothing yet all is mounted.
    let third = forward(&registry);
    let elsewhere = format!("--destination={}", third.name("other/app:1"));
    let cache = format!("--cache-repo={}", third.name("team/app/cache"));
    let built = pushed(build(&third).args([elsewhere, cache]));
    assert!(built.stderr().contains("10 of 10 steps found"), "{}", built.stderr());
    assert!(third.lines("PATCH").len() <= 1, "{:?}", third.lines("PATCH"));
    image::unpack(&format!("docker://{}", registry.name("other/app:1")));
}

#[test]
fn a_rebuild_with_nothing_to_do_is_quick() {
    let registry = registry_with_base();
    let gateway = forward(&registry);
    pushed(build(&gateway));
    let ours = (0..5).map(|_| own_time(&pushed(build_on(Machine::Alone, &gateway)))).min().unwrap();
    let buildah = Buildah::new(&Around::start(System::Busybox));
    let theirs = buildah.rebuild(&format!("FROM localhost/base\n{STEPS}"), &[("a", "A"), ("b", "B"), ("c", "C")]);
    assert!(ours <= theirs, "silt {ours:?}, buildah {theirs:?}");
    assert!(ours <= Duration::from_millis(200), "{ours:?}");
}

/// The time of a whole run of the program.
fn own_time(built: &Built) -> Duration {
    Duration::from_nanos(built.timings()["totals"]["wall_ns"].as_u64().unwrap())
}

#[test]
fn a_base_that_nothing_needs_is_not_fetched() {
    let registry = registry_with_base();
    let gateway = forward(&registry);
    pushed(build(&gateway));
    let quiet = forward(&registry);
    let started = Instant::now();
    let built = pushed(build(&quiet));
    ran(&built, &[]);
    let manifest = crate::support::image::manifest(&bases::busybox());
    let layers: Vec<_> =
        manifest["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap()).collect();
    for line in quiet.lines("GET") {
        assert!(layers.iter().all(|layer| !line.contains(layer)), "{line} after {:?}", started.elapsed());
    }
    done(build(&quiet));
}
