//! The client against registries that do what real ones rarely do. The everyday is in `tests/it/registry.rs`, with a real one.

mod credentials;
mod resumed;
mod routes;
mod several;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::fake::{Answer, Fake, Request};
use super::{Backoff, Client, Error, Policy, Timeouts};
use crate::oci::{
    Compression, Descriptor, DiffId, Digest, Encoded, Format, History, Image, MediaType, Platform, Reference,
};
use crate::store::BlobDir;

const LAYER: &[u8] = b"not really a tar, but nobody looks";

/// An image with one layer, and a place for blobs.
struct Sample {
    _dir: tempfile::TempDir,
    image: Image,
    encoded: Encoded,
    layer: Descriptor,
    blobs: BlobDir,
}

fn sample() -> Sample {
    let dir = tempfile::tempdir().expect("a directory");
    let blobs = BlobDir::create(dir.path()).expect("a store");
    let layer = Descriptor::of(MediaType::Layer(Format::Oci, Compression::Gzip), LAYER);
    let mut image = Image::scratch(&Platform::host());
    image.append(layer.clone(), DiffId(Digest::of(b"tar")), History::default()).expect("a layer");
    let encoded = image.encode().expect("encodes");
    Sample { _dir: dir, image, encoded, layer, blobs }
}

impl Sample {
    /// What a registry that has the image answers; `None` for what it does not know.
    fn serve(encoded: &Encoded, request: &Request) -> Option<Answer> {
        let layer = Digest::of(LAYER);
        let path = request.target.split('?').next().unwrap_or_default();
        let body = match path.rsplit('/').next().unwrap_or_default() {
            "" => return Some(Answer::new(200)),
            name if path.contains("/manifests/") && matches!(name, "1" | "latest") => encoded.manifest.clone(),
            name if name == encoded.descriptor.digest.as_str() => encoded.manifest.clone(),
            name if name == encoded.config_descriptor.digest.as_str() => encoded.config.clone(),
            name if name == layer.as_str() => LAYER.to_vec(),
            _ => return None,
        };
        Some(Answer::new(200).header("Content-Type", encoded.descriptor.media_type.as_str()).body(body))
    }

    /// A fake that has the image, but for what `odd` answers itself.
    fn fake(&self, odd: impl Fn(&Request, &str) -> Option<Answer> + Send + Sync + 'static) -> Fake {
        let encoded = self.encoded.clone();
        Fake::start(move |request, address| {
            let usual = || Sample::serve(&encoded, request).unwrap_or_else(|| Answer::new(404));
            odd(request, address).unwrap_or_else(usual)
        })
    }

    fn pull(&self, fake: &Fake) -> Result<Image, Error> {
        client().pull(&reference(&fake.name("some/app:1")), &Platform::host(), &self.blobs)
    }

    fn pull_fails(&self, odd: impl Fn(&Request, &str) -> Option<Answer> + Send + Sync + 'static, expected: &str) {
        let fake = self.fake(odd);
        let error = self.pull(&fake).expect_err(expected).to_string();
        assert!(error.contains(expected) && error.contains(&fake.name("some/app")), "{error:?} has no {expected:?}");
        assert!(!error.contains('\n') && !self.blobs.has(&self.layer.digest), "{error}");
    }
}

fn client() -> Client {
    Client::new(policy()).expect("a client")
}

/// The default but for its patience.
fn policy() -> Policy {
    let [connect, stall, commit] = [1000, 400, 400].map(Duration::from_millis);
    let backoff = Backoff { first: Duration::from_millis(1), ..Backoff::default() };
    Policy { timeouts: Timeouts { connect, stall, commit }, backoff, ..Policy::default() }
}

fn reference(text: &str) -> Reference {
    text.parse().expect("a reference")
}

/// Accepts an upload as the specification says.
fn upload(request: &Request, address: &str) -> Option<Answer> {
    let session = |status| Answer::new(status).header("Location", format!("{address}/session?state=a%2Fb"));
    match request.method.as_str() {
        "HEAD" => Some(Answer::new(404)),
        "POST" => Some(session(202)),
        "PATCH" => Some(session(202)),
        "PUT" => Some(Answer::new(201)),
        "DELETE" => Some(Answer::new(204)),
        _ => None,
    }
}

