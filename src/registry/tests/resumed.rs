//! Transfers that break and go on, and uploads in chunks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn is_layer(request: &Request) -> bool {
    request.target.contains(&format!("/blobs/{}", Digest::of(LAYER)))
}

#[test]
fn a_download_goes_on_where_it_broke() {
    let sample = sample();
    let fake = sample.fake(|request, _| {
        let range = request.header("range").strip_prefix("bytes=").and_then(|r| r.strip_suffix('-'));
        match range.and_then(|start| start.parse::<usize>().ok()) {
            _ if !is_layer(request) => None,
            None => Some(Answer::new(200).body(&LAYER[..10]).promising(LAYER.len())),
            Some(start) => {
                let end = if start < 20 { start + 5 } else { LAYER.len() };
                let range = format!("bytes {start}-{}/{}", LAYER.len() - 1, LAYER.len());
                Some(
                    Answer::new(206)
                        .header("Content-Range", range)
                        .body(&LAYER[start..end])
                        .promising(LAYER.len() - start),
                )
            }
        }
    });
    sample.pull(&fake).expect("pulled");
    let ranges: Vec<String> =
        fake.requests().iter().filter(|r| is_layer(r)).map(|r| r.header("range").to_owned()).collect();
    assert_eq!(ranges, ["", "bytes=10-", "bytes=15-", "bytes=20-"]);
}

#[test]
fn a_registry_that_cannot_go_on_is_asked_from_the_start() {
    for status in [200, 206, 416] {
        let sample = sample();
        let asked = AtomicU32::new(0);
        let fake = sample.fake(move |request, _| {
            if !is_layer(request) {
                return None;
            }
            let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            if first {
                return Some(Answer::new(200).body(&LAYER[..10]).promising(LAYER.len()));
            }
            let all = Answer::new(200).body(LAYER);
            let is_ranged = !request.header("range").is_empty();
            Some(match status {
                206 if is_ranged => Answer::new(206).header("Content-Range", "bytes 3-33/34").body(&LAYER[3..]),
                416 if is_ranged => Answer::new(416),
                _ => all,
            })
        });
        sample.pull(&fake).unwrap_or_else(|error| panic!("{status}: {error}"));
    }
}

#[test]
fn pieces_that_do_not_fit_are_fetched_anew() {
    let sample = sample();
    let asked = AtomicU32::new(0);
    let fake = sample.fake(move |request, _| {
        if !is_layer(request) {
            return None;
        }
        Some(match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::new(200).body([b'x'; 10]).promising(LAYER.len()),
            1 => Answer::new(206).header("Content-Range", "bytes 10-33/34").body(&LAYER[10..]),
            _ => Answer::new(200).body(LAYER),
        })
    });
    sample.pull(&fake).expect("pulled");
    assert_eq!(fake.requests().iter().filter(|r| is_layer(r)).count(), 3);
}

