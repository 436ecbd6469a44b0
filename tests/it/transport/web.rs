//! nginx before a registry: HTTP/2, redirects to another server, slow links, limits of size.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use silt::oci::Platform;
use silt::registry::{Client, Policy, Protocols};
use silt::store::BlobDir;

use super::{digests, hasty, parcel, with_password};
use crate::registry::reference;
use crate::support::authority::Authority;
use crate::support::executor::Build;
use crate::support::nginx::Nginx;
use crate::support::registry::{Kind, Registry};

/// How nginx passes on what it is asked.
pub const PASS: &str = "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;\n\
    client_max_body_size 0; proxy_request_buffering off; proxy_http_version 1.1;";

fn back(parcel: &super::Parcel) -> BlobDir {
    BlobDir::create(&parcel.dir.path().join("back")).unwrap()
}

#[test]
fn one_connection_of_http_2_serves_all() {
    let authority = Authority::new();
    let (registry, parcel) = (Registry::start(), parcel(12, 200_000, 7));
    let (certificate, key) = authority.server();
    let nginx = Nginx::start(|port, dir| {
        format!(
            "log_format own '$server_protocol $connection $request_method';\n\
             access_log {}/access.log own;\n\
             server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {}; ssl_certificate_key {};\n\
             location / {{ proxy_pass http://127.0.0.1:{}; {PASS} }} }}",
            dir.display(),
            certificate.display(),
            key.display(),
            registry.port()
        )
    });
    let name = reference(&nginx.name("some/app:1"));
    let certificates = BTreeMap::from([(name.registry().to_owned(), vec![authority.certificate()])]);
    let policy = Policy { registry_certificates: certificates, ..hasty() };
    let client = Client::new(policy.clone()).unwrap();
    client.push(&name, &parcel.image, &parcel.blobs).unwrap();
    let back = back(&parcel);
    client.pull(&name, &Platform::host(), &back).unwrap();
    assert!(digests(&parcel.image).iter().all(|digest| back.has(digest)));
    // HEAD, POST, PATCH, PUT and GET of thirteen blobs, PUT and GET of the manifest, two questions for the version.
    let log = nginx.log(|lines| lines.len() >= 5 * 13 + 4);
    assert!(log.len() == 5 * 13 + 4 && log.iter().all(|line| line.starts_with("HTTP/2.0")), "{log:?}");
    let connections: std::collections::BTreeSet<_> = log.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(connections.len(), 1, "{connections:?}");
    let old = Client::new(Policy { protocols: Protocols::Http1, ..policy }).unwrap();
    old.push(&name, &parcel.image, &parcel.blobs).unwrap();
    let both = nginx.log(|lines| lines.len() >= log.len() + 15);
    assert!(both.iter().skip(log.len()).all(|line| line.starts_with("HTTP/1.1")), "{both:?}");
}

#[test]
fn a_blob_store_elsewhere_sees_no_credential() {
    let (registry, parcel) = (Registry::start_as(Kind::Password), parcel(3, 5000, 8));
    let client = with_password(Policy::default(), "pass:word");
    client.push(&reference(&registry.name("some/app:1")), &parcel.image, &parcel.blobs).unwrap();
    // The store has a credential of its own for the registry, as one with signed addresses needs none.
    let nginx = Nginx::start(|port, dir| {
        format!(
            "log_format own '$host \"$http_authorization\" $request_method $uri';\n\
             access_log {}/access.log own;\n\
             server {{ listen 127.0.0.1:{port} default_server; server_name registry;\n\
             location ~ /blobs/sha256: {{ return 307 http://localhost:{port}$request_uri; }}\n\
             location / {{ proxy_pass http://127.0.0.1:{}; {PASS} }} }}\n\
             server {{ listen 127.0.0.1:{port}; server_name localhost;\n\
             location / {{ proxy_pass http://127.0.0.1:{}; {PASS} proxy_set_header Authorization '{}'; }} }}",
            dir.display(),
            registry.port(),
            registry.port(),
            crate::support::tokens::BASIC
        )
    });
    let client = with_password(hasty(), "pass:word");
    client.pull(&reference(&nginx.name("some/app:1")), &Platform::host(), &back(&parcel)).unwrap();
    let is_there = |line: &&String| line.starts_with("localhost ");
    let log = nginx.log(|lines| lines.iter().filter(is_there).count() >= 4);
    let there: Vec<&String> = log.iter().filter(is_there).collect();
    assert_eq!(there.len(), 4, "three layers and the configuration: {log:?}");
    assert!(there.iter().all(|line| line.starts_with("localhost \"-\" GET /v2/some/app/blobs/sha256:")), "{there:?}");
    assert!(log.iter().any(|line| line.starts_with("127.0.0.1 \"Basic ")), "{log:?}");
}