#[test]
fn an_image_is_pulled_and_checked() {
    let sample = sample();
    let fake = sample.fake(|_, _| None);
    let image = sample.pull(&fake).expect("pulled");
    assert_eq!(image.config, sample.image.config);
    assert_eq!(image.layers()[0].origin.as_ref().map(|o| o.to_string()), Some(fake.name("some/app")));
    assert_eq!(std::fs::read(sample.blobs.path(&sample.layer.digest)).expect("a blob"), LAYER);
    assert!(fake.requests().iter().all(|request| request.header("user-agent").starts_with("silt/")));
    // What is here is not fetched again.
    sample.pull(&fake).expect("pulled");
    assert_eq!(fake.lines(&format!("GET /v2/some/app/blobs/{}", sample.layer.digest)).len(), 1);
}

#[test]
fn a_digest_may_be_a_sha512() {
    let sample = sample();
    let mut hasher = crate::oci::Hasher::new(crate::oci::Algorithm::Sha512);
    hasher.update(&sample.encoded.manifest);
    let digest = hasher.finish();
    let (asked, manifest) = (digest.clone(), sample.encoded.manifest.clone());
    let fake = sample.fake(move |request, _| {
        request.target.ends_with(asked.as_str()).then(|| Answer::new(200).body(manifest.clone()))
    });
    let name = reference(&fake.name(&format!("some/app@{digest}")));
    let resolved = client().resolve(&name, &Platform::host()).expect("resolved");
    assert_eq!(resolved.digest, digest);
    let asked = digest.clone();
    let fake =
        sample.fake(move |request, _| request.target.ends_with(asked.as_str()).then(|| Answer::new(200).body("{}")));
    let name = reference(&fake.name(&format!("some/app@{digest}")));
    let error = client().resolve(&name, &Platform::host()).expect_err("spoilt").to_string();
    assert!(error.contains("is corrupt"), "{error}");
}

#[test]
fn a_registry_has_a_name_or_an_address() {
    let sample = sample();
    let fake = sample.fake(|_, _| None);
    let name = fake.name("some/app:1").replace("127.0.0.1", "localhost");
    client().pull(&reference(&name), &Platform::host(), &sample.blobs).expect("pulled");
    let error = client().check_push(&reference("no-such-host.localhost.invalid/a:1")).expect_err("no such host");
    assert!(error.to_string().starts_with("cannot reach the registry no-such-host.localhost.invalid"), "{error}");
}

#[test]
fn bytes_that_are_not_the_promised_ones_are_refused() {
    let blob = |bytes: Vec<u8>| {
        let answer = Answer::new(200).body(bytes);
        move |request: &Request, _: &str| request.target.contains(Digest::of(LAYER).as_str()).then(|| answer.clone())
    };
    let name = Digest::of(LAYER).to_string();
    let sample = sample();
    sample.pull_fails(blob(LAYER.to_ascii_uppercase()), &format!("blob {name} is corrupt"));
    sample.pull_fails(blob([LAYER, b"!"].concat()), &format!("blob {name} is corrupt: more than"));
    sample.pull_fails(blob(LAYER[1..].to_vec()), &format!("blob {name} is corrupt: only"));
    let config = sample.encoded.config_descriptor.digest.clone();
    let spoil = config.clone();
    let odd =
        move |request: &Request, _: &str| request.target.contains(spoil.as_str()).then(|| Answer::new(200).body("{}"));
    sample.pull_fails(odd, &format!("blob {config} is corrupt"));
}

#[test]
fn a_manifest_is_what_its_digest_and_its_type_say() {
    let manifest = |answer: Answer| {
        move |request: &Request, _: &str| request.target.contains("/manifests/").then(|| answer.clone())
    };
    let sample = sample();
    let bytes = sample.encoded.manifest.clone();
    let announced = Answer::new(200).header("Docker-Content-Digest", Digest::of(b"other").to_string());
    sample.pull_fails(manifest(announced.body(bytes.clone())), "corrupt");
    let index = MediaType::Index(Format::Oci);
    sample
        .pull_fails(manifest(Answer::new(200).header("Content-Type", index.as_str()).body(bytes)), "refusing to guess");
    sample.pull_fails(manifest(Answer::new(200).body("<html>")), "malformed");
    let large = vec![b' '; crate::oci::MAX_DOCUMENT as usize + 1];
    sample.pull_fails(manifest(Answer::new(200).body(large)), "longer than");
    let denied = r#"{"errors":[{"code":"DENIED","message":"no\nway"}]}"#;
    sample.pull_fails(manifest(Answer::new(403).body(denied)), "access denied (DENIED: no way)");
    let wrong = format!("some/app@{}", Digest::of(b"another"));
    let fake = sample.fake(manifest(Answer::new(200).body(sample.encoded.manifest.clone())));
    let error = client().pull(&reference(&fake.name(&wrong)), &Platform::host(), &sample.blobs).expect_err("refused");
    assert!(error.to_string().contains("is corrupt"), "{error}");
}

