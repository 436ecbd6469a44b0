//! What the code of every cloud gets, and what it gives back.

use std::path::Path;
use std::time::Duration;

use super::aws::Profiles;
use super::google::Adc;
use super::http::Http;
use super::{Credential, Environment, Secret, places};

/// What an identity may be found with: variables, files that were read at the start, and the network.
pub(super) struct Cloud<'a> {
    pub(super) environment: &'a Environment,
    pub(super) http: &'a Http,
    pub(super) profiles: &'a Profiles,
    pub(super) adc: &'a Adc,
}

impl Cloud<'_> {
    /// A token that something else keeps fresh in a file; it is read at each use.
    pub(super) fn token_file(&self, path: &Path) -> Result<Secret, String> {
        let bytes = places::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{}: not a text", path.display()))?;
        let text = text.trim();
        if text.is_empty() { Err(format!("{}: empty", path.display())) } else { Ok(Secret::new(text)) }
    }
}

/// A credential from a cloud.
#[derive(Clone, Debug)]
pub(super) struct Granted {
    pub(super) credential: Credential,
    /// Whose it is, in words.
    pub(super) source: String,
    /// How long it is good.
    pub(super) lifetime: Duration,
}
