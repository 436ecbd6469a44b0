//! Mirrors and maps: in order, each with its own name, and then the registry itself.

use super::*;
use crate::registry::Routes;

fn routed(maps: &[String], skip_default: bool) -> Client {
    let mut routes = Routes::default();
    routes.skip_default = skip_default;
    maps.iter().for_each(|map| routes.add_map(map).expect("a map"));
    Client::new(Policy { routes, ..policy() }).expect("a client")
}

fn host(fake: &Fake) -> String {
    fake.name("").trim_end_matches('/').to_owned()
}

#[test]
fn the_first_that_has_it_gives_it() {
    let sample = sample();
    let (empty, full, own) = (Fake::start(|_, _| Answer::new(404)), sample.fake(|_, _| None), sample.fake(|_, _| None));
    let dead = "127.0.0.1:1".to_owned();
    let maps = [dead, host(&empty), format!("{}/proxy", host(&full))].map(|to| format!("{}={to}", host(&own)));
    let client = routed(&maps, false);
    let image = client.pull(&reference(&own.name("some/app:1")), &Platform::host(), &sample.blobs).expect("pulled");
    assert!(own.requests().is_empty());
    assert!(full.lines("GET").iter().all(|line| line == "GET /v2/" || line.starts_with("GET /v2/proxy/some/app/")));
    assert_eq!(image.layers()[0].origin.as_ref().map(ToString::to_string), Some(own.name("some/app")));
    assert!(empty.lines("GET /v2/some/app/blobs").is_empty(), "the one that had the manifest is asked first");
}

#[test]
fn the_registry_itself_is_last_or_not_asked() {
    let sample = sample();
    let (broken, own) = (
        sample.fake(|request, _| request.target.contains("/blobs/").then(|| Answer::new(404))),
        sample.fake(|_, _| None),
    );
    let maps = [format!("{}={}", host(&own), host(&broken))];
    let name = own.name("some/app:1");
    routed(&maps, false).pull(&reference(&name), &Platform::host(), &sample.blobs).expect("pulled");
    assert!(!own.requests().is_empty());
    let asked = own.requests().len();
    let error = routed(&maps, true).pull(&reference(&name), &Platform::host(), &sample.blobs).expect_err("not there");
    assert!(error.to_string().contains(&host(&broken)) && error.to_string().contains("not found"), "{error}");
    assert_eq!(own.requests().len(), asked);
    let both = [maps[0].clone(), format!("{}=127.0.0.1:1", host(&own))];
    let error = routed(&both, true).pull(&reference(&name), &Platform::host(), &sample.blobs).expect_err("not there");
    let error = error.to_string();
    assert!(
        error.contains("no mirror gives it") && error.contains("127.0.0.1:1") && error.contains(&host(&broken)),
        "{error}"
    );
}

#[test]
fn a_corrupt_mirror_is_left() {
    let sample = sample();
    let odd = |request: &Request, _: &str| {
        request.target.contains(Digest::of(LAYER).as_str()).then(|| Answer::new(200).body(LAYER.to_ascii_uppercase()))
    };
    let (corrupt, own) = (sample.fake(odd), sample.fake(|_, _| None));
    let maps = [format!("{}={}", host(&own), host(&corrupt))];
    let name = own.name("some/app:1");
    routed(&maps, false).pull(&reference(&name), &Platform::host(), &sample.blobs).expect("pulled");
    assert_eq!(std::fs::read(sample.blobs.path(&sample.layer.digest)).expect("a blob"), LAYER);
}

#[test]
fn a_download_is_begun_again_as_often_as_asked() {
    let sample = sample();
    let asked = AtomicU32::new(0);
    let fake = sample.fake(move |request, _| {
        (request.target.contains("/manifests/") && asked.fetch_add(1, Ordering::Relaxed) < 2).then(|| Answer::new(400))
    });
    let stubborn = Client::new(Policy { image_download_retry: 2, ..policy() }).expect("a client");
    stubborn.pull(&reference(&fake.name("some/app:1")), &Platform::host(), &sample.blobs).expect("pulled");
    let fake = sample.fake(|request, _| request.target.contains("/manifests/").then(|| Answer::new(404)));
    stubborn.resolve(&reference(&fake.name("some/app:1")), &Platform::host()).expect_err("not there");
    assert_eq!(fake.lines("GET /v2/some/app/manifests").len(), 1, "404 is an answer");
}
