//! Tokens: signed ones that docker-registry checks itself, and opaque ones that a gateway before it checks to the letter.

use std::time::Duration;

use silt::oci::Platform;
use silt::registry::{Client, Policy};
use silt::store::BlobDir;

use super::{digests, hasty, parcel, with_password};
use crate::registry::{fails, reference};
use crate::support::gateway::{Gateway, Verdict};
use crate::support::registry::{Kind, Registry};
use crate::support::tokens::TokenServer;

#[test]
fn signed_tokens_are_bought_for_each_repository() {
    let server = TokenServer::start(Duration::from_secs(300));
    let (registry, parcel) = (Registry::start_as(Kind::Tokens(&server)), parcel(3, 1000, 5));
    let client = with_password(Policy::default(), "pass:word");
    let (first, second) = (reference(&registry.name("some/app:1")), reference(&registry.name("other/app:1")));
    client.check_push(&first).unwrap();
    client.push(&first, &parcel.image, &parcel.blobs).unwrap();
    let none = BlobDir::create(&parcel.dir.path().join("none")).unwrap();
    let image = client.resolve(&first, &Platform::host()).unwrap().image;
    client.push(&second, &image, &none).unwrap();
    assert!(digests(&image).iter().all(|digest| !none.has(digest)), "a layer was fetched that could be mounted");
    let asked = server.gateway.lines("GET /token");
    let both = "scope=repository%3Aother%2Fapp%3Apull%2Cpush&scope=repository%3Asome%2Fapp%3Apull";
    assert!(asked.iter().any(|line| line.ends_with(both)), "{asked:?}");
    fails(
        Client::new(Policy::default()).unwrap().check_push(&first),
        &["token from 127.0.0.1", "incorrect username or password", "no credentials were given"],
    );
}

#[test]
fn a_token_that_ends_within_a_push_is_replaced() {
    let server = TokenServer::start(Duration::from_secs(2));
    let (registry, parcel) = (Registry::start(), parcel(12, 1000, 6));
    let guard = server.guard();
    let gateway = Gateway::start(registry.port(), move |asked| {
        // Slow enough for a push to outlast several tokens.
        let verdict = guard(asked);
        if asked.method == "PATCH" && matches!(verdict, Verdict::Forward) {
            std::thread::sleep(Duration::from_millis(1200));
        }
        verdict
    });
    let name = reference(&gateway.name("some/app:1"));
    let client = with_password(hasty(), "pass:word");
    client.push(&name, &parcel.image, &parcel.blobs).unwrap();
    let tokens = server.gateway.lines("GET /token").len();
    assert!((3..30).contains(&tokens), "{tokens} tokens");
    let back = BlobDir::create(&parcel.dir.path().join("back")).unwrap();
    client.pull(&name, &Platform::host(), &back).unwrap();
    let passwords =
        gateway.requests().iter().filter(|asked| asked.header("authorization").starts_with("Basic")).count();
    assert_eq!(passwords, 0, "the password is for the token server");
}
