//! Docker's token authentication: the challenge of a registry (RFC 9110, section 11), and bearer tokens for what is to be done.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;

/// How long a token is good that does not say so.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// A token is replaced this long before it ends.
const MARGIN: Duration = Duration::from_secs(10);

/// What a registry wants to see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Challenge {
    /// Nothing.
    None,
    /// A user and a password.
    Basic,
    /// A token, which `realm` gives out.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The challenge in the headers of a 401, a bearer challenge before any other.
    pub(super) fn of(headers: &HeaderMap) -> Challenge {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let found: Vec<Challenge> = values.flat_map(parse).collect();
        let bearer = found.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        bearer.or(found.first()).cloned().unwrap_or(Challenge::None)
    }

    /// Where tokens are to be had. `None` if the realm is not a URL, or not HTTPS although the registry is.
    pub(super) fn realm(&self, registry: &Url) -> Option<Url> {
        let Challenge::Bearer { realm, .. } = self else { return None };
        let url = Url::parse(realm).ok()?;
        let is_safe = url.scheme() == "https" || registry.scheme() == "http" && url.scheme() == "http";
        is_safe.then_some(url)
    }

    /// The service that tokens are for.
    pub(super) fn service(&self) -> Option<&str> {
        let Challenge::Bearer { service, .. } = self else { return None };
        service.as_deref()
    }

    /// The scope that the registry itself asks for.
    pub(super) fn scope(&self) -> Option<&str> {
        let Challenge::Bearer { scope, .. } = self else { return None };
        scope.as_deref()
    }
}

/// What is to be done with a repository, as scopes of a token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Access {
    /// The repository's path: whoever has a credential for it may do this.
    pub(super) repository: String,
    pub(super) scopes: Vec<String>,
}

impl Access {
    pub(super) fn pull(name: &str) -> Self {
        Access { repository: name.to_owned(), scopes: vec![scope(name, "pull")] }
    }

    pub(super) fn push(name: &str) -> Self {
        Access { repository: name.to_owned(), scopes: vec![scope(name, "pull,push")] }
    }

    /// The same, and reading another repository, from which a blob is mounted.
    pub(super) fn and_pull(&self, name: &str) -> Self {
        let mut access = self.clone();
        access.scopes.push(scope(name, "pull"));
        access
    }
}

fn scope(name: &str, actions: &str) -> String {
    format!("repository:{name}:{actions}")
}

/// All challenges of one header value.
fn parse(value: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        let end = rest.find(['=', ' ', ',']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if let Some(value) = after.trim_start().strip_prefix('=') {
            let (text, after) = parameter(value.trim_start());
            if let Some((_, parameters)) = found.last_mut() {
                parameters.insert(word.to_ascii_lowercase(), text);
            }
            rest = after;
        } else {
            found.push((word.to_ascii_lowercase(), BTreeMap::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    found.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, parameters)).collect()
}

fn challenge(scheme: &str, mut parameters: BTreeMap<String, String>) -> Option<Challenge> {
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            let realm = parameters.remove("realm")?;
            Some(Challenge::Bearer { realm, service: parameters.remove("service"), scope: parameters.remove("scope") })
        }
        _ => None,
    }
}

/// A parameter's value, quoted or not, and what follows it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[position + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// A bearer token. Its text is not shown by `Debug`.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: String,
    good_until: Instant,
}

impl Token {
    /// Reads what a token server answered.
    ///
    /// A token that says how long it lives is replaced ten seconds before its end, or after half its life where that is later.
    pub(super) fn parse(bytes: &[u8]) -> Result<Token, String> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            token: Option<String>,
            #[serde(default)]
            access_token: Option<String>,
            #[serde(default)]
            expires_in: Option<f64>,
        }
        // The message of the JSON reader might quote the token.
        let answer: Answer = serde_json::from_slice(bytes).map_err(|_| "the answer is malformed".to_owned())?;
        let given = answer.token.filter(|text| !text.is_empty()).or(answer.access_token);
        let text = given.filter(|text| !text.is_empty()).ok_or("the answer has no token")?;
        let seconds = answer.expires_in.filter(|seconds| (0.0..1e6).contains(seconds));
        let lifetime = seconds.map(Duration::from_secs_f64).unwrap_or(DEFAULT_LIFETIME);
        Ok(Token { text, good_until: Instant::now() + lifetime.saturating_sub(MARGIN).max(lifetime / 2) })
    }

    pub(super) fn is_good(&self) -> bool {
        Instant::now() < self.good_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let [service, scope] = [service, scope].map(|text| text.map(str::to_owned));
        Challenge::Bearer { realm: realm.to_owned(), service, scope }
    }

    fn check(header: &str, expected: Challenge) {
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, header.parse().expect("a header"))]);
        assert_eq!(Challenge::of(&headers), expected, "{header:?}");
    }

    #[test]
    fn challenges() {
        check(
            r#"Bearer realm="https://a/token",service="r.io",scope="repository:a:pull,push""#,
            bearer("https://a/token", Some("r.io"), Some("repository:a:pull,push")),
        );
        check(r#"bearer REALM=https://a/t, service = "x""#, bearer("https://a/t", Some("x"), None));
        check(r#"Basic realm="a \"quoted\" b", Bearer realm="https://a/t""#, bearer("https://a/t", None, None));
        check(r#"Basic realm="x""#, Challenge::Basic);
        check("Basic", Challenge::Basic);
        check("Bearer", Challenge::None);
        check(r#"Bearer realm="unterminated"#, bearer("unterminated", None, None));
        check("Negotiate abc==", Challenge::None);
        check("", Challenge::None);
        check("=,= ,\"", Challenge::None);
    }

    #[test]
    fn a_token_is_asked_for_where_it_is_safe() {
        let (secure, plain) = (Url::parse("https://r/").expect("url"), Url::parse("http://r/").expect("url"));
        let realm = |text: &str, registry: &Url| bearer(text, None, None).realm(registry).map(String::from);
        assert_eq!(realm("https://a/token?x=1", &secure), Some("https://a/token?x=1".to_owned()));
        assert_eq!(realm("http://a/token", &secure), None);
        assert_eq!(realm("http://a/token", &plain), Some("http://a/token".to_owned()));
        assert_eq!(realm("https://a/token", &plain), Some("https://a/token".to_owned()));
        assert_eq!(realm("file:///etc/passwd", &plain), None);
        assert_eq!(realm("token", &plain), None);
    }

    #[test]
    fn scopes_are_those_of_a_repository() {
        assert_eq!(Access::pull("a/b").scopes, ["repository:a/b:pull"]);
        let mount = Access::push("a/b").and_pull("c");
        assert_eq!(mount.scopes, ["repository:a/b:pull,push", "repository:c:pull"]);
        assert_eq!(mount.repository, "a/b");
    }

    #[test]
    fn tokens() {
        let good = |text: &str| Token::parse(text.as_bytes()).map(|token| (token.text.clone(), token.is_good()));
        assert_eq!(good(r#"{"token":"t"}"#), Ok(("t".to_owned(), true)));
        assert_eq!(good(r#"{"token":"","access_token":"a","expires_in":300}"#), Ok(("a".to_owned(), true)));
        assert_eq!(good(r#"{"token":"t","expires_in":0}"#), Ok(("t".to_owned(), false)));
        assert_eq!(good(r#"{"token":"t","expires_in":-1e300}"#), Ok(("t".to_owned(), true)));
        assert!(good("{}").is_err());
        assert!(!good(r#"{"token":["secret"]}"#).expect_err("malformed").contains("secret"));
    }
}
