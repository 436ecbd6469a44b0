//! What is sent where, how long it may take, and which way.

use super::*;
use crate::credentials::fake::{self, Fake, network};

#[test]
fn secrets_are_not_sent_in_the_open() {
    let check = |server, url: &str, expected| {
        assert_eq!(is_safe(server, &Url::parse(url).expect("url")).is_ok(), expected, "{url}");
    };
    check(Server::Service, "https://sts.example/", true);
    check(Server::Service, "http://sts.example/", false);
    check(Server::Service, "http://127.0.0.1:1/", true);
    check(Server::Service, "http://localhost/", true);
    check(Server::Service, "http://[::1]:3/", true);
    check(Server::Service, "http://localhost.example/", false);
    check(Server::Service, "ftp://127.0.0.1/", false);
    check(Server::Metadata, "http://169.254.169.254/", true);
    check(Server::Metadata, "file:///etc/passwd", false);
}

#[test]
fn what_services_say() {
    let check = |body: &str, expected: Option<&str>| assert_eq!(said(body.as_bytes()).as_deref(), expected, "{body}");
    check(r#"{"error":"invalid_grant","error_description":"Bad\nRequest"}"#, Some("invalid_grant: Bad Request"));
    check(r#"{"error":{"code":403,"message":"No","status":"DENIED"}}"#, Some("DENIED: No"));
    check(r#"{"__type":"ExpiredTokenException","message":"old"}"#, Some("ExpiredTokenException: old"));
    check(r#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#, Some("UNAUTHORIZED: no"));
    check(r#"{"access_token":"hunter2"}"#, None);
    check("<html>", None);
}

#[test]
fn a_server_that_was_named_may_think_and_the_metadata_server_may_not() {
    let slow = Fake::start(|_| {
        std::thread::sleep(Duration::from_secs(4));
        fake::Answer::ok("late")
    });
    let http = Http::new(network());
    let call = Call::get(&slow.address).expect("an address");
    assert!(http.send(Server::Metadata, &call).is_err());
    assert_eq!(http.send(Server::Beside, &call).map(|answer| answer.body), Ok(b"late".to_vec()));
}

#[test]
fn services_are_reached_through_the_proxy_and_nothing_near_is() {
    let proxy = Fake::start(|_| fake::Answer(403, Vec::new(), String::new()));
    let near = Fake::start(|_| fake::Answer::ok("near"));
    let way = reqwest::Proxy::all(&proxy.address).expect("a proxy");
    let http = Http::new(Network { proxy: Some(way), ..network() });
    let call = |address: &str| Call::get(address).expect("an address");
    for server in [Server::Metadata, Server::Beside, Server::Issuer, Server::Service] {
        assert!(http.send(server, &call(&near.address)).is_ok(), "{server:?}");
    }
    assert!(proxy.requests().is_empty());
    assert!(http.send(Server::Service, &call("https://sts.example/")).is_err());
    assert_eq!(proxy.lines(), ["CONNECT sts.example:443"; 3], "once and two attempts more");
    assert!(http.send(Server::Issuer, &call("http://issuer.example/token")).is_err());
    assert_eq!(proxy.lines()[3..], ["GET http://issuer.example/token"]);
    for near in ["http://169.254.169.254/", "http://127.0.0.1/", "http://[::1]/"] {
        let engine = Engine::start(&http.network).expect("clients");
        let url = Url::parse(near).expect("url");
        assert!(std::ptr::eq(engine.client(Server::Issuer, &url), &raw const engine.direct), "{near}");
    }
}

#[test]
fn a_caller_may_be_on_a_thread_of_another_runtime() {
    let fake = Fake::start(|_| fake::Answer::ok("yes"));
    let http = Http::new(network());
    let call = Call::get(&fake.address).expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let answer = runtime.block_on(async { http.send(Server::Service, &call) });
    assert_eq!(answer.map(|answer| answer.body), Ok(b"yes".to_vec()));
    runtime.block_on(async { drop(http) });
}
