//! Gives a registry client the credentials of this environment.

use anyhow::Result;

use super::env::Env;
use crate::credentials::{Credential, Found, Keychain, Sources};
use crate::registry::{self, Client, Identity};

/// `client`, which shows the registries that ask for it what `env`, its files and its clouds have for them.
pub(super) fn identified(client: Client, env: &Env, sources: Sources) -> Result<Client> {
    let keychain = Keychain::new(env.environment(), sources, client.network()?);
    Ok(client.identified_by(move |registry, repository| {
        keychain.find(registry, repository).map(identity).map_err(|error| error.to_string())
    }))
}

/// A credential as the client takes it.
fn identity(Found { credential, source }: Found) -> Identity {
    let credential = match credential {
        Credential::Anonymous => registry::Credential::Anonymous,
        Credential::Basic { user, password } => {
            registry::Credential::Basic { user, password: password.expose().to_owned() }
        }
        Credential::IdentityToken(token) => registry::Credential::IdentityToken(token.expose().to_owned()),
        Credential::RegistryToken(token) => registry::Credential::RegistryToken(token.expose().to_owned()),
    };
    Identity { credential, source }
}
