//! What a push may cost: no upload of what is there, and few connections.

use silt::oci::Platform;
use silt::registry::Client;
use silt::store::BlobDir;

use super::{hasty, parcel};
use crate::registry::reference;
use crate::support::executor::Build;
use crate::support::gateway::{Gateway, Verdict};
use crate::support::registry::Registry;

#[test]
fn what_the_registry_has_is_not_sent() {
    let (registry, parcel) = (Registry::start(), parcel(20, 5000, 13));
    let gateway = Gateway::start(registry.port(), |_| Verdict::Forward);
    let client = Client::new(hasty()).unwrap();
    let names = ["a:1", "a:2", "b:1"].map(|name| reference(&gateway.name(name)));
    client.push_to_all(&names, &parcel.image, &parcel.blobs).unwrap();
    assert_eq!(gateway.lines("PATCH").len(), 21, "each blob once, for all tags and repositories");
    let second = Gateway::start(registry.port(), |_| Verdict::Forward);
    let again = ["a:1", "a:2", "b:1"].map(|name| reference(&second.name(name)));
    Client::new(hasty()).unwrap().push_to_all(&again, &parcel.image, &parcel.blobs).unwrap();
    let sent: Vec<_> = ["PATCH", "POST", "PUT"].map(|method| second.lines(method).len()).to_vec();
    assert_eq!(sent, [0, 0, 3], "the manifests alone");
    for gateway in [&gateway, &second] {
        let (most, all) = gateway.connections();
        assert!(most <= 4 && all <= 4, "{most} connections at a time, {all} in all");
    }
    let back = BlobDir::create(&parcel.dir.path().join("back")).unwrap();
    client.pull(&names[2], &Platform::host(), &back).unwrap();
}

#[test]
fn sixty_layers_need_four_connections() {
    let registry = Registry::start();
    let gateway = Gateway::start(registry.port(), |_| Verdict::Forward);
    let copies: String = (0..60).map(|number| format!("COPY f{number} /\n")).collect();
    let mut build = Build::new(&format!("FROM scratch\n{copies}"));
    for number in 0..60 {
        build = build.file(&format!("f{number}"), number.to_string());
    }
    let destination = gateway.name("some/app:1");
    build.arg(format!("--destination={destination}")).succeed();
    assert_eq!(gateway.lines("PATCH").len(), 61);
    let (most, all) = gateway.connections();
    assert!(most <= 4 && all <= 4, "{most} connections at a time, {all} in all");
}

#[test]
fn permission_is_asked_once_for_each_repository() {
    let registry = Registry::start();
    let gateway = Gateway::start(registry.port(), |_| Verdict::Forward);
    let names = ["a:1", "b:1", "a:2", "a:3"].map(|name| reference(&gateway.name(name)));
    Client::new(hasty()).unwrap().check_push_to_all(&names).unwrap();
    assert_eq!(gateway.lines("POST"), ["POST /v2/a/blobs/uploads/", "POST /v2/b/blobs/uploads/"]);
    assert_eq!(gateway.lines("DELETE").len(), 2, "what was begun is cancelled");
}
