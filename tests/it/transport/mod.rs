//! How images travel: real registries of every kind, nginx and proxies between, and a gateway that breaks what passes.

mod ahead;
mod bars;
mod faults;
mod others;
mod outputs;
mod podman;
mod proxies;
mod resumed;
mod servers;
mod tokens;
mod ways;
mod web;

use std::time::Duration;

use silt::credentials::{Credential, Identity};
use silt::oci::{Compression, Descriptor, DiffId, Digest, Format, History, Image, MediaType, Platform};
use silt::registry::{Backoff, Client, Policy, Timeouts};
use silt::store::BlobDir;

use crate::support::scratch;

/// An image of small layers that are no tars, for what does not look into them.
struct Parcel {
    dir: tempfile::TempDir,
    blobs: BlobDir,
    image: Image,
}

/// `count` layers of about `size` bytes, whose bytes follow from `seed`.
fn parcel(count: usize, size: usize, seed: u64) -> Parcel {
    let dir = scratch();
    let blobs = BlobDir::create(dir.path()).unwrap();
    let mut image = Image::scratch(&Platform::host());
    for number in 0..count {
        let bytes = noise(size + number, seed.wrapping_mul(1000).wrapping_add(number as u64));
        let digest = blobs.insert(&bytes).unwrap();
        let layer = Descriptor::of(MediaType::Layer(Format::Oci, Compression::Gzip), &bytes);
        image.append(layer, DiffId(digest), History::default()).unwrap();
    }
    Parcel { dir, blobs, image }
}

/// Bytes that follow from a seed (xorshift).
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The default but for its patience, which is short.
fn hasty() -> Policy {
    let [connect, stall, commit] = [2000, 1500, 3000].map(Duration::from_millis);
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(50), ..Backoff::default() };
    Policy { timeouts: Timeouts { connect, stall, commit }, backoff, ..Policy::default() }
}

/// A client that is `me` with this password.
fn with_password(policy: Policy, password: &str) -> Client {
    let credential = Credential::basic("me", password);
    let identity = Identity { credential, source: "the test's file".to_owned() };
    Client::new(policy).unwrap().identified_by(move |_, _| Ok(identity.clone()))
}

/// The digests of an image's blobs.
fn digests(image: &Image) -> Vec<Digest> {
    image.layers().iter().map(|layer| layer.descriptor.digest.clone()).collect()
}
