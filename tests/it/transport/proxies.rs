//! Forward proxies: with a password, for plain and for encrypted registries, and not for what `NO_PROXY` names.

use std::collections::BTreeMap;

use silt::registry::{Client, Policy, Proxies};

use super::{hasty, parcel};
use crate::registry::{fails, reference};
use crate::support::authority::Authority;
use crate::support::executor::Build;
use crate::support::gateway::{Gateway, Request, Verdict};
use crate::support::registry::{Kind, Registry};
use crate::support::tokens::BASIC;

/// A proxy that takes every name for a registry on this machine, if it speaks `scheme`, and wants `me` and `pass:word`.
fn proxy(port: u16, speaks_tls: bool) -> Gateway {
    Gateway::start(port, move |asked: &Request| {
        if asked.header("proxy-authorization") != BASIC {
            return Verdict::status(407);
        }
        if asked.method == "CONNECT" {
            return if speaks_tls { Verdict::Tunnel(port) } else { Verdict::status(502) };
        }
        let path = asked.target.strip_prefix("http://").and_then(|rest| rest.split_once('/'));
        path.map_or(Verdict::status(400), |(_, path)| Verdict::ForwardTo(format!("/{path}")))
    })
}

fn policy(gateway: &Gateway, user: &str, no_proxy: &'static str) -> Policy {
    let address = format!("http://{user}127.0.0.1:{}", gateway.port());
    let get = |name: &str| match name {
        "http_proxy" | "HTTPS_PROXY" => Some(address.as_str()),
        "NO_PROXY" => Some(no_proxy),
        _ => None,
    };
    Policy { proxies: Proxies::of_variables(get).unwrap(), ..hasty() }
}

#[test]
fn a_plain_registry_is_reached_through_a_proxy() {
    let (registry, parcel) = (Registry::start(), parcel(2, 1000, 11));
    let gateway = proxy(registry.port(), false);
    let name = reference("registry.local:5000/some/app:1");
    let client = Client::new(policy(&gateway, "me:pass%3Aword@", "")).unwrap();
    client.push(&name, &parcel.image, &parcel.blobs).unwrap();
    assert_eq!(registry.manifest_status("some/app", "1"), 200);
    assert!(gateway.requests().iter().all(|asked| asked.header("authorization").is_empty()));
    let wrong = Client::new(policy(&gateway, "me:wrong@", "")).unwrap();
    fails(wrong.check_push(&name), &["registry.local:5000", "407"]);
    // Nothing of this machine goes through it.
    let before = gateway.requests().len();
    client.push(&reference(&registry.name("direct:1")), &parcel.image, &parcel.blobs).unwrap();
    assert_eq!(gateway.requests().len(), before);
    let direct = Client::new(policy(&gateway, "me:pass%3Aword@", "10.0.0.0/8,registry.local:5000")).unwrap();
    direct.check_push(&name).expect_err("nobody else knows that name");
    assert_eq!(gateway.requests().len(), before);
}

#[test]
fn an_encrypted_registry_is_reached_through_a_tunnel() {
    let authority = Authority::new();
    let (registry, parcel) = (Registry::start_as(Kind::Signed(&authority)), parcel(2, 1000, 12));
    let gateway = proxy(registry.port(), true);
    let name = reference("registry.local:5000/some/app:1");
    let certificates = BTreeMap::from([(name.registry().to_owned(), vec![authority.certificate()])]);
    let policy = Policy { registry_certificates: certificates, ..policy(&gateway, "me:pass%3Aword@", "10.0.0.0/8") };
    Client::new(policy).unwrap().push(&name, &parcel.image, &parcel.blobs).unwrap();
    let lines: std::collections::BTreeSet<String> = gateway.requests().iter().map(Request::line).collect();
    assert_eq!(lines.into_iter().collect::<Vec<_>>(), ["CONNECT registry.local:5000"]);
}

#[test]
fn plain_http_is_spoken_where_it_is_asked_for_and_is_told_of() {
    let registry = Registry::start();
    // Only through the proxy is there such a host, and nothing that speaks TLS.
    let gateway = proxy(registry.port(), false);
    let address = format!("http://me:pass%3Aword@127.0.0.1:{}", gateway.port());
    let (host, name) = ("registry.example:5000", "registry.example:5000/some/app:1");
    let build = |dockerfile: &str, to: &str| {
        let build = Build::new(dockerfile).file("a", "a").arg(format!("--destination={to}"));
        build.env("http_proxy", &address).env("HTTPS_PROXY", &address)
    };
    let copy = "FROM scratch\nCOPY a /\n";
    build(copy, name).fail(1, &[host, "cannot reach the registry"]);
    build(copy, name).arg("--insecure-registry=other.example:5000").fail(1, &[host, "cannot reach the registry"]);
    let plain = gateway.requests().iter().filter(|asked| asked.method != "CONNECT").count();
    assert_eq!(plain, 0, "plain HTTP that nobody asked for");
    let flag = format!("--insecure-registry={host}");
    let told = format!("speaking plain HTTP with {host} (https: ");
    let stderr = build(copy, name).arg(&flag).succeed().stderr();
    assert!(stderr.contains(&told), "{stderr}");
    assert_eq!(registry.manifest_status("some/app", "1"), 200);
    let second = "registry.example:5000/some/app:2";
    let stderr = build(&format!("FROM {name}\nCOPY a /b\n"), second).arg(&flag).succeed().stderr();
    assert_eq!(stderr.matches(&told).count(), 2, "once for pulling and once for pushing:\n{stderr}");
    // One flag for each direction.
    build(copy, name).arg("--insecure-pull").fail(1, &[host, "cannot reach the registry"]);
    build(copy, name).arg("--insecure").succeed();
    build(&format!("FROM {name}\nCOPY a /b\n"), second).arg("--insecure").fail(1, &[host, "cannot reach"]);
    // On this machine nobody need ask for it.
    let near = registry.name("near:1");
    let stderr = build(copy, &near).succeed().stderr();
    let host = near.trim_end_matches("/near:1");
    assert!(stderr.contains(&format!("speaking plain HTTP with {host} (https: ")), "{stderr}");
}
