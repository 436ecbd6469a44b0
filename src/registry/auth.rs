//! Docker's token authentication: the challenge of a registry (RFC 9110, section 11), and bearer tokens for scopes.

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

    /// Where a token for `scopes` is to be had. `None` if the realm is not a URL, or not HTTPS although the registry is.
    pub(super) fn token_url(&self, registry: &Url, scopes: &[String]) -> Option<Url> {
        let Challenge::Bearer { realm, service, .. } = self else { return None };
        let mut url = Url::parse(realm).ok()?;
        if url.scheme() != "https" && registry.scheme() == "https" || !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let scopes = scopes.iter().map(|scope| ("scope", scope.as_str()));
        url.query_pairs_mut().extend_pairs(service.iter().map(|service| ("service", service.as_str())).chain(scopes));
        Some(url)
    }
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
        Ok(Token { text, good_until: Instant::now() + lifetime.saturating_sub(MARGIN) })
    }

    pub(super) fn is_good(&self) -> bool {
        Instant::now() < self.good_until
    }
}

/// The scope of a token for `name`, a repository's path.
pub(super) fn scope(name: &str, actions: &str) -> String {
    format!("repository:{name}:{actions}")
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
        let scopes = [scope("a/b", "pull,push"), scope("c", "pull")];
        let url = bearer("https://a/token?x=1", Some("s"), None).token_url(&secure, &scopes).expect("a url");
        assert_eq!(
            url.as_str(),
            "https://a/token?x=1&service=s&scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull"
        );
        assert!(bearer("http://a/token", None, None).token_url(&secure, &[]).is_none());
        assert!(bearer("http://a/token", None, None).token_url(&plain, &[]).is_some());
        assert!(bearer("file:///etc/passwd", None, None).token_url(&plain, &[]).is_none());
        assert!(bearer("token", None, None).token_url(&plain, &[]).is_none());
    }

    #[test]
    fn tokens() {
        let good = |text: &str| Token::parse(text.as_bytes()).map(|token| (token.text.clone(), token.is_good()));
        assert_eq!(good(r#"{"token":"t"}"#), Ok(("t".to_owned(), true)));
        assert_eq!(good(r#"{"token":"","access_token":"a","expires_in":300}"#), Ok(("a".to_owned(), true)));
        assert_eq!(good(r#"{"token":"t","expires_in":5}"#), Ok(("t".to_owned(), false)));
        assert_eq!(good(r#"{"token":"t","expires_in":-1e300}"#), Ok(("t".to_owned(), true)));
        assert!(good("{}").is_err());
        assert!(!good(r#"{"token":["secret"]}"#).expect_err("malformed").contains("secret"));
    }
}
