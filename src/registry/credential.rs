//! Who we are to a registry. Where credentials are looked for is not known here: the caller gives a function that finds them.

use std::fmt;

/// What proves who we are. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nobody in particular.
    Anonymous,
    /// A user and a password: sent as they are where the registry asks for that, otherwise exchanged for a token.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// An OAuth 2 refresh token, which the token server exchanges (`identitytoken` of Docker's configuration).
    IdentityToken(String),
    /// A bearer token that the registry takes as it is (`registrytoken`).
    RegistryToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::Anonymous => "Anonymous",
            Credential::Basic { .. } => "Basic",
            Credential::IdentityToken(_) => "IdentityToken",
            Credential::RegistryToken(_) => "RegistryToken",
        })
    }
}

/// A credential, and where it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The credential.
    pub credential: Credential,
    /// Where it comes from, for messages: `config.json of /root/.docker`. Where there is none, that and what was looked for.
    pub source: String,
}

impl Identity {
    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Identity { credential: Credential::Anonymous, source: "no credentials were given".to_owned() }
    }

    /// What a message says of it.
    pub(super) fn description(&self) -> String {
        match &self.credential {
            Credential::Anonymous => self.source.clone(),
            Credential::Basic { user, .. } => format!("user {user:?} from {}", self.source),
            Credential::IdentityToken(_) => format!("identity token from {}", self.source),
            Credential::RegistryToken(_) => format!("registry token from {}", self.source),
        }
    }
}

/// Finds the identity for a registry (`host[:port]` or `docker.io`) and a repository's path in it. It may take its time: it is
/// called where blocking is allowed, once a minute for a repository, and only if the registry wants to see something.
pub type Finder = dyn Fn(&str, &str) -> Result<Identity, String> + Send + Sync;
