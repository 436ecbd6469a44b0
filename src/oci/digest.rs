//! Content digests: `algorithm:hex`, as in the OCI image-spec (descriptor.md, "Digests").
//!
//! A `Digest` is always well formed: a known algorithm and the right number of lower-case hex digits. It can be used as a file name.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A hash algorithm that a digest may name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// What everyone uses, and what we write.
    Sha256,
    /// Registered by the specification; read only.
    Sha512,
}

impl Algorithm {
    /// The name before the colon, and the name of the directory below `blobs/`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    fn hex_length(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

/// The text is not `sha256:` or `sha512:` with the right number of lower-case hex digits.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a digest (expected sha256: and 64 lower-case hex digits)")]
pub struct InvalidDigest(String);

/// The digest of some bytes. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    text: Arc<str>,
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The SHA-256 digest that `hash` is.
    pub fn sha256(hash: &[u8; 32]) -> Self {
        digest(Algorithm::Sha256, hash)
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hex digits after the colon.
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.name().len() + 1..]
    }

    /// `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `bytes` have this digest.
    pub fn verifies(&self, bytes: &[u8]) -> bool {
        let mut hasher = Hasher::new(self.algorithm);
        hasher.update(bytes);
        hasher.finish() == *self
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest(text.chars().take(160).collect());
        let (name, hex) = text.split_once(':').ok_or_else(invalid)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(invalid()),
        };
        let well_formed =
            hex.len() == algorithm.hex_length() && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if well_formed { Ok(Digest { algorithm, text: text.into() }) } else { Err(invalid()) }
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.text.as_ref().to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The digest of a layer's uncompressed tar, never of its blob.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A running hash. As a writer it takes everything and never fails.
pub struct Hasher(State);

enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// A hash of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Hasher(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(hash) => digest(Algorithm::Sha256, &hash.finalize()),
            State::Sha512(hash) => digest(Algorithm::Sha512, &hash.finalize()),
        }
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn digest(algorithm: Algorithm, hash: &[u8]) -> Digest {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(8 + 2 * hash.len());
    text.push_str(algorithm.name());
    text.push(':');
    for byte in hash {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    Digest { algorithm, text: text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str, expected: bool) {
        assert_eq!(text.parse::<Digest>().is_ok(), expected, "{text:?}");
    }

    #[test]
    fn only_well_formed_digests_parse() {
        let (hex64, hex128) = ("0123456789abcdef".repeat(4), "f".repeat(128));
        accepts(&format!("sha256:{hex64}"), true);
        accepts(&format!("sha512:{hex128}"), true);
        accepts(&format!("sha512:{hex64}"), false);
        accepts(&format!("sha256:{}", hex64.to_uppercase()), false);
        accepts(&format!("sha256:{}", &hex64[1..]), false);
        accepts(&format!("md5:{hex64}"), false);
        accepts(&format!("sha256:../{}", &hex64[3..]), false);
        accepts(&hex64, false);
        accepts("", false);
    }

    #[test]
    fn known_vectors() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::sha256(&[0xa5; 32]).as_str(), format!("sha256:{}", "a5".repeat(32)));
        assert_eq!(Digest::of(b"abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let abc: Digest = concat!(
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a",
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        )
        .parse()
        .expect("digest");
        assert!(abc.verifies(b"abc"));
        assert!(!abc.verifies(b"abd"));
    }
}
