//! The `Authorization` header of requests to one registry: who we are, what the registry wants to see, and the tokens that it took.
//!
//! Credentials are looked for once a minute and repository, since some end while we run, and only after the registry asked for something. One token is fetched at a time, so
//! that whoever comes second finds the first one's. A token is replaced before it ends, and when it is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::HeaderValue;
use tokio::sync::Mutex;

use super::auth::{Access, Challenge, Token};
use super::exchange;
use super::lines::Lines;
use super::patience::Timeouts;
use super::{Error, Finder};
use crate::credentials::{Credential, Identity};

/// How long a credential is shown before it is looked for again. Whoever finds them keeps those that are good.
const BELIEVED: Duration = Duration::from_secs(60);

/// What is known of a registry's wishes and of ourselves.
pub(super) struct Authorization {
    registry: String,
    base: Url,
    lines: Lines,
    timeouts: Timeouts,
    finder: Arc<Finder>,
    challenge: Mutex<Challenge>,
    tokens: Mutex<BTreeMap<Access, Token>>,
    identities: Mutex<BTreeMap<String, (Arc<Identity>, Instant)>>,
}

/// A header's value, and who is behind it.
#[derive(Clone)]
pub(super) struct Proof {
    pub(super) value: Option<HeaderValue>,
    pub(super) identity: String,
}

impl Authorization {
    pub(super) fn new(
        registry: &str,
        base: &Url,
        lines: &Lines,
        timeouts: Timeouts,
        finder: &Arc<Finder>,
        challenge: Challenge,
    ) -> Self {
        Authorization {
            registry: registry.to_owned(),
            base: base.clone(),
            lines: lines.clone(),
            timeouts,
            finder: finder.clone(),
            challenge: Mutex::new(challenge),
            tokens: Mutex::default(),
            identities: Mutex::default(),
        }
    }

    /// What to show for `access`, as far as the registry has asked for anything.
    pub(super) async fn proof(&self, what: &str, access: &Access) -> Result<Proof, Error> {
        let challenge = self.challenge.lock().await.clone();
        if challenge == Challenge::None {
            return Ok(Proof { value: None, identity: Identity::anonymous().description() });
        }
        let identity = self.identity(what, &access.repository).await?;
        let text = match (&challenge, &identity.credential) {
            (_, Credential::RegistryToken(token)) => Some(format!("Bearer {}", token.expose())),
            (Challenge::Basic, Credential::Basic { user, password }) => Some(basic(user, password.expose())),
            (Challenge::Bearer { .. }, _) => {
                Some(format!("Bearer {}", self.token(what, &challenge, access, &identity).await?))
            }
            _ => None,
        };
        proof(what, text, &identity)
    }

    /// What to show instead, after `challenge` came back although `shown` was shown. `None` if there is nothing else.
    pub(super) async fn other_proof(
        &self,
        what: &str,
        access: &Access,
        challenge: Challenge,
        shown: &Proof,
    ) -> Result<Option<Proof>, Error> {
        if challenge == Challenge::None {
            return Ok(None);
        }
        let mut wanted = access.clone();
        let own = challenge.scope().map(str::to_owned);
        wanted.scopes.extend(own.filter(|scope| !access.scopes.contains(scope)));
        let before = std::mem::replace(&mut *self.challenge.lock().await, challenge.clone());
        if before != Challenge::None && matches!(challenge, Challenge::Bearer { .. }) {
            let identity = self.identity(what, &access.repository).await?;
            if !matches!(identity.credential, Credential::RegistryToken(_)) {
                let text = self.renewed(what, &challenge, access, &wanted, &identity, shown).await?;
                return proof(what, Some(text), &identity).map(Some);
            }
        }
        let proof = self.proof(what, access).await?;
        Ok(Some(proof).filter(|proof| proof.value != shown.value))
    }

    /// Whether the registry has asked who we are, up to now.
    pub(super) async fn was_asked_for(&self) -> bool {
        *self.challenge.lock().await != Challenge::None
    }

    async fn identity(&self, what: &str, repository: &str) -> Result<Arc<Identity>, Error> {
        let mut identities = self.identities.lock().await;
        if let Some((identity, found)) = identities.get(repository)
            && found.elapsed() < BELIEVED
        {
            return Ok(identity.clone());
        }
        let (finder, registry, name) = (self.finder.clone(), self.registry.clone(), repository.to_owned());
        let found = tokio::task::spawn_blocking(move || finder(&registry, &name)).await;
        let found = found.unwrap_or_else(|error| Err(error.to_string()));
        let identity = found.map_err(|why| Error::Credentials { what: what.to_owned(), why })?;
        tracing::debug!("{}/{repository}: {}", self.registry, identity.description());
        let identity = Arc::new(identity);
        identities.insert(repository.to_owned(), (identity.clone(), Instant::now()));
        Ok(identity)
    }

    /// The text of a token for `access`.
    async fn token(
        &self,
        what: &str,
        challenge: &Challenge,
        access: &Access,
        identity: &Identity,
    ) -> Result<String, Error> {
        let mut tokens = self.tokens.lock().await;
        if let Some(token) = tokens.get(access).filter(|token| token.is_good()) {
            return Ok(token.text.clone());
        }
        let token = self.fetch(what, challenge, access, identity).await?;
        let text = token.text.clone();
        tokens.insert(access.clone(), token);
        Ok(text)
    }

    /// Another token than the one that was shown: somebody else's if there is one by now, otherwise a new one for `wanted`.
    async fn renewed(
        &self,
        what: &str,
        challenge: &Challenge,
        access: &Access,
        wanted: &Access,
        identity: &Identity,
        shown: &Proof,
    ) -> Result<String, Error> {
        let mut tokens = self.tokens.lock().await;
        let others = tokens.get(access).filter(|token| token.is_good()).map(|token| format!("Bearer {}", token.text));
        if let Some(text) = others.filter(|text| shown.value.as_ref().is_some_and(|value| value != text.as_str())) {
            return Ok(text);
        }
        let token = self.fetch(what, challenge, wanted, identity).await?;
        let text = format!("Bearer {}", token.text);
        tokens.insert(access.clone(), token);
        Ok(text)
    }

    async fn fetch(
        &self,
        what: &str,
        challenge: &Challenge,
        access: &Access,
        identity: &Identity,
    ) -> Result<Token, Error> {
        let insecure = || Error::protocol(what, "the registry sends us to an insecure address for a token");
        let realm = challenge.realm(&self.base).ok_or_else(insecure)?;
        exchange::token(&self.lines, &self.timeouts, what, realm, challenge, access, identity).await
    }
}

fn proof(what: &str, text: Option<String>, identity: &Identity) -> Result<Proof, Error> {
    let sensitive = |text: String| {
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| Error::protocol(what, "the credential has characters that a header cannot have"))?;
        value.set_sensitive(true);
        Ok::<_, Error>(value)
    };
    Ok(Proof { value: text.map(sensitive).transpose()?, identity: identity.description() })
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD;
    format!("Basic {}", engine.encode(format!("{user}:{password}")))
}
