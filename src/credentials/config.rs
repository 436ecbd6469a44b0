//! The configuration file of Docker, and podman's, which has the same form: which entry or helper is for a target.
//!
//! A namespace's own entry comes before anything that is for the whole registry; helpers are asked for whole registries only.
//! Values are never quoted in an error: only keys and positions are.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::Deserialize;

use super::target::{Key, Target};
use super::{Credential, Secret};

/// What a file says, none of it checked yet but the form.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Config {
    auths: Option<BTreeMap<String, Option<Entry>>>,
    #[serde(rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

/// One entry of `auths`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Where a file says that the credential is.
#[derive(PartialEq, Debug)]
pub(super) enum Lead<'a> {
    /// Here, under `key`; the error says what is wrong with the entry.
    Entry { key: &'a str, credential: Result<Credential, String> },
    /// With the helper that is named for this registry.
    Helper { name: &'a str },
    /// With the helper that is named for all registries.
    Store { name: &'a str },
}

impl Config {
    /// Reads a file's text.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        // Docker takes an empty file for an empty configuration.
        if text.trim_ascii().is_empty() {
            return Ok(Config::default());
        }
        serde_json::from_slice(text).map_err(|error| {
            format!("not the JSON of a Docker configuration, near line {} column {}", error.line(), error.column())
        })
    }

    /// The places to look at, best first.
    pub(super) fn leads(&self, target: &Target) -> Vec<Lead<'_>> {
        let (namespaces, registry): (Vec<_>, Vec<_>) =
            self.entries(target).into_iter().partition(|(key, _)| !Key::parse(key).is_whole_registry());
        let entry = |(key, entry): (_, &Entry)| Lead::Entry { key, credential: entry.credential() };
        let mut leads: Vec<Lead<'_>> = namespaces.into_iter().map(entry).collect();
        leads.extend(self.helper(target));
        leads.extend(registry.into_iter().map(entry));
        leads
    }

    /// The helpers that it names.
    pub(super) fn helpers(&self) -> impl Iterator<Item = &str> {
        self.helpers
            .iter()
            .flat_map(BTreeMap::values)
            .chain(&self.store)
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    /// Entries for `target` that hold something, the longest path first, and Docker's own spelling before others.
    fn entries(&self, target: &Target) -> Vec<(&str, &Entry)> {
        let filled = self.auths.iter().flatten().filter_map(|(key, entry)| Some((key.as_str(), entry.as_ref()?)));
        let mut found: Vec<(usize, bool, &str, &Entry)> = filled
            .filter(|(_, entry)| !entry.is_empty())
            .filter_map(|(key, entry)| Some((Key::parse(key).covers(target)?, key == target.server(), key, entry)))
            .collect();
        found.sort_by_key(|(length, own, ..)| std::cmp::Reverse((*length, *own)));
        found.into_iter().map(|(_, _, key, entry)| (key, entry)).collect()
    }

    fn helper(&self, target: &Target) -> Option<Lead<'_>> {
        let is_for = |key: &str| {
            let key = Key::parse(key);
            key.is_whole_registry() && key.covers(target).is_some()
        };
        let named = self.helpers.iter().flatten().find(|(key, name)| is_for(key) && !name.is_empty());
        let store = self.store.as_deref().filter(|name| !name.is_empty()).map(|name| Lead::Store { name });
        named.map(|(_, name)| Lead::Helper { name }).or(store)
    }
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

impl Entry {
    fn is_empty(&self) -> bool {
        [&self.auth, &self.username, &self.password, &self.identitytoken, &self.registrytoken]
            .into_iter()
            .all(|text| given(text).is_none())
    }

    /// A token before a password, as go-containerregistry has it.
    fn credential(&self) -> Result<Credential, String> {
        if let Some(token) = given(&self.registrytoken) {
            return Ok(Credential::RegistryToken(Secret::new(token)));
        }
        if let Some(token) = given(&self.identitytoken) {
            return Ok(Credential::IdentityToken(Secret::new(token)));
        }
        if let Some(auth) = given(&self.auth) {
            return user_and_password(auth);
        }
        match (given(&self.username), given(&self.password)) {
            (Some(user), Some(password)) => Ok(Credential::basic(user, password)),
            (None, _) => Err("it has no user name".to_owned()),
            (_, None) => Err("it has no password".to_owned()),
        }
    }
}

/// Decodes `base64(user:password)`. Padding may be missing; zeros at the end are dropped, as Docker does.
fn user_and_password(auth: &str) -> Result<Credential, String> {
    let unpadded = auth.trim().trim_end_matches('=');
    let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(unpadded).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or("its \"auth\" is not base64 of a text")?;
    let (user, password) = text.split_once(':').ok_or("its \"auth\" is not base64 of user:password")?;
    if user.is_empty() {
        return Err("its \"auth\" has no user name".to_owned());
    }
    Ok(Credential::basic(user, password.trim_end_matches('\0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text.as_bytes()).expect("well formed")
    }

    /// The leads in short: `KEY=user:password`, `helper NAME`, `store NAME`, `KEY!why`.
    fn check(text: &str, registry: &str, repository: &str, expected: &[&str]) {
        let config = config(text);
        let leads = config.leads(&Target::new(registry, repository));
        let short = leads.iter().map(|lead| match lead {
            Lead::Helper { name } => format!("helper {name}"),
            Lead::Store { name } => format!("store {name}"),
            Lead::Entry { key, credential: Err(why) } => format!("{key}!{why}"),
            Lead::Entry { key, credential: Ok(credential) } => match credential {
                Credential::Basic { user, password } => format!("{key}={user}:{}", password.expose()),
                Credential::IdentityToken(token) => format!("{key} identity {}", token.expose()),
                Credential::RegistryToken(token) => format!("{key} registry {}", token.expose()),
                Credential::Anonymous => format!("{key} anonymous"),
            },
        });
        assert_eq!(short.collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn entries_in_all_forms() {
        // dTpw is u:p, dTpwOnE= is u:p:q, dTpwAAA= is u:p and two zeros.
        check(r#"{"auths":{"r.io":{"auth":"dTpw"}}}"#, "r.io", "a", &["r.io=u:p"]);
        check(r#"{"auths":{"r.io":{"auth":"dTpwOnE="}}}"#, "r.io", "a", &["r.io=u:p:q"]);
        check(r#"{"auths":{"r.io":{"auth":"dTpwOnE"}}}"#, "r.io", "a", &["r.io=u:p:q"]);
        check(r#"{"auths":{"r.io":{"auth":"dTpwAAA="}}}"#, "r.io", "a", &["r.io=u:p"]);
        check(r#"{"auths":{"r.io":{"username":"u","password":"p","email":"x"}}}"#, "r.io", "a", &["r.io=u:p"]);
        check(r#"{"auths":{"r.io":{"auth":"dTpw","identitytoken":"t"}}}"#, "r.io", "a", &["r.io identity t"]);
        check(r#"{"auths":{"r.io":{"registrytoken":"t"}}}"#, "r.io", "a", &["r.io registry t"]);
        check(r#"{"auths":{"r.io":{"auth":"!"}}}"#, "r.io", "a", &["r.io!its \"auth\" is not base64 of a text"]);
        check(r#"{"auths":{"r.io":{"username":"u"}}}"#, "r.io", "a", &["r.io!it has no password"]);
        for empty in [r#"{"auths":{"r.io":{}}}"#, r#"{"auths":{"r.io":null}}"#, r#"{"auths":null}"#, "{}", "", " \n"] {
            check(empty, "r.io", "a", &[]);
        }
    }

    #[test]
    fn a_namespace_comes_first_and_is_not_its_siblings() {
        let text = r#"{"auths":{"r.io":{"auth":"dTpw"},"r.io/a":{"auth":"YTpw"},"r.io/a/b":{"auth":"Yjpw"}},"credsStore":"s"}"#;
        check(text, "r.io", "a/b/c", &["r.io/a/b=b:p", "r.io/a=a:p", "store s", "r.io=u:p"]);
        check(text, "r.io", "a/bc", &["r.io/a=a:p", "store s", "r.io=u:p"]);
        check(text, "r.io", "ab/c", &["store s", "r.io=u:p"]);
        check(text, "other.io", "a/b", &["store s"]);
    }

    #[test]
    fn docker_hub_in_every_spelling() {
        let own = "https://index.docker.io/v1/";
        for key in [own, "index.docker.io", "docker.io", "registry-1.docker.io"] {
            let text = format!(r#"{{"auths":{{"{key}":{{"auth":"dTpw"}}}}}}"#);
            check(&text, "docker.io", "library/alpine", &[&format!("{key}=u:p")]);
        }
        let both = r#"{"auths":{"docker.io":{"auth":"dTpw"},"https://index.docker.io/v1/":{"auth":"YTpw"}}}"#;
        check(both, "docker.io", "x/y", &["https://index.docker.io/v1/=a:p", "docker.io=u:p"]);
    }

    #[test]
    fn a_named_helper_hides_the_store() {
        let text = r#"{"credHelpers":{"r.io":"one","https://q.io":"two"},"credsStore":"all","auths":{"r.io":{}}}"#;
        check(text, "r.io", "a", &["helper one"]);
        check(text, "q.io", "a", &["helper two"]);
        check(text, "x.io", "a", &["store all"]);
    }

    #[test]
    fn an_error_quotes_no_value() {
        for text in
            [r#"{"auths":{"r.io":{"auth":["hunter2"]}}}"#, r#"{"auths":"hunter2"}"#, r#"["hunter2"]"#, "hunter2"]
        {
            let why = Config::parse(text.as_bytes()).map(|_| ()).expect_err("malformed");
            assert!(!why.contains("hunter2") && why.contains("line 1"), "{why}");
        }
    }
}
