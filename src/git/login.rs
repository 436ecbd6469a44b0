//! What proves to the host of a repository who we are.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::credentials::Secret;

/// The value of an `Authorization` header.
#[derive(Clone, PartialEq, Eq)]
pub struct Login(Secret);

impl Login {
    /// A user and a password, or a token in its place.
    #[must_use]
    pub fn basic(user: &str, password: &str) -> Self {
        Login(Secret::new(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))))
    }

    /// A token, as GitHub, GitLab and others take it from BuildKit.
    #[must_use]
    pub fn token(token: &str) -> Self {
        Login::basic("x-access-token", token.trim())
    }

    /// The header's value as it is.
    #[must_use]
    pub fn header(value: &str) -> Self {
        Login(Secret::new(value.trim()))
    }

    pub(super) fn value(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// The logins that a caller has, by host. A host is as in an address: with its port where one is named.
#[derive(Clone, Debug, Default)]
pub struct Logins(BTreeMap<String, Login>);

impl Logins {
    /// Adds one for `host`; an earlier one stays.
    pub fn add(&mut self, host: &str, login: Login) {
        self.0.entry(host.to_ascii_lowercase()).or_insert(login);
    }

    /// That of `host` with its port, if one was named.
    pub(super) fn of(&self, host: &str) -> Option<&Login> {
        self.0.get(&host.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_for_its_host_and_is_not_shown() {
        let mut logins = Logins::default();
        logins.add("Git.Example:8443", Login::token("hunter2\n"));
        logins.add("git.example:8443", Login::header("later"));
        let login = logins.of("git.example:8443").expect("one");
        assert_eq!(login.value(), "Basic eC1hY2Nlc3MtdG9rZW46aHVudGVyMg==");
        assert_eq!(logins.of("git.example"), None);
        assert_eq!(logins.of("example:8443"), None);
        assert!(!format!("{logins:?}").contains("eC1h"));
    }
}
