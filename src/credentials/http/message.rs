//! Requests and answers, and what a service says about a failure.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;

/// A request.
pub(in crate::credentials) struct Call {
    pub(super) method: Method,
    pub(in crate::credentials) url: Url,
    pub(in crate::credentials) headers: Vec<(String, String)>,
    pub(in crate::credentials) body: Vec<u8>,
}

impl Call {
    /// `GET address`.
    pub(in crate::credentials) fn get(address: &str) -> Result<Self, String> {
        let url = Url::parse(address).map_err(|error| format!("the address {address:?}: {error}"))?;
        Ok(Call { method: Method::GET, url, headers: Vec::new(), body: Vec::new() })
    }

    /// `PUT address` without a body.
    pub(in crate::credentials) fn put(address: &str) -> Result<Self, String> {
        Ok(Call { method: Method::PUT, ..Call::get(address)? })
    }

    /// `POST address` with a body of `kind`.
    pub(in crate::credentials) fn post(address: &str, kind: &str, body: impl Into<Vec<u8>>) -> Result<Self, String> {
        let call = Call { method: Method::POST, body: body.into(), ..Call::get(address)? };
        Ok(call.header("content-type", kind))
    }

    /// `POST address` with the fields of a form.
    pub(in crate::credentials) fn form(address: &str, fields: &[(&str, &str)]) -> Result<Self, String> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Call::post(address, "application/x-www-form-urlencoded", body)
    }

    /// With one more header.
    pub(in crate::credentials) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// What came back with status 200.
pub(in crate::credentials) struct Answer {
    pub(in crate::credentials) headers: HeaderMap,
    pub(in crate::credentials) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON of the form that is wanted.
    pub(in crate::credentials) fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        // The message of the reader might quote a secret.
        serde_json::from_slice(&self.body).map_err(|_| "the answer is malformed".to_owned())
    }

    /// The body as a text.
    pub(in crate::credentials) fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(&self.body).map(str::trim).map_err(|_| "the answer is not a text".to_owned())
    }
}

/// The headers of a request. None of them is shown by `Debug`.
pub(super) fn headers(pairs: &[(String, String)]) -> HeaderMap {
    let header = |(name, value): &(String, String)| {
        let mut value = HeaderValue::try_from(value.as_str()).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name.as_str()).ok()?, value))
    };
    pairs.iter().filter_map(header).collect()
}

/// What a service says about a failure, as OAuth (RFC 6749, section 5.2), Google, Amazon and registries do: codes and descriptions.
pub(super) fn said(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error =
        value.get("errors").and_then(|errors| errors.get(0)).or_else(|| value.get("error").filter(|e| e.is_object()));
    let from = error.unwrap_or(&value);
    let names = ["error", "__type", "code", "status", "error_description", "message", "Message"];
    let words: Vec<&str> =
        names.iter().filter_map(|name| from.get(name)?.as_str()).filter(|word| !word.is_empty()).collect();
    let text: String =
        words.join(": ").chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(300).collect();
    if text.is_empty() { None } else { Some(text) }
}
