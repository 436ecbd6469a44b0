//! Several destinations at once, and pushes that are begun again.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::*;

/// A registry that knows its blobs, and mounts them.
fn remembering(sample: &Sample) -> Fake {
    let blobs = Mutex::new(BTreeSet::new());
    sample.fake(move |request, address| {
        let mut blobs = blobs.lock().expect("blobs");
        let digest = |key: &str| {
            let value = request.target.split(key).nth(1)?.split('&').next()?;
            Some(value.replace("%3A", ":"))
        };
        let repository =
            request.target.strip_prefix("/v2/").and_then(|rest| rest.split("/blobs/").next()).unwrap_or("");
        match request.method.as_str() {
            "HEAD" => {
                let name = request.target.rsplit('/').next()?.to_owned();
                Some(Answer::new(if blobs.contains(&(repository.to_owned(), name)) { 200 } else { 404 }))
            }
            "POST" if request.target.contains("mount=") => {
                blobs.insert((repository.to_owned(), digest("mount=")?));
                Some(Answer::new(201))
            }
            "POST" => Some(Answer::new(202).header("Location", format!("{address}/session?r={repository}"))),
            "PUT" if request.target.starts_with("/session") => {
                let repository = request.target.split("r=").nth(1)?.split('&').next()?;
                blobs.insert((repository.replace("%2F", "/"), digest("digest=")?));
                Some(Answer::new(201))
            }
            "PATCH" => Some(Answer::new(202).header("Location", format!("{address}{}", request.target))),
            _ => upload(request, address),
        }
    })
}

#[test]
fn tags_share_blobs_and_repositories_mount_them() {
    let sample = sample();
    sample.blobs.insert(LAYER).expect("stored");
    let (one, two) = (remembering(&sample), remembering(&sample));
    let names = [one.name("a:1"), one.name("a:2"), one.name("b:1"), two.name("c:1")].map(|name| reference(&name));
    let client = client();
    client.push_to_all(&names, &sample.image, &sample.blobs).expect("pushed");
    assert_eq!((one.lines("PATCH").len(), two.lines("PATCH").len()), (2, 2), "each blob once a registry");
    assert_eq!(one.lines("POST /v2/b/blobs/uploads/?mount=").len(), 2, "{:?}", one.lines("POST"));
    let manifests = |fake: &Fake| fake.lines("PUT /v2/");
    assert_eq!(manifests(&one), ["PUT /v2/a/manifests/1", "PUT /v2/a/manifests/2", "PUT /v2/b/manifests/1"]);
    let order = one.requests();
    let first = order.iter().position(|r| r.line().starts_with("PUT /v2/")).expect("a manifest");
    assert!(order[first..].iter().all(|r| r.line().starts_with("PUT /v2/")), "a blob after a manifest");
    // Once more: no upload at all.
    let before = one.lines("POST").len();
    client.push_to_all(&names, &sample.image, &sample.blobs).expect("pushed again");
    assert_eq!((one.lines("POST").len(), one.lines("PATCH").len()), (before, 2));
}

#[test]
fn no_destination_gets_a_manifest_if_one_lacks_a_blob() {
    let sample = sample();
    sample.blobs.insert(LAYER).expect("stored");
    let refusing = |request: &Request, _: &str| match request.method.as_str() {
        "HEAD" => Some(Answer::new(404)),
        "POST" => Some(Answer::new(403)),
        _ => None,
    };
    let (good, bad) = (remembering(&sample), sample.fake(refusing));
    let names = [good.name("a:1"), bad.name("a:1")].map(|name| reference(&name));
    let error = client().push_to_all(&names, &sample.image, &sample.blobs).expect_err("denied");
    assert!(error.to_string().contains(&bad.name("a")), "{error}");
    assert!(good.lines("PUT /v2/").is_empty());
}

#[test]
fn a_push_is_begun_again_as_often_as_asked() {
    let attempts = |push_retry, expected: bool| {
        let sample = sample();
        sample.blobs.insert(LAYER).expect("stored");
        let refused = AtomicU32::new(0);
        let fake = sample.fake(move |request, address| match request.line().starts_with("PUT /v2/") {
            true if refused.fetch_add(1, Ordering::Relaxed) < 2 => Some(Answer::new(400)),
            _ => upload(request, address),
        });
        let client = Client::new(Policy { push_retry, ..policy() }).expect("a client");
        let pushed = client.push(&reference(&fake.name("a:1")), &sample.image, &sample.blobs);
        assert_eq!(pushed.is_ok(), expected, "{push_retry}: {pushed:?}");
    };
    attempts(0, false);
    attempts(1, false);
    attempts(2, true);
}

#[test]
fn a_tag_that_may_not_move_is_an_error_unless_it_need_not() {
    let push = |ignore_immutable_tag_errors| {
        let sample = sample();
        sample.blobs.insert(LAYER).expect("stored");
        let text = r#"{"errors":[{"code":"TAG_INVALID","message":"The image tag '1' already exists in the 'a' repository and cannot be overwritten because the tag is immutable."}]}"#;
        let fake = sample.fake(move |request, address| match request.line().starts_with("PUT /v2/") {
            true => Some(Answer::new(400).body(text)),
            false => upload(request, address),
        });
        let client = Client::new(Policy { ignore_immutable_tag_errors, ..policy() }).expect("a client");
        client.push(&reference(&fake.name("a:1")), &sample.image, &sample.blobs)
    };
    push(true).expect("ignored");
    assert!(push(false).expect_err("immutable").to_string().contains("TAG_INVALID"));
}

#[test]
fn a_blob_of_another_size_is_not_the_blob() {
    let sample = sample();
    sample.blobs.insert(LAYER).expect("stored");
    let fake = sample.fake(|request, address| match request.method.as_str() {
        "HEAD" => Some(Answer::new(200).body("short")),
        _ => upload(request, address),
    });
    client().push(&reference(&fake.name("a:1")), &sample.image, &sample.blobs).expect("pushed");
    assert_eq!(fake.lines("PATCH").len(), 2);
}

#[test]
fn the_user_agent_says_who_runs_us() {
    let sample = sample();
    let fake = sample.fake(|_, _| None);
    let client = Client::new(Policy { client_type: Some("cloud-build".to_owned()), ..policy() }).expect("a client");
    client.pull(&reference(&fake.name("some/app:1")), &Platform::host(), &sample.blobs).expect("pulled");
    let expected = concat!("silt/", env!("CARGO_PKG_VERSION"), ",cloud-build");
    assert!(fake.requests().iter().all(|request| request.header("user-agent") == expected));
}
