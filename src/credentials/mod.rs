//! Which credential a registry gets: configuration files, helpers, variables, and the identities that clouds give to machines and pods.
//!
//! The first source that knows the registry wins, in kaniko's order. A credential is for the host, and the path, that it was given
//! for. No metadata server is asked for a host that is not its cloud's. Secrets are never in a log line or an error. This module
//! does not know how a registry is spoken to, and reads no variable itself.

mod aws;
mod azure;
mod cloud;
mod config;
mod environment;
#[cfg(test)]
mod fake;
mod google;
mod helper;
mod http;
mod keychain;
mod memory;
mod places;
mod secret;
mod sources;
mod target;
#[cfg(test)]
mod tests;
mod variables;

pub use environment::Environment;
pub use http::Network;
pub(crate) use http::{cause, is_loopback};
pub use keychain::Keychain;
pub use places::docker_config;
pub use secret::Secret;
pub use sources::{Source, Sources};

/// What proves to a registry who we are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credential {
    /// Nothing: who we are is not said.
    Anonymous,
    /// A user and a password, for the registry or its token server.
    Basic {
        /// The user's name.
        user: String,
        /// The password, or a token in its place.
        password: Secret,
    },
    /// A refresh token, which the registry's token server exchanges (OAuth 2).
    IdentityToken(Secret),
    /// A bearer token for the registry itself.
    RegistryToken(Secret),
}

impl Credential {
    /// A user and a password.
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Credential::Basic { user: user.into(), password: Secret::new(password) }
    }
}

/// A credential and where it is from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// What to show the registry.
    pub credential: Credential,
    /// Where it is from, in words that can follow "credential from"; for none, that and what was looked for.
    pub source: String,
}

impl Identity {
    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Identity { credential: Credential::Anonymous, source: "no credentials were given".to_owned() }
    }

    /// What a message says of it.
    pub fn description(&self) -> String {
        match &self.credential {
            Credential::Anonymous => self.source.clone(),
            Credential::Basic { user, .. } => format!("user {user:?} from {}", self.source),
            Credential::IdentityToken(_) => format!("identity token from {}", self.source),
            Credential::RegistryToken(_) => format!("registry token from {}", self.source),
        }
    }
}

/// A source that is set up for the registry, but does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("credential for {registry}: {source_name}: {why}")]
pub struct Error {
    /// The registry that the credential is for.
    pub registry: String,
    /// Which source.
    pub source_name: String,
    /// What is wrong with it. No secret is in it.
    pub why: String,
}
