//! The key of a step: the digest of all that its result depends on.
//!
//! Pure. The parts are framed by their lengths and begin with a domain of our own, so bytes that move from one part to the next,
//! or from a name to its value, make another key. No part is a time. Values of variables and build arguments are stretched first
//! (PBKDF2), since whoever can read a cache could otherwise try likely values against a key at the speed of a bare hash.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use ring::pbkdf2;

use crate::oci::{Algorithm, Hasher};

/// Another value makes every entry so far worthless: for a change of what keys are made of, or of what layers hold.
const DOMAIN: &[u8] = b"silt layer cache 1";

/// Rounds of PBKDF2-HMAC-SHA-256 for one value: about two milliseconds.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);

/// What a part of a key is. The order is that of importance: explanations name the first that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What the stage begins with: the contents of the base image's layers.
    Base,
    /// The platform that the image is for.
    Platform,
    /// The key of the step before.
    Before,
    /// An option of the build that changes bytes or meaning.
    Option,
    /// A word of the instruction, its variables replaced, or a text that stands in it.
    Instruction,
    /// A build argument in scope.
    Argument,
    /// A variable in scope.
    Variable,
    /// USER.
    User,
    /// WORKDIR.
    Directory,
    /// SHELL.
    Shell,
    /// A mount of a RUN; of secrets the id alone.
    Mount,
    /// A file of a build context.
    File,
    /// What an address gave.
    Remote,
    /// Another stage, by its key.
    Stage,
    /// An image, by the contents of its layers.
    Image,
}

/// All kinds with the names that they have in keys and entries.
const NAMES: [(Kind, &str); 15] = [
    (Kind::Base, "base"),
    (Kind::Platform, "platform"),
    (Kind::Before, "before"),
    (Kind::Option, "option"),
    (Kind::Instruction, "instruction"),
    (Kind::Argument, "argument"),
    (Kind::Variable, "variable"),
    (Kind::User, "user"),
    (Kind::Directory, "directory"),
    (Kind::Shell, "shell"),
    (Kind::Mount, "mount"),
    (Kind::File, "file"),
    (Kind::Remote, "remote"),
    (Kind::Stage, "stage"),
    (Kind::Image, "image"),
];

impl Kind {
    /// Its name in keys and entries.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The kind of this name.
    pub fn of_name(name: &str) -> Option<Kind> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// One thing that a result depends on. The value of an argument or a variable is its stretched form; nothing here is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Which, where there are several: bytes, since a path is.
    pub name: Vec<u8>,
    /// What it is like.
    pub value: Vec<u8>,
}

impl Part {
    /// A part. Arguments and variables are made by [`Stretcher::part`].
    pub fn new(kind: Kind, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Part {
        Part { kind, name: name.into(), value: value.into() }
    }
}

/// Makes the parts of values that could be guessed. It remembers what it did, for the steps of a build share their variables.
#[derive(Default)]
pub struct Stretcher(BTreeMap<(String, String), [u8; 32]>);

impl Stretcher {
    /// The part of an argument or a variable.
    pub fn part(&mut self, kind: Kind, name: &str, value: &str) -> Part {
        let known = self.0.entry((name.to_owned(), value.to_owned()));
        Part::new(kind, name, *known.or_insert_with(|| stretched(name, value)))
    }
}

fn stretched(name: &str, value: &str) -> [u8; 32] {
    let mut out = [0; 32];
    let salt = [DOMAIN, b"\0", name.as_bytes()].concat();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &salt, value.as_bytes(), &mut out);
    out
}

/// The name of an entry: a SHA-256 in hexadecimal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// 64 hexadecimal digits: a tag, and a file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads what [`Key::as_str`] gives.
    pub(super) fn parse(text: &str) -> Option<Key> {
        let is_key = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_key.then(|| Key(text.to_owned()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of these parts, in this order: `domain, number of parts, (kind, name, value)…`, each but the number preceded by its
/// length; numbers are eight bytes, the least significant first.
pub fn key(parts: &[Part]) -> Key {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    frame(&mut hasher, DOMAIN);
    hasher.update(&(parts.len() as u64).to_le_bytes());
    for part in parts {
        [part.kind.name().as_bytes(), &part.name, &part.value].iter().for_each(|field| frame(&mut hasher, field));
    }
    Key(hasher.finish().hex().to_owned())
}

fn frame(hasher: &mut Hasher, field: &[u8]) {
    hasher.update(&(field.len() as u64).to_le_bytes());
    hasher.update(field);
}

#[cfg(test)]
mod tests;
