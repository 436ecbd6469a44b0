//! Seeded faults at every stage of pull and push: a run ends right, or in an error that says what failed. No spoilt blob is ever
//! taken for a good one, and no manifest is there whose blobs are not. `ways` says what lies between.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use silt::oci::{Image, Platform};
use silt::registry::{Client, Policy};
use silt::store::BlobDir;

use super::ways::{Ground, Road, WAYS, Way};
use super::{Parcel, digests, parcel};
use crate::registry::reference;
use crate::support::authority::Authority;
use crate::support::bases;
use crate::support::executor::Build;
use crate::support::gateway::{Gateway, Request, Verdict};
use crate::support::registry::Registry;

const RUNS: u64 = 500;

/// How many runs go on at once; most of a run is waiting.
const LANES: u64 = 10;

/// A number that follows from others.
pub(super) fn mix(seed: u64, number: u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number.wrapping_mul(0xBF58_476D_1CE4_E5B9));
    state ^= state >> 31;
    state = state.wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 29)
}

/// What a gateway with this seed does with its `number`th request. One in `rarity` is spoilt, in the first `reach` bytes or so.
pub(super) fn verdict(seed: u64, number: u64, rarity: u64, reach: usize, asked: &Request) -> Verdict {
    let chance = mix(seed, number);
    if !chance.is_multiple_of(rarity) {
        return Verdict::Forward;
    }
    let size = (chance >> 20) as usize;
    let headers = |seconds: &str| vec![("Retry-After".to_owned(), seconds.to_owned())];
    match (chance >> 8) % 12 {
        0 => Verdict::Cut,
        1 => Verdict::CutBody(size % asked.body.len().max(1)),
        2 => Verdict::CutAnswer(size % 40),
        3 => Verdict::CutAnswer(100 + size % reach),
        4 => Verdict::Stall(size % 200),
        5 => Verdict::Stall(300 + size % reach),
        6 | 7 => Verdict::Corrupt(size),
        8 => Verdict::Answer(429, headers("0"), String::new()),
        9 => Verdict::Answer(503, headers("1"), "<html>busy</html>".to_owned()),
        10 => Verdict::Answer(502, Vec::new(), "{".to_owned()),
        _ => Verdict::status(500),
    }
}

/// How the runs of one way ended.
#[derive(Default)]
struct Tally {
    pulls: Ends,
    pushes: Ends,
    /// Requests that were spoilt, that went to the token server or mirror, and that were too large.
    requests: [AtomicU64; 3],
}

#[derive(Default)]
struct Ends {
    right: AtomicU64,
    errors: AtomicU64,
}

