//! docker-registry in its kinds: whom it trusts, whom we trust, what it refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Mutex;

use silt::oci::Platform;
use silt::registry::{Authorities, Client, ClientCertificate, Policy};

use super::{hasty, parcel, with_password};
use crate::registry::{fails, reference};
use crate::support::authority::Authority;
use crate::support::executor::Build;
use crate::support::gateway::{Gateway, Verdict};
use crate::support::registry::{Kind, Registry};
use crate::support::{bases, scratch};

fn trusting(authority: &Authority, registry: &Registry) -> Policy {
    let host = reference(&registry.name("a")).registry().to_owned();
    Policy { registry_certificates: BTreeMap::from([(host, vec![authority.certificate()])]), ..Policy::default() }
}

#[test]
fn an_authority_is_named_for_a_registry_or_for_all() {
    let authority = Authority::new();
    let (registry, parcel) = (Registry::start_as(Kind::Signed(&authority)), parcel(2, 1000, 1));
    let name = reference(&registry.name("some/app:1"));
    let push = |policy: Policy| Client::new(policy).unwrap().push(&name, &parcel.image, &parcel.blobs);
    fails(push(Policy::default()), &["certificate is not trusted", "--registry-certificate"]);
    push(trusting(&authority, &registry)).unwrap();
    let file = Authorities { file: Some(authority.certificate()), ..Authorities::default() };
    push(Policy { authorities: file, ..Policy::default() }).unwrap();
    // A ConfigMap: every file is a link to one in a directory that is a link.
    let dir = scratch();
    fs::create_dir(dir.path().join("..2026_01_01")).unwrap();
    fs::copy(authority.certificate(), dir.path().join("..2026_01_01/our company")).unwrap();
    symlink("..2026_01_01", dir.path().join("..data")).unwrap();
    symlink("..data/our company", dir.path().join("our company")).unwrap();
    let directories = Authorities { directories: vec![dir.path().to_owned()], ..Authorities::default() };
    push(Policy { authorities: directories, ..Policy::default() }).unwrap();
    let other = Authority::new();
    fails(push(trusting(&other, &registry)), &["certificate is not trusted"]);
}

#[test]
fn a_build_reads_the_variables_of_authorities() {
    let authority = Authority::new();
    let registry = Registry::start_as(Kind::Signed(&authority));
    let build = || {
        Build::new("FROM base\nCOPY a /\n")
            .base("base", &bases::busybox())
            .file("a", "a")
            .arg(format!("--destination={}", registry.name("app:1")))
    };
    let file = format!("SSL_CERT_FILE={}", authority.certificate().display());
    build().through(&["env", &file]).succeed();
    let empty = scratch();
    fs::write(empty.path().join("bundle"), "").unwrap();
    let file = format!("SSL_CERT_FILE={}", empty.path().join("bundle").display());
    build().through(&["env", &file]).fail(1, &["SSL_CERT_FILE", "no usable certificate"]);
    let directory = format!("SSL_CERT_DIR={}", empty.path().display());
    build().through(&["env", &directory]).fail(1, &["SSL_CERT_DIR", "no usable certificate"]);
}

#[test]
fn a_registry_may_want_a_certificate_of_ours() {
    let authority = Authority::new();
    let (registry, parcel) = (Registry::start_as(Kind::Mutual(&authority)), parcel(1, 1000, 2));
    let name = reference(&registry.name("some/app:1"));
    let without = trusting(&authority, &registry);
    fails(
        Client::new(without.clone()).unwrap().push(&name, &parcel.image, &parcel.blobs),
        &["cannot reach the registry"],
    );
    let (certificate, key) = authority.client();
    let host = name.registry().to_owned();
    let pair = ClientCertificate { certificate, key };
    let with = Policy { client_certificates: BTreeMap::from([(host, pair)]), ..without };
    Client::new(with).unwrap().push(&name, &parcel.image, &parcel.blobs).unwrap();
}

