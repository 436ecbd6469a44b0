//! The secrets and SSH agents that a build may use, by their ids. A secret is held in memory alone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What `--secret` and `--ssh` gave.
#[derive(Clone, Default)]
pub struct Vault {
    secrets: BTreeMap<String, Vec<u8>>,
    agents: BTreeMap<String, PathBuf>,
}

impl Vault {
    /// Adds a secret; a later one of the same id wins.
    pub fn add_secret(&mut self, id: &str, bytes: Vec<u8>) {
        self.secrets.insert(id.to_owned(), bytes);
    }

    /// Adds the socket of an agent.
    pub fn add_agent(&mut self, id: &str, socket: PathBuf) {
        self.agents.insert(id.to_owned(), socket);
    }

    /// All secrets with their ids.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.secrets.iter().map(|(id, bytes)| (id.as_str(), bytes.as_slice()))
    }

    /// What a secret says.
    pub fn secret(&self, id: &str) -> Option<&[u8]> {
        self.secrets.get(id).map(Vec::as_slice)
    }

    pub(super) fn agent(&self, id: &str) -> Option<&PathBuf> {
        self.agents.get(id)
    }
}

/// Without what the secrets say.
impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("secrets", &self.secrets.keys()).field("agents", &self.agents).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_ids_alone() {
        let mut vault = Vault::default();
        vault.add_secret("token", b"hunter2".to_vec());
        let shown = format!("{vault:?}");
        assert!(shown.contains("token") && !shown.contains("hunter2") && !shown.contains("104"), "{shown}");
    }
}