impl Ends {
    fn count<T, E: std::fmt::Display>(&self, result: &Result<T, E>, hosts: &[String]) {
        match result {
            Ok(_) => drop(self.right.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                let text = error.to_string();
                let names_one = hosts.iter().any(|host| text.contains(host));
                assert!(names_one && !text.contains('\n') && text.len() > 30, "no clear error: {text:?}");
                self.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Right, and in an error.
    fn counts(&self) -> [u64; 2] {
        [&self.right, &self.errors].map(|count| count.load(Ordering::Relaxed))
    }
}

/// What is in the store has the digest by which it is named.
fn check_store(store: &BlobDir, image: &Image) {
    for digest in digests(image).iter().filter(|digest| store.has(digest)) {
        assert!(digest.verifies(&fs::read(store.path(digest)).unwrap()), "{digest} is spoilt");
    }
    let left: Vec<_> = fs::read_dir(store.dir().join("blobs/sha256")).unwrap().collect();
    assert!(left.iter().flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')), "{left:?}");
}

/// A manifest is there only with all its blobs, each with the bytes that it must have.
fn check_registry(registry: &Registry, repository: &str, parcel: &Parcel, must_be_there: bool) {
    let encoded = parcel.image.encode().unwrap();
    let is_there = registry.manifest_status(repository, "1") == 200;
    assert!(is_there || !must_be_there, "{repository}: a push that succeeded left no manifest");
    if !is_there {
        return;
    }
    let config = encoded.config_descriptor.digest;
    for digest in digests(&parcel.image).iter().chain([&config]) {
        let status = registry.get(&format!("/v2/{repository}/blobs/{digest}"), "*/*").0;
        assert_eq!(status, 200, "{repository}: a manifest without its blob {digest}");
        assert!(digest.verifies(&fs::read(registry.blob_path(digest.as_str())).unwrap()), "{digest} is spoilt");
    }
}

fn one_run(ground: &Ground, seed: u64, tallies: &[Tally]) {
    let way = Way::of(seed);
    let (road, original, tally) = (Road::new(ground, way, seed), ground.original(way), &tallies[way as usize]);
    let store = BlobDir::create(&original.dir.path().join(format!("pull-{seed}"))).unwrap();
    let pulled = road.client.pull(&reference(&road.name(&format!("{way}:1"))), &Platform::host(), &store);
    tally.pulls.count(&pulled, &road.hosts());
    check_store(&store, &original.image);
    if let Ok(image) = &pulled {
        assert_eq!(image.config, original.image.config);
        assert!(digests(image).iter().all(|digest| store.has(digest)));
    }
    // Half of the pushes mount what the registry has, half send bytes that it has not.
    let repository = format!("run-{seed}");
    let name = reference(&road.name(&format!("{repository}:1")));
    let own = way.parcel(1000 + seed);
    let (image, sent) = match pulled {
        Ok(image) if seed.is_multiple_of(2) => (image, original),
        _ => (own.image.clone(), &own),
    };
    let pushed = road.client.push(&name, &image, &sent.blobs);
    tally.pushes.count(&pushed, &road.hosts());
    check_registry(&ground.registry, &repository, sent, pushed.is_ok());
    fs::remove_dir_all(store.dir()).unwrap();
    let seen = [road.spoilt(), road.asked_beside() as u64, road.refused_bodies() as u64];
    for (sum, seen) in tally.requests.iter().zip(seen) {
        sum.fetch_add(seen, Ordering::Relaxed);
    }
}

#[test]
#[expect(clippy::disallowed_macros, reason = "the figures are part of the result")]
fn five_hundred_runs_end_right_or_in_a_clear_error() {
    let (ground, tallies, begun) = (Ground::new(), WAYS.map(|_| Tally::default()), Instant::now());
    std::thread::scope(|scope| {
        let (ground, tallies) = (&ground, &tallies);
        for lane in 0..LANES {
            scope.spawn(move || (lane..RUNS).step_by(LANES as usize).for_each(|seed| one_run(ground, seed, tallies)));
        }
    });
    let (mut runs, mut errors) = (0, [0, 0]);
    for (way, tally) in WAYS.iter().zip(&tallies) {
        let [pulls, pushes] = [&tally.pulls, &tally.pushes].map(Ends::counts);
        let [spoilt, beside, refused] = tally.requests.each_ref().map(|count| count.load(Ordering::Relaxed));
        println!(
            "{way}: pulls right, in error {pulls:?}, pushes {pushes:?}; requests spoilt {spoilt}, beside {beside}, too large {refused}"
        );
        assert_eq!(pulls[0] + pulls[1], pushes[0] + pushes[1]);
        runs += pulls[0] + pulls[1];
        errors = [errors[0] + pulls[1], errors[1] + pushes[1]];
        assert!(pulls[0] > 0 && pushes[0] > 0 && spoilt > 0, "{way}: none ended right, or no fault was felt");
        assert_eq!((beside > 0, refused > 0), ([Way::Tokens, Way::Mirror].contains(way), *way == Way::Chunks), "{way}");
    }
    println!("{runs} runs, pulls and pushes in error: {errors:?}; {:?}", begun.elapsed());
    assert_eq!(runs, RUNS);
    assert!(errors.iter().all(|errors| (1..RUNS * 4 / 5).contains(errors)), "{errors:?}");
}

#[test]
#[expect(clippy::disallowed_macros, reason = "the figures are part of the result")]
fn whole_builds_end_right_or_in_a_clear_error() {
    let (registry, authority, mut ends) = (Registry::start(), Authority::new(), [0, 0]);
    let tls = authority.tls();
    let from = format!("oci:{}:latest", bases::busybox().display());
    let to = format!("docker://{}", registry.name("base:1"));
    crate::support::run(std::process::Command::new("skopeo").args([
        "--insecure-policy",
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
        &from,
        &to,
    ]));
    for seed in [5, 18, 31, 44, 57, 70] {
        // Stalls are left out: a whole build waits its full minute.
        let count = AtomicU64::new(0);
        let judge = move |asked: &Request| match verdict(seed, count.fetch_add(1, Ordering::Relaxed), 7, 3000, asked) {
            Verdict::Stall(length) => Verdict::CutAnswer(length),
            verdict => verdict,
        };
        let gateway = match seed % 2 {
            0 => Gateway::encrypted(registry.port(), tls.clone(), judge),
            _ => Gateway::start(registry.port(), judge),
        };
        let certificate = format!("{}={}", gateway.name("").trim_end_matches('/'), authority.certificate().display());
        let repository = format!("built-{seed}");
        let build = Build::new(&format!("FROM {}\nCOPY a /\nRUN echo made > /made\n", gateway.name("base:1")));
        let to = format!("--destination={}", gateway.name(&format!("{repository}:1")));
        let built = build.file("a", "a").arg(format!("--registry-certificate={certificate}")).arg(to).run();
        let stderr = built.stderr();
        assert!(!stderr.contains("panicked at"), "{stderr}");
        let is_there = registry.manifest_status(&repository, "1") == 200;
        if built.status.success() {
            assert!(is_there, "{stderr}");
            crate::support::image::unpack(&format!("docker://{}", registry.name(&format!("{repository}:1"))));
        } else {
            built.failed(1, &[&format!("127.0.0.1:{}", gateway.port())]);
        }
        ends[usize::from(!is_there)] += 1;
    }
    println!("whole builds right, in error: {ends:?}");
    assert!(ends[0] > 0, "no build ended right");
}

#[test]
fn the_checks_can_fail() {
    let fails = |check: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err();
    let (registry, parcel) = (Registry::start(), parcel(2, 100, 998));
    assert!(fails(&|| check_registry(&registry, "a", &parcel, true)), "there is no manifest");
    let direct = Client::new(Policy::default()).unwrap();
    direct.push(&reference(&registry.name("a:1")), &parcel.image, &parcel.blobs).unwrap();
    check_registry(&registry, "a", &parcel, true);
    let digest = &digests(&parcel.image)[1];
    fs::write(registry.blob_path(digest.as_str()), "spoilt").unwrap();
    assert!(fails(&|| check_registry(&registry, "a", &parcel, true)), "a blob is spoilt");
    fs::remove_file(registry.blob_path(digest.as_str())).unwrap();
    assert!(fails(&|| check_registry(&registry, "a", &parcel, true)), "a blob is gone");
    check_store(&parcel.blobs, &parcel.image);
    fs::write(parcel.blobs.path(digest), "spoilt").unwrap();
    assert!(fails(&|| check_store(&parcel.blobs, &parcel.image)), "a blob is spoilt");
}

#[test]
fn a_fault_follows_from_its_seed() {
    let asked =
        Request { method: "GET".to_owned(), target: "/".to_owned(), headers: Default::default(), body: vec![0; 9] };
    let all = |seed| (0..200).map(|number| format!("{:?}", verdict(seed, number, 2, 3000, &asked))).collect::<Vec<_>>();
    assert_eq!(all(1), all(1));
    assert_ne!(all(1), all(2));
    let kinds: std::collections::BTreeSet<String> =
        all(3).iter().map(|text| text.split('(').next().unwrap_or_default().to_owned()).collect();
    assert!(kinds.len() >= 6, "{kinds:?}");
}