#[test]
fn a_password_is_wanted_and_told_of() {
    let (registry, parcel) = (Registry::start_as(Kind::Password), parcel(2, 1000, 3));
    let name = reference(&registry.name("some/app:1"));
    let anonymous = Client::new(Policy::default()).unwrap();
    fails(anonymous.check_push(&name), &["access denied", "UNAUTHORIZED", "no credentials were given"]);
    let wrong = with_password(Policy::default(), "wrong");
    fails(wrong.check_push(&name), &["access denied", "UNAUTHORIZED", "user \"me\" from the test's file"]);
    let right = with_password(Policy::default(), "pass:word");
    right.check_push(&name).unwrap();
    right.push(&name, &parcel.image, &parcel.blobs).unwrap();
    right.resolve(&name, &Platform::host()).unwrap();
    fails(wrong.resolve(&name, &Platform::host()), &["access denied", "the test's file"]);
}

#[test]
fn a_registry_that_cannot_be_written_says_so_before_the_build() {
    let (registry, parcel) = (Registry::start_as(Kind::ReadOnly), parcel(1, 1000, 4));
    let name = reference(&registry.name("some/app:1"));
    let client = Client::new(Policy::default()).unwrap();
    fails(client.check_push(&name), &["check whether it can be pushed to", "405"]);
    fails(client.push(&name, &parcel.image, &parcel.blobs), &["405"]);
    fails(client.resolve(&name, &Platform::host()), &["not found"]);
}

#[test]
fn a_tag_that_may_not_move_is_an_error_unless_it_need_not() {
    let (registry, first, second) = (Registry::start(), parcel(1, 1000, 17), parcel(1, 1000, 18));
    let gateway = immutable(&registry);
    let name = reference(&gateway.name("app:1"));
    let digest = Client::new(hasty()).unwrap().push(&name, &first.image, &first.blobs).unwrap();
    fails(
        Client::new(hasty()).unwrap().push(&name, &second.image, &second.blobs),
        &["400", "TAG_INVALID", "immutable"],
    );
    let lenient = Policy { ignore_immutable_tag_errors: true, ..hasty() };
    Client::new(lenient).unwrap().push(&name, &second.image, &second.blobs).unwrap();
    let there = Client::new(hasty()).unwrap().resolve(&name, &Platform::host()).unwrap();
    assert_eq!(there.digest, digest, "the tag was moved");
}

#[test]
fn a_push_that_was_refused_and_ignored_is_not_called_one() {
    let registry = Registry::start();
    let gateway = immutable(&registry);
    let (name, other) = (gateway.name("app:1"), gateway.name("app:2"));
    let build = |content: &str| {
        let build = Build::new("FROM scratch\nCOPY a /\n").file("a", content).arg(format!("--destination={name}"));
        let file = format!("--digest-file={}", build.dir().join("digest").display());
        build.args([file, "--push-ignore-immutable-tag-errors".to_owned()])
    };
    let stderr = build("first").succeed().stderr();
    assert!(stderr.contains(&format!("pushed {name}@sha256:")), "{stderr}");
    let second = build("second").arg(format!("--destination={other}")).run();
    let stderr = second.stderr();
    assert!(second.status.success() && stderr.contains("tag is immutable"), "{stderr}");
    assert!(stderr.contains(&format!("ignored, so {name} stays what it was")), "{stderr}");
    assert!(!stderr.contains(&format!("pushed {name}@")) && stderr.contains(&format!("pushed {other}@")), "{stderr}");
    let digest = fs::read_to_string(second.root().parent().unwrap().parent().unwrap().join("digest")).unwrap();
    assert_eq!(registry.manifest_status("app", &digest), 200, "the other tag has it");
    let there = Client::new(hasty()).unwrap().resolve(&reference(&name), &Platform::host()).unwrap();
    assert_ne!(there.digest.as_str(), digest);
}

/// A registry whose tags are never moved.
fn immutable(registry: &Registry) -> Gateway {
    let taken = Mutex::new(BTreeSet::new());
    Gateway::start(registry.port(), move |asked| {
        let is_tag = asked.method == "PUT" && asked.target.contains("/manifests/");
        match is_tag && !taken.lock().unwrap().insert(asked.target.clone()) {
            true => Verdict::Answer(400, Vec::new(), IMMUTABLE.to_owned()),
            false => Verdict::Forward,
        }
    })
}

const IMMUTABLE: &str = r#"{"errors":[{"code":"TAG_INVALID","message":"The image tag '1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable."}]}"#;