#[test]
fn attempts_that_bring_little_are_counted() {
    let sample = sample();
    let begun = Instant::now();
    sample.pull_fails(
        |request, _| is_layer(request).then(|| Answer::new(200).body("n").promising(9)),
        "connection failed",
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// A registry that keeps what it gets, and breaks or refuses as `odd` says.
fn keeping(sample: &Sample, odd: impl Fn(&Request, usize) -> Option<Answer> + Send + Sync + 'static) -> (Fake, Kept) {
    let kept: Kept = Default::default();
    let ours = kept.clone();
    let fake = sample.fake(move |request, address| {
        let session = |status: u16, has: usize| {
            let range = format!("0-{}", has.saturating_sub(1));
            Answer::new(status).header("Location", format!("{address}/session")).header("Range", range)
        };
        let mut bytes = ours.lock().expect("bytes");
        if let Some(answer) = odd(request, bytes.len()) {
            if request.method == "PATCH" && answer.status() >= 500 {
                bytes.extend_from_slice(&request.body[..request.body.len().min(12)]);
            }
            return Some(answer);
        }
        match request.method.as_str() {
            "POST" => {
                bytes.clear();
                Some(session(202, 0))
            }
            "PATCH" => {
                bytes.extend_from_slice(&request.body);
                Some(session(202, bytes.len()))
            }
            "GET" if request.target == "/session" => Some(session(204, bytes.len())),
            "PUT" if request.target.starts_with("/session?digest=") => {
                let right = request.target.ends_with(Digest::of(&bytes).hex());
                Some(Answer::new(if right { 201 } else { 400 }))
            }
            _ => upload(request, address),
        }
    });
    (fake, kept)
}

type Kept = std::sync::Arc<Mutex<Vec<u8>>>;

fn push(sample: &Sample, fake: &Fake) -> Result<Digest, Error> {
    sample.blobs.insert(LAYER).expect("stored");
    client().push(&reference(&fake.name("a:1")), &sample.image, &sample.blobs)
}

fn ranges(fake: &Fake) -> Vec<String> {
    fake.requests().iter().filter(|r| r.method == "PATCH").map(|r| r.header("content-range").to_owned()).collect()
}

#[test]
fn an_upload_goes_on_where_it_broke() {
    let sample = sample();
    let broken = AtomicU32::new(0);
    let (fake, _) = keeping(&sample, move |request, _| {
        (request.method == "PATCH" && broken.fetch_add(1, Ordering::Relaxed) < 2).then(|| Answer::new(502))
    });
    push(&sample, &fake).expect("pushed");
    assert_eq!(ranges(&fake), ["", "12-33", "24-33", ""]);
    assert_eq!(fake.lines("POST").len(), 2, "one session a blob");
}

#[test]
fn a_registry_that_lost_count_gets_the_blob_anew() {
    let sample = sample();
    let broken = AtomicU32::new(0);
    let (fake, kept) = keeping(&sample, move |request, _| match request.method.as_str() {
        "PATCH" if broken.fetch_add(1, Ordering::Relaxed) == 0 => Some(Answer::new(502)),
        "GET" if request.target == "/session" => Some(Answer::new(204).header("Range", "0-19")),
        _ => None,
    });
    push(&sample, &fake).expect("pushed");
    assert_eq!(ranges(&fake), ["", "20-33", "", ""]);
    assert_eq!(*kept.lock().expect("bytes"), sample.encoded.config);
    // One that cannot say how much it has.
    let broken = AtomicU32::new(0);
    let (fake, _) = keeping(&sample, move |request, _| match request.method.as_str() {
        "PATCH" if broken.fetch_add(1, Ordering::Relaxed) == 0 => Some(Answer::new(502)),
        "GET" if request.target == "/session" => Some(Answer::new(404)),
        _ => None,
    });
    push(&sample, &fake).expect("pushed");
    assert_eq!((ranges(&fake), fake.lines("POST").len()), (vec![String::new(); 3], 3));
}

/// A layer of some size, all of it needed.
fn large(size: usize) -> (Sample, Vec<u8>) {
    let mut sample = sample();
    let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
    let mut image = Image::scratch(&Platform::host());
    let layer = Descriptor::of(MediaType::Layer(Format::Oci, Compression::Gzip), &bytes);
    image.append(layer, DiffId(Digest::of(b"tar")), History::default()).expect("a layer");
    sample.blobs.insert(&bytes).expect("stored");
    sample.encoded = image.encode().expect("encodes");
    sample.image = image;
    (sample, bytes)
}

#[test]
fn a_body_that_is_too_large_is_sent_in_chunks() {
    let (sample, _) = large(300 << 10);
    let (fake, _) = keeping(&sample, |request, _| {
        (request.method == "PATCH" && request.body.len() > 200_000).then(|| Answer::new(413))
    });
    push(&sample, &fake).expect("pushed");
    assert_eq!(ranges(&fake), ["", "0-131071", "131072-262143", "262144-307199", ""]);
    let (fake, _) = keeping(&sample, |request, _| (request.method == "PATCH").then(|| Answer::new(413)));
    let error = push(&sample, &fake).expect_err("too large").to_string();
    assert!(error.contains("413"), "{error}");
}

#[test]
fn a_registry_that_wants_chunks_gets_them() {
    let (sample, _) = large((33 << 20) + 5);
    let (fake, _) = keeping(&sample, |request, has| {
        let wanted =
            |address: &str| Answer::new(202).header("Location", address).header("OCI-Chunk-Min-Length", "5242880");
        (request.method == "POST" && has == 0).then(|| wanted("/session"))
    });
    push(&sample, &fake).expect("pushed");
    assert_eq!(ranges(&fake)[..2], ["0-33554431", "33554432-34603012"]);
}

#[test]
fn a_registry_that_asks_for_time_gets_some() {
    let sample = sample();
    let asked = AtomicU32::new(0);
    let busy = move |request: &Request, _: &str| {
        let is_first = request.target.contains("/manifests/") && asked.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then(|| Answer::new(429).header("Retry-After", "1"))
    };
    let fake = sample.fake(busy);
    let begun = Instant::now();
    sample.pull(&fake).expect("pulled");
    assert!(begun.elapsed() >= Duration::from_secs(1));
}
