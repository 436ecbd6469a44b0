//! Workload identity federation: a token of another issuer, from a file or an address, is exchanged for Google's (RFC 8693).
//!
//! Sources that run a program, sign for Amazon or present a certificate are refused with a message.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::account::impersonate;
use super::{SCOPE, Token};
use crate::credentials::Secret;
use crate::credentials::cloud::Cloud;
use crate::credentials::http::{Call, Server};

/// How the exchange is to be made.
#[derive(Deserialize)]
pub(super) struct External {
    audience: String,
    subject_token_type: String,
    token_url: String,
    #[serde(default)]
    service_account_impersonation_url: Option<String>,
    credential_source: Source,
}

/// Where the token of the other issuer is.
#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    file: Option<PathBuf>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    environment_id: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    format: Format,
}

/// How it is written there.
#[derive(Deserialize, Default)]
struct Format {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    subject_token_field_name: Option<String>,
}

impl External {
    pub(super) fn token(&self, cloud: &Cloud<'_>) -> Result<Token, String> {
        let subject = self.credential_source.token(cloud)?;
        let token_type = "urn:ietf:params:oauth:token-type:access_token";
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", &self.audience),
            ("scope", SCOPE),
            ("requested_token_type", token_type),
            ("subject_token", subject.expose()),
            ("subject_token_type", &self.subject_token_type),
        ];
        let token = Token::read(&cloud.http.send(Server::Service, &Call::form(&self.token_url, &fields)?)?)?;
        match &self.service_account_impersonation_url {
            Some(url) => impersonate(cloud, url, &[], &token),
            None => Ok(token),
        }
    }
}

impl Source {
    fn token(&self, cloud: &Cloud<'_>) -> Result<Secret, String> {
        let text = match (&self.file, &self.url, &self.environment_id) {
            (Some(path), ..) => cloud.token_file(path)?,
            (None, Some(url), None) => {
                let mut call = Call::get(url)?;
                call.headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
                Secret::new(cloud.http.send(Server::Issuer, &call)?.text()?)
            }
            _ => return Err("its credential_source is neither a file nor a url; others are not supported".to_owned()),
        };
        self.format.token(text)
    }
}

impl Format {
    fn token(&self, text: Secret) -> Result<Secret, String> {
        if self.r#type.as_deref() != Some("json") {
            return Ok(text);
        }
        let field = self.subject_token_field_name.as_deref().unwrap_or("access_token");
        let value: serde_json::Value =
            serde_json::from_str(text.expose()).map_err(|_| "the subject token is not in JSON".to_owned())?;
        let token = value.get(field).and_then(serde_json::Value::as_str).filter(|token| !token.is_empty());
        token.map(Secret::new).ok_or_else(|| format!("the JSON with the subject token has no {field}"))
    }
}
