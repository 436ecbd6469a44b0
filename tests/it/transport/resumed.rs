//! Broken connections to a real registry: what is here already is not fetched again, what is gone wrong is begun anew.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use silt::oci::Platform;
use silt::registry::Client;
use silt::store::BlobDir;

use super::{digests, hasty, parcel};
use crate::registry::{fails, reference};
use crate::support::gateway::{Gateway, Request, Verdict};
use crate::support::registry::Registry;

#[test]
fn a_download_goes_on_where_it_broke() {
    let (registry, parcel) = (Registry::start(), parcel(1, 500_000, 14));
    Client::new(hasty()).unwrap().push(&reference(&registry.name("a:1")), &parcel.image, &parcel.blobs).unwrap();
    let layer = digests(&parcel.image)[0].to_string();
    let gateway = Gateway::start(registry.port(), {
        let (layer, broken) = (layer.clone(), AtomicUsize::new(0));
        move |asked| match asked.target.ends_with(&layer) && broken.fetch_add(1, Ordering::Relaxed) < 2 {
            true => Verdict::CutAnswer(200_000),
            false => Verdict::Forward,
        }
    });
    let back = BlobDir::create(&parcel.dir.path().join("back")).unwrap();
    Client::new(hasty()).unwrap().pull(&reference(&gateway.name("a:1")), &Platform::host(), &back).unwrap();
    let asked = gateway.requests();
    let ranges: Vec<&str> = asked.iter().filter(|a| a.target.ends_with(&layer)).map(|a| a.header("range")).collect();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    let starts: Vec<u64> =
        ranges.iter().skip(1).filter_map(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).collect();
    assert!(starts.len() == 2 && 100_000 < starts[0] && starts[0] + 100_000 < starts[1], "{ranges:?}");
}

#[test]
fn an_upload_that_broke_is_not_left_half_done() {
    let (registry, parcel) = (Registry::start(), parcel(1, 500_000, 15));
    let broken = AtomicUsize::new(0);
    let gateway = Gateway::start(registry.port(), move |asked| {
        let is_first = asked.method == "PATCH" && broken.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first { Verdict::CutBody(200_000) } else { Verdict::Forward }
    });
    let name = reference(&gateway.name("a:1"));
    Client::new(hasty()).unwrap().push(&name, &parcel.image, &parcel.blobs).unwrap();
    let back = BlobDir::create(&parcel.dir.path().join("back")).unwrap();
    Client::new(hasty()).unwrap().pull(&reference(&registry.name("a:1")), &Platform::host(), &back).unwrap();
    assert!(gateway.lines("GET /v2/a/blobs/uploads/").len() == 1, "it was not asked how much it has");
}

#[test]
fn a_dead_peer_is_given_up_within_its_time() {
    let (registry, parcel) = (Registry::start(), parcel(1, 50_000, 16));
    Client::new(hasty()).unwrap().push(&reference(&registry.name("a:1")), &parcel.image, &parcel.blobs).unwrap();
    let layer = parcel.image.layers()[0].descriptor.digest.to_string();
    // Not the configuration: what comes after a stalled answer on its connection is lost.
    let is_layer = move |asked: &Request| asked.method == "GET" && asked.target.ends_with(&layer);
    let stalls = is_layer.clone();
    let gateway = Gateway::start(registry.port(), move |asked| match stalls(asked) {
        true => Verdict::Stall(1000),
        false => Verdict::Forward,
    });
    let begun = Instant::now();
    let back = BlobDir::create(&parcel.dir.path().join("back")).unwrap();
    let pulled = Client::new(hasty()).unwrap().pull(&reference(&gateway.name("a:1")), &Platform::host(), &back);
    fails(pulled, &[&format!("127.0.0.1:{}", gateway.port()), "went silent"]);
    // Four attempts of a second and a half, and the waits between.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    assert_eq!(gateway.requests().iter().filter(|asked| is_layer(asked)).count(), 4);
}