#[test]
fn layers_of_other_places_are_refused() {
    let sample = sample();
    let odd = |urls: &'static str, kind: &'static str| {
        let text = String::from_utf8(sample.encoded.manifest.clone()).expect("text");
        let text = text.replace("application/vnd.oci.image.layer.v1.tar+gzip", kind);
        let text = text.replace("\"layers\":[{", &format!("\"layers\":[{{{urls}"));
        move |request: &Request, _: &str| {
            request.target.contains("/manifests/").then(|| Answer::new(200).body(text.clone()))
        }
    };
    let usual = "application/vnd.oci.image.layer.v1.tar+gzip";
    sample.pull_fails(odd(r#""urls":["http://127.0.0.1:1/x"],"#, usual), "not fetched");
    sample.pull_fails(odd("", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "not fetched");
}

#[test]
fn a_transfer_that_breaks_is_tried_again() {
    let sample = sample();
    let count = AtomicU32::new(0);
    let fake = sample.fake(move |request, _| {
        let is_layer = request.target.contains(Digest::of(LAYER).as_str());
        match (is_layer, if is_layer { count.fetch_add(1, Ordering::Relaxed) } else { 9 }) {
            (true, 0) => Some(Answer::new(200).body(&LAYER[..5]).promising(LAYER.len())),
            (true, 1) => Some(Answer::new(503).header("Retry-After", "0")),
            _ => None,
        }
    });
    sample.pull(&fake).expect("pulled at the third attempt");
    assert_eq!(fake.lines(&format!("GET /v2/some/app/blobs/{}", sample.layer.digest)).len(), 3);
}

#[test]
fn no_peer_that_goes_silent_is_waited_for() {
    let sample = sample();
    let silent = |mark: &'static str, answer: Answer| {
        move |request: &Request, _: &str| request.target.contains(mark).then(|| answer.clone())
    };
    let begun = Instant::now();
    sample.pull_fails(silent("/blobs/", Answer::new(200).body("x").promising(34).silent()), "went silent");
    let fake = sample.fake(silent("/v2/", Answer::new(200).silent()));
    let error = sample.pull(&fake).expect_err("silence").to_string();
    assert!(error.starts_with("cannot reach the registry 127.0.0.1:") && error.contains("no answer"), "{error}");
    let blob = sample.blobs.insert(LAYER).expect("stored");
    assert_eq!(blob, sample.layer.digest);
    let fake = sample.fake(|request, address| match request.method.as_str() {
        "PATCH" => Some(Answer::new(202).silent()),
        _ => upload(request, address),
    });
    let error = client().push(&reference(&fake.name("a")), &sample.image, &sample.blobs).expect_err("silence");
    assert!(error.to_string().contains("went silent"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}

#[test]
fn a_blob_is_one_stream_of_known_length() {
    let sample = sample();
    sample.blobs.insert(LAYER).expect("stored");
    let fake = sample.fake(upload);
    let digest = client().push(&reference(&fake.name("to/app:v")), &sample.image, &sample.blobs).expect("pushed");
    assert_eq!(digest, sample.encoded.descriptor.digest);
    let sent: Vec<Request> = fake.requests().into_iter().filter(|r| r.method == "PATCH").collect();
    assert_eq!(sent.len(), 2);
    assert_eq!((sent[0].body.as_slice(), sent[0].header("content-length")), (LAYER, LAYER.len().to_string().as_str()));
    assert_eq!(sent[1].body, sample.encoded.config);
    let layer = Digest::of(LAYER).to_string().replace(':', "%3A");
    assert!(fake.lines("PUT").contains(&format!("PUT /session?state=a%2Fb&digest={layer}")), "{:?}", fake.lines("PUT"));
    let last = fake.requests().pop().expect("requests");
    assert_eq!(last.line(), "PUT /v2/to/app/manifests/v");
    assert_eq!(
        (last.body, last.headers["content-type"].as_str()),
        (sample.encoded.manifest, "application/vnd.oci.image.manifest.v1+json")
    );
}

#[test]
fn no_manifest_is_pushed_after_the_caller_said_stop() {
    let sample = sample();
    sample.blobs.insert(LAYER).expect("stored");
    let fake = sample.fake(upload);
    let stopped = client().publishing_while(|| false);
    let error = stopped.push(&reference(&fake.name("to/app:v")), &sample.image, &sample.blobs).expect_err("stopped");
    assert!(matches!(&error, Error::Stopped { what } if what.ends_with("to/app:v")), "{error}");
    assert!(!fake.lines("PUT").is_empty(), "the blobs are there");
    assert!(!fake.lines("PUT").iter().any(|line| line.contains("/manifests/")), "{:?}", fake.lines("PUT"));
}

#[test]
fn no_manifest_is_pushed_after_a_blob_that_failed() {
    let sample = sample();
    sample.blobs.insert(LAYER).expect("stored");
    let refuse = |request: &Request, address: &str| match request.target.contains("digest=") {
        true => Some(Answer::new(400).body(r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#)),
        false => upload(request, address),
    };
    let fake = sample.fake(refuse);
    let error = client().push(&reference(&fake.name("a")), &sample.image, &sample.blobs).expect_err("refused");
    assert!(error.to_string().contains("400 (DIGEST_INVALID)"), "{error}");
    assert!(fake.lines("PUT /v2/a/manifests").is_empty());
    std::fs::write(sample.blobs.path(&sample.layer.digest), "short").expect("spoilt");
    let fake = sample.fake(upload);
    let error = client().push(&reference(&fake.name("a")), &sample.image, &sample.blobs).expect_err("spoilt");
    assert!(error.to_string().contains("it has 5 bytes"), "{error}");
    assert!(fake.lines("PUT /v2/a/manifests").is_empty());
}

/// Pushes an image whose layer came from the same registry; how its mount is answered is `mount`'s business.
fn mounts(mount: fn(&str) -> Answer) -> Fake {
    let sample = sample();
    let fake = sample.fake(move |request, address| match request.target.contains("mount=") {
        true => Some(mount(address)),
        false => upload(request, address),
    });
    let image = sample.pull(&fake).expect("pulled");
    client().push(&reference(&fake.name("to/app:v")), &image, &sample.blobs).expect("pushed");
    let layer = Digest::of(LAYER).to_string().replace(':', "%3A");
    let wanted = format!("POST /v2/to/app/blobs/uploads/?mount={layer}&from=some%2Fapp");
    assert_eq!(fake.lines("POST").iter().filter(|line| **line == wanted).count(), 1, "{:?}", fake.lines("POST"));
    assert_eq!(fake.lines("PUT /v2/to/app/manifests/v").len(), 1);
    fake
}

#[test]
fn a_mount_that_is_not_made_becomes_an_upload() {
    // Two uploads where the layer is sent, one (the configuration) where it is not; a 202 opens the session that is used.
    let made = mounts(|_| Answer::new(201));
    assert_eq!((made.lines("POST").len(), made.lines("PATCH").len()), (2, 1));
    let session = mounts(|address| Answer::new(202).header("Location", format!("{address}/mounted")));
    assert_eq!((session.lines("POST").len(), session.lines("PATCH").len()), (2, 2));
    assert_eq!(session.lines("PATCH /mounted").len(), 1);
    let refused = mounts(|_| Answer::new(405));
    assert_eq!((refused.lines("POST").len(), refused.lines("PATCH").len()), (3, 2));
}

#[test]
fn a_layer_that_is_not_here_comes_from_where_it_was() {
    let sample = sample();
    let (from, to) = (sample.fake(|_, _| None), sample.fake(upload));
    let client = client();
    let image = client.resolve(&reference(&from.name("some/app:1")), &Platform::host()).expect("resolved").image;
    assert!(!sample.blobs.has(&sample.layer.digest));
    client.push(&reference(&to.name("a")), &image, &sample.blobs).expect("pushed");
    assert!(to.requests().iter().any(|request| request.body == LAYER));
}

#[test]
fn whether_a_push_can_succeed_is_known_early() {
    let sample = sample();
    let fake = sample.fake(upload);
    client().check_push(&reference(&fake.name("a/b:c"))).expect("allowed");
    assert_eq!(fake.lines("POST"), ["POST /v2/a/b/blobs/uploads/"]);
    assert_eq!(fake.lines("DELETE"), ["DELETE /session?state=a%2Fb"]);
    let fake = sample.fake(|request, _| (request.method == "POST").then(|| Answer::new(401)));
    let error = client().check_push(&reference(&fake.name("a/b:c"))).expect_err("denied").to_string();
    assert!(error.contains("access denied") && error.contains(&fake.name("a/b")), "{error}");
}

/// Wants a token for everything, and gives out `token-SCOPES` at `/token`.
fn guard(request: &Request, address: &str) -> Option<Answer> {
    if let Some(query) = request.target.strip_prefix("/token?") {
        return Some(Answer::new(200).body(format!(r#"{{"access_token":"{query}","expires_in":300}}"#)));
    }
    let challenge = format!(r#"Bearer realm="{address}/token",service="fake",scope="repository:some/app:pull""#);
    let denied = Answer::new(401).header("WWW-Authenticate", challenge);
    let is_scope = request.header("authorization").starts_with("Bearer service=fake&scope=repository%3Asome%2Fapp");
    if is_scope { None } else { Some(denied) }
}

#[test]
fn a_token_is_fetched_once_and_renewed_when_it_is_refused() {
    let sample = sample();
    let fake = sample.fake(guard);
    sample.pull(&fake).expect("pulled");
    assert_eq!(fake.lines("GET /token"), ["GET /token?service=fake&scope=repository%3Asome%2Fapp%3Apull"]);
    let refusals = AtomicU32::new(0);
    let fake = sample.fake(move |request, address| {
        let refuse = request.target.contains("/manifests/") && refusals.fetch_add(1, Ordering::Relaxed) == 0;
        let odd = format!(r#"Bearer realm="{address}/token",service="fake",scope="extra""#);
        if refuse { Some(Answer::new(401).header("WWW-Authenticate", odd)) } else { guard(request, address) }
    });
    sample.pull(&fake).expect("pulled with the second token");
    assert_eq!(fake.lines("GET /token").len(), 2);
    assert!(fake.lines("GET /token")[1].ends_with("&scope=extra"));
    let fake = sample.fake(|request, address| match request.target.starts_with("/token") {
        true => Some(Answer::new(403)),
        false => guard(request, address),
    });
    let error = sample.pull(&fake).expect_err("denied").to_string();
    assert!(error.contains("access denied") && error.contains("token from 127.0.0.1"), "{error}");
}

#[test]
fn a_mount_asks_for_both_repositories_in_one_token() {
    let sample = sample();
    let fake = sample.fake(|request, address| guard(request, address).or_else(|| upload(request, address)));
    let image = sample.pull(&fake).expect("pulled");
    let to = reference(&fake.name("some/app-two"));
    client().push(&to, &image, &sample.blobs).expect("pushed");
    let both = "&scope=repository%3Asome%2Fapp-two%3Apull%2Cpush&scope=repository%3Asome%2Fapp%3Apull";
    assert!(fake.lines("GET /token").iter().any(|line| line.ends_with(both)), "{:?}", fake.lines("GET /token"));
}

#[test]
fn a_token_does_not_follow_a_redirect_to_another_place() {
    let sample = sample();
    let other = sample.fake(|_, _| None);
    let elsewhere = format!("http://{}", other.name("v2/x/blobs/"));
    let fake = sample.fake(move |request, address| {
        let denied = guard(request, address);
        let layer = Digest::of(LAYER);
        let moved = || Answer::new(307).header("Location", format!("{elsewhere}{layer}"));
        denied.or_else(|| request.target.contains(layer.as_str()).then(moved))
    });
    sample.pull(&fake).expect("pulled");
    let there = other.requests();
    assert_eq!((there.len(), there[0].header("authorization")), (1, ""));
}
