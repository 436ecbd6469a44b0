//! Digests of a key's parts that are kept beside an entry, so that a later build can say which part differs.
//!
//! They are keyed with a salt of the entry's own: two entries that share a value do not show it, and nobody can look values up in a
//! table. Whoever reads the cache has the salt too, so a value can still be guessed at the price of stretching each guess.

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use super::{Kind, Part};

/// The salt of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Salt(String);

impl Salt {
    /// A new one. A machine without randomness gives none, and then nothing is kept of the parts' values.
    pub(super) fn fresh() -> Option<Salt> {
        let mut bytes = [0_u8; 16];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Salt(hex(&bytes)))
    }

    /// The digest of a part: 32 hexadecimal digits.
    pub(super) fn digest(&self, part: &Part) -> String {
        self.over(part.kind, &part.name, std::iter::once(part.value.as_slice()))
    }

    /// The digest of several values under one name.
    pub(super) fn over<'a>(&self, kind: Kind, name: &'a [u8], values: impl Iterator<Item = &'a [u8]>) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes()));
        for field in [kind.name().as_bytes(), name].into_iter().chain(values) {
            context.update(&(field.len() as u64).to_le_bytes());
            context.update(field);
        }
        hex(&context.sign().as_ref()[..16])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_share_a_value_do_not_show_it() {
        let part = Part::new(Kind::Argument, "A", "x");
        let (one, other) = (Salt::fresh().expect("random"), Salt::fresh().expect("random"));
        assert_eq!(one.digest(&part), one.digest(&part.clone()));
        assert_ne!(one.digest(&part), other.digest(&part));
        assert_ne!(one.digest(&part), one.digest(&Part::new(Kind::Argument, "A", "y")));
        assert_ne!(one.digest(&part), one.digest(&Part::new(Kind::Variable, "A", "x")));
    }
}
