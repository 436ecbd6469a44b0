//! Amazon's signature of requests, version 4 (docs.aws.amazon.com: "Create a signed AWS API request"), for all services but S3.

use jiff::Timestamp;
use reqwest::Url;
use ring::{digest, hmac};

use super::Keys;

/// What a signature is for.
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) at: Timestamp,
}

/// The headers to add to a request: `x-amz-date`, `x-amz-security-token` where the keys have one, and `authorization`.
///
/// `headers` are those that the request already has, `host` not among them; all are signed.
pub(super) fn sign(
    keys: &Keys,
    scope: &Scope<'_>,
    method: &str,
    url: &Url,
    headers: &[(String, String)],
    body: &[u8],
) -> Vec<(String, String)> {
    let time = scope.at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut added = vec![("x-amz-date".to_owned(), time.clone())];
    added.extend(keys.session.iter().map(|token| ("x-amz-security-token".to_owned(), token.expose().to_owned())));
    let (signed, canonical) = canonical(method, url, [headers, &added].concat(), body);
    let day = &time[..8];
    let credential_scope = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{credential_scope}\n{}", hex(&sha256(canonical.as_bytes())));
    let first = format!("AWS4{}", keys.secret.expose()).into_bytes();
    let words = [day, scope.region, scope.service, "aws4_request"];
    let key = words.iter().fold(first, |key, word| mac(&key, word));
    let signature = hex(&mac(&key, &to_sign));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{credential_scope}, SignedHeaders={signed}, Signature={signature}",
        keys.id
    );
    added.push(("authorization".to_owned(), authorization));
    added
}

/// The names of the signed headers, and the canonical form of the request.
fn canonical(method: &str, url: &Url, headers: Vec<(String, String)>, body: &[u8]) -> (String, String) {
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let mut headers: Vec<(String, String)> =
        headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), single_spaced(&value))).collect();
    headers.push(("host".to_owned(), host));
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let signed = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let mut query: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (encoded(&name, ""), encoded(&value, ""))).collect();
    query.sort();
    let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let path = encoded(url.path(), "/");
    let text = format!("{method}\n{path}\n{}\n{lines}\n{signed}\n{}", query.join("&"), hex(&sha256(body)));
    (signed, text)
}

fn single_spaced(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Percent-encodes all but the unreserved characters of RFC 3986 and those in `kept`.
fn encoded(text: &str, kept: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let letter = char::from(byte);
        if byte.is_ascii_alphanumeric() || "-._~".contains(letter) || kept.contains(letter) {
            encoded.push(letter);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Secret;

    /// The keys, time and service of the test suite that Amazon publishes.
    fn check(method: &str, url: &str, headers: &[(&str, &str)], body: &str, signed: &str, signature: &str) {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let keys = Keys { id: "AKIDEXAMPLE".to_owned(), secret, session: None };
        let at = "2015-08-30T12:36:00Z".parse().expect("a time");
        let scope = Scope { region: "us-east-1", service: "service", at };
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let added = sign(&keys, &scope, method, &Url::parse(url).expect("url"), &headers, body.as_bytes());
        assert_eq!(added[0], ("x-amz-date".to_owned(), "20150830T123600Z".to_owned()));
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={signed}, Signature={signature}"
        );
        assert_eq!(added[1], ("authorization".to_owned(), expected), "{method} {url}");
    }

    #[test]
    fn the_published_vectors() {
        let root = "https://example.amazonaws.com/";
        let plain = "host;x-amz-date";
        let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        check("GET", root, &[], "", plain, vanilla);
        let post = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        check("POST", root, &[], "", plain, post);
        let query = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        check("GET", &format!("{root}?Param2=value2&Param1=value1"), &[], "", plain, query);
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let signature = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        check("POST", root, &form, "Param1=value1", "content-type;host;x-amz-date", signature);
    }
}