#[test]
fn a_slow_link_is_no_dead_one() {
    let (registry, parcel) = (Registry::start(), parcel(1, 400_000, 9));
    Client::new(Policy::default())
        .unwrap()
        .push(&reference(&registry.name("a:1")), &parcel.image, &parcel.blobs)
        .unwrap();
    let nginx = Nginx::start(|port, _| {
        format!(
            "access_log off; server {{ listen 127.0.0.1:{port}; location / {{ limit_rate 100k;\n\
             proxy_pass http://127.0.0.1:{}; {PASS} }} }}",
            registry.port()
        )
    });
    let policy = hasty();
    let begun = Instant::now();
    let (stall, back) = (policy.timeouts.stall, back(&parcel));
    Client::new(policy).unwrap().pull(&reference(&nginx.name("a:1")), &Platform::host(), &back).unwrap();
    assert!(begun.elapsed() > stall + Duration::from_secs(1), "it was not slow: {:?}", begun.elapsed());
}

#[test]
fn a_limit_of_size_is_met_in_chunks() {
    let (registry, parcel) = (Registry::start(), parcel(2, 3_000_000, 10));
    let nginx = Nginx::start(|port, dir| {
        format!(
            "log_format own '$status $request_method $request_length';\n\
             access_log {}/access.log own; server {{ listen 127.0.0.1:{port}; location / {{\n\
             proxy_set_header Host $http_host; client_max_body_size 1m; proxy_pass http://127.0.0.1:{}; }} }}",
            dir.display(),
            registry.port()
        )
    });
    let name = reference(&nginx.name("some/app:1"));
    let client = Client::new(hasty()).unwrap();
    client.push(&name, &parcel.image, &parcel.blobs).unwrap();
    client.pull(&name, &Platform::host(), &back(&parcel)).unwrap();
    let count = |lines: &[String], start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    let log = nginx.log(|lines| count(lines, "202 PATCH") >= 6);
    let (refused, taken) = (count(&log, "413 PATCH"), count(&log, "202 PATCH"));
    assert!((1..=4).contains(&refused) && taken >= 6, "{log:?}");
}

#[test]
fn every_transfer_is_told_of() {
    let registry = Registry::start();
    // Twelve seconds for 1.3 MB: a line is due every ten.
    let nginx = Nginx::start(|port, _| {
        format!(
            "access_log off; server {{ listen 127.0.0.1:{port}; location / {{ limit_rate 110k;\n\
             proxy_pass http://127.0.0.1:{}; {PASS} }} }}",
            registry.port()
        )
    });
    let base = Build::new("FROM scratch\nCOPY large /\n").file("large", super::noise(1_300_000, 21));
    base.arg(format!("--destination={}", registry.name("base:1"))).succeed();
    let lines = |dockerfile: &str, level: &str, to: &str| {
        let build = Build::new(dockerfile).file("a", "a").arg(format!("--destination={to}"));
        let stderr = build.args(["--log-format=json", &format!("--verbosity={level}")]).succeed().stderr();
        let said = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let said =
            |line| (said(line)["level"].as_str().unwrap().to_owned(), said(line)["msg"].as_str().unwrap().to_owned());
        stderr.lines().map(said).collect::<Vec<_>>()
    };
    let (slow, fast) = (nginx.name("base:1"), registry.name("app:1"));
    let said = lines(&format!("FROM {slow}\nCOPY a /\n"), "info", &fast);
    let of_blob: Vec<_> =
        said.iter().filter(|(_, line)| line.starts_with("pull ") && line.contains("blob sha256:")).collect();
    let [config, on_the_way, done] = &of_blob[..] else {
        panic!("not one line of the configuration, one on the way and one at the end: {said:?}")
    };
    assert!(config.0 == "info" && config.1.contains(": done, "), "{config:?}");
    let figures = on_the_way.1.rsplit_once(": ").unwrap().1.strip_suffix(" %)").unwrap().replace(" of ", " ");
    let figures: Vec<u64> = figures.split([' ', '(']).filter_map(|word| word.parse().ok()).collect();
    let [bytes, all, percent] = figures[..] else { panic!("{on_the_way:?}") };
    assert!(1_300_000 <= all && (700_000..all).contains(&bytes) && percent == bytes * 100 / all, "{on_the_way:?}");
    assert!(on_the_way.0 == "info" && done.0 == "info", "{of_blob:?}");
    assert!(done.1.contains(&format!("done, {all} bytes in 1")) && done.1.ends_with(" s"), "{done:?}");
    // Also of one that takes no time.
    let said = lines("FROM scratch\nCOPY a /\n", "info", &registry.name("app:2"));
    let ends = said.iter().filter(|(_, line)| line.contains(": done, ") && line.contains("push blob sha256:"));
    assert_eq!(ends.count(), 2, "a layer and the configuration: {said:?}");
}
