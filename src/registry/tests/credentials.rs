//! Who we are: shown to the registry and its token server alone, renewed in time, and told when it does not do.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::credentials::{Credential, Identity, Secret};

fn identified(credential: Credential) -> Client {
    let identity = Identity { credential, source: "the test".to_owned() };
    client().identified_by(move |_, _| Ok(identity.clone()))
}

fn basic() -> Credential {
    Credential::basic("me", "pass:word")
}

const BASIC: &str = "Basic bWU6cGFzczp3b3Jk";

fn pull(client: &Client, sample: &Sample, fake: &Fake) -> Result<Image, Error> {
    client.pull(&reference(&fake.name("some/app:1")), &Platform::host(), &sample.blobs)
}

/// Wants user and password.
fn doorman(request: &Request, _: &str) -> Option<Answer> {
    let denied = Answer::new(401).header("WWW-Authenticate", r#"Basic realm="fake""#);
    (request.header("authorization") != BASIC).then_some(denied.body(r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#))
}

#[test]
fn user_and_password_are_shown_where_they_are_asked_for() {
    let sample = sample();
    let fake = sample.fake(doorman);
    pull(&identified(basic()), &sample, &fake).expect("pulled");
    let bare = fake.requests().iter().filter(|request| request.header("authorization").is_empty()).count();
    assert_eq!(bare, 1, "only the first, which asks what is wanted");
    let fake = sample.fake(|_, _| None);
    pull(&identified(basic()), &sample, &fake).expect("pulled");
    assert!(fake.requests().iter().all(|request| request.header("authorization").is_empty()), "nobody asked");
}

#[test]
fn a_registry_may_ask_late() {
    let sample = sample();
    let fake = sample.fake(|request, address| (request.target != "/v2/").then(|| doorman(request, address)).flatten());
    pull(&identified(basic()), &sample, &fake).expect("pulled");
    let fake = sample.fake(|request, address| (request.target != "/v2/").then(|| guard(request, address)).flatten());
    pull(&client(), &sample, &fake).expect("pulled");
}

#[test]
fn a_failure_names_the_credentials_and_the_answer() {
    let sample = sample();
    let fake = sample.fake(doorman);
    let error = pull(&client(), &sample, &fake).expect_err("denied").to_string();
    assert!(error.contains("access denied (UNAUTHORIZED); no credentials were given"), "{error}");
    let wrong = Credential::basic("me", "wrong");
    let error = pull(&identified(wrong), &sample, &fake).expect_err("denied").to_string();
    assert!(error.contains(r#"(UNAUTHORIZED); user "me" from the test"#) && !error.contains("wrong"), "{error}");
    let broken = client().identified_by(|_, _| Err("config.json: line 3: no JSON".to_owned()));
    let error = pull(&broken, &sample, &fake).expect_err("no credentials").to_string();
    assert!(error.contains("config.json: line 3"), "{error}");
}

#[test]
fn user_and_password_buy_a_token() {
    let sample = sample();
    let fake = sample.fake(|request, address| match request.target.starts_with("/token?") {
        true if request.header("authorization") != BASIC => {
            Some(Answer::new(401).body(r#"{"details":"incorrect username or password"}"#))
        }
        _ => guard(request, address),
    });
    pull(&identified(basic()), &sample, &fake).expect("pulled");
    let shown = fake.requests().iter().filter(|request| request.header("authorization") == BASIC).count();
    assert_eq!(shown, 1, "at the token server and nowhere else");
    let error = pull(&client(), &sample, &fake).expect_err("denied").to_string();
    assert!(error.contains("token from 127.0.0.1: access denied (incorrect username or password)"), "{error}");
}

#[test]
fn an_identity_token_is_posted() {
    let sample = sample();
    let fake = sample.fake(|request, address| match request.line().as_str() {
        "POST /token" => {
            let form = String::from_utf8_lossy(&request.body).into_owned();
            assert!(form.contains("grant_type=refresh_token") && form.contains("refresh_token=r%2Ft"), "{form}");
            assert!(form.contains("service=fake") && form.contains("scope=repository%3Asome%2Fapp%3Apull"), "{form}");
            let token = "service=fake&scope=repository%3Asome%2Fapp";
            Some(Answer::new(200).body(format!(r#"{{"access_token":"{token}","expires_in":300}}"#)))
        }
        _ => guard(request, address),
    });
    pull(&identified(Credential::IdentityToken(Secret::new("r/t"))), &sample, &fake).expect("pulled");
    assert_eq!(fake.lines("POST /token").len(), 1);
    let elsewhere = sample.fake(|_, _| None).name("steal");
    let fake = sample.fake(move |request, address| match request.line().as_str() {
        "POST /token" => Some(Answer::new(307).header("Location", format!("http://{elsewhere}"))),
        _ => guard(request, address),
    });
    let thief = identified(Credential::IdentityToken(Secret::new("r/t")));
    let error = pull(&thief, &sample, &fake).expect_err("not followed").to_string();
    assert!(error.contains("another host"), "{error}");
}

#[test]
fn a_registry_token_is_shown_as_it_is() {
    let sample = sample();
    let token = "service=fake&scope=repository%3Asome%2Fapp";
    let fake = sample.fake(guard);
    pull(&identified(Credential::RegistryToken(Secret::new(token))), &sample, &fake).expect("pulled");
    assert!(fake.lines("GET /token").is_empty());
    let error = pull(&identified(Credential::RegistryToken(Secret::new("old"))), &sample, &fake).expect_err("denied");
    assert!(error.to_string().contains("registry token from the test"), "{error}");
}

#[test]
fn a_token_that_ends_within_a_push_is_replaced() {
    let sample = sample();
    sample.blobs.insert(LAYER).expect("stored");
    let given = AtomicU32::new(0);
    let fake = sample.fake(move |request, address| {
        if request.target.starts_with("/token?") {
            let number = given.fetch_add(1, Ordering::Relaxed);
            return Some(Answer::new(200).body(format!(r#"{{"token":"t{number}","expires_in":3600}}"#)));
        }
        // Each token is good until a blob has been sent with it.
        let current = format!("Bearer t{}", given.load(Ordering::Relaxed).saturating_sub(1));
        let challenge = format!(r#"Bearer realm="{address}/token",service="fake""#);
        let denied = Answer::new(401).header("WWW-Authenticate", challenge);
        if request.header("authorization") != current {
            return Some(denied);
        }
        if request.method == "PATCH" && request.header("authorization") == "Bearer t0" {
            return Some(denied);
        }
        upload(request, address)
    });
    client().push(&reference(&fake.name("a:1")), &sample.image, &sample.blobs).expect("pushed");
    assert_eq!(fake.lines("GET /token").len(), 2, "{:?}", fake.lines("GET /token"));
    assert_eq!(fake.lines("PUT /v2/a/manifests/1").len(), 1);
}

#[test]
fn no_credential_goes_to_another_place() {
    let sample = sample();
    let other = sample.fake(|_, _| None);
    let elsewhere = format!("http://{}", other.name("v2/x/blobs/"));
    let fake = sample.fake(move |request, address| {
        let layer = Digest::of(LAYER);
        let moved = || Answer::new(302).header("Location", format!("{elsewhere}{layer}"));
        doorman(request, address).or_else(|| request.target.contains(layer.as_str()).then(moved))
    });
    pull(&identified(basic()), &sample, &fake).expect("pulled");
    assert_eq!((other.requests().len(), other.requests()[0].header("authorization")), (1, ""));
    let round = sample.fake(|request, address| {
        request
            .target
            .contains("/blobs/")
            .then(|| Answer::new(302).header("Location", format!("{address}{}", request.target)))
    });
    let error = pull(&client(), &sample, &round).expect_err("a circle");
    assert!(error.to_string().contains("too many redirects"), "{error}");
}
