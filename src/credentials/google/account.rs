//! The kinds of files that application default credentials come in (cloud.google.com: "How Application Default Credentials works").

use serde::Deserialize;

use super::federation::External;
use super::{SCOPE, Token, jwt};
use crate::credentials::Secret;
use crate::credentials::cloud::Cloud;
use crate::credentials::http::{Call, Server};

/// Where tokens are given out, unless the file says so itself.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

fn token_uri() -> String {
    TOKEN_URI.to_owned()
}

/// What a file holds.
#[derive(Deserialize)]
#[serde(tag = "type")]
pub(super) enum Account {
    /// A service account's private key.
    #[serde(rename = "service_account")]
    Own(Key),
    /// What gcloud keeps for a person.
    #[serde(rename = "authorized_user")]
    User(User),
    /// An identity of another issuer.
    #[serde(rename = "external_account")]
    External(External),
    /// An account that another one may act as.
    #[serde(rename = "impersonated_service_account")]
    Impersonated(Impersonated),
}

/// A service account's key.
#[derive(Deserialize)]
pub(super) struct Key {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default = "token_uri")]
    token_uri: String,
}

/// A person's lasting permission.
#[derive(Deserialize)]
pub(super) struct User {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    #[serde(default = "token_uri")]
    token_uri: String,
}

/// Who acts, and as whom.
#[derive(Deserialize)]
pub(super) struct Impersonated {
    service_account_impersonation_url: String,
    source_credentials: Box<Account>,
    #[serde(default)]
    delegates: Vec<String>,
}

impl Account {
    /// Reads a file's text.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|_| "not a JSON file")?;
        let kind =
            value.get("type").and_then(serde_json::Value::as_str).ok_or("not a JSON file with a type")?.to_owned();
        // The message of the reader might quote a secret.
        serde_json::from_slice(text)
            .map_err(|_| format!("credentials of type {kind:?} are incomplete or not supported"))
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> String {
        match self {
            Account::Own(key) => format!("the key of {}", key.client_email),
            Account::User(_) => "the user credentials".to_owned(),
            Account::External(_) => "the federated identity".to_owned(),
            Account::Impersonated(_) => "the impersonation".to_owned(),
        }
    }

    /// An access token.
    pub(super) fn token(&self, cloud: &Cloud<'_>) -> Result<Token, String> {
        match self {
            Account::Own(key) => key.token(cloud),
            Account::User(user) => user.token(cloud),
            Account::External(external) => external.token(cloud),
            Account::Impersonated(Impersonated { source_credentials, .. })
                if matches!(**source_credentials, Account::Impersonated(_)) =>
            {
                Err("an impersonation of an impersonation is not supported".to_owned())
            }
            Account::Impersonated(account) => {
                let token = account.source_credentials.token(cloud)?;
                impersonate(cloud, &account.service_account_impersonation_url, &account.delegates, &token)
            }
        }
    }
}

impl Key {
    /// Exchanges an assertion that the key signed (RFC 7523).
    fn token(&self, cloud: &Cloud<'_>) -> Result<Token, String> {
        let claims = jwt::Claims { issuer: &self.client_email, scope: SCOPE, audience: &self.token_uri };
        let assertion = jwt::sign(&Secret::new(self.private_key.as_str()), self.private_key_id.as_deref(), &claims)?;
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let call = Call::form(&self.token_uri, &[("grant_type", grant), ("assertion", assertion.expose())])?;
        Token::read(&cloud.http.send(Server::Service, &call)?)
    }
}

impl User {
    /// Refreshes (RFC 6749, section 6).
    fn token(&self, cloud: &Cloud<'_>) -> Result<Token, String> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("refresh_token", &self.refresh_token),
        ];
        Token::read(&cloud.http.send(Server::Service, &Call::form(&self.token_uri, &fields)?)?)
    }
}

/// A token of the account that `url` names, by one that may act as it.
pub(super) fn impersonate(cloud: &Cloud<'_>, url: &str, delegates: &[String], by: &Token) -> Result<Token, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        access_token: String,
        expire_time: Option<String>,
    }
    let body = serde_json::json!({ "scope": [SCOPE], "delegates": delegates, "lifetime": "3600s" }).to_string();
    let call =
        Call::post(url, "application/json", body)?.header("authorization", format!("Bearer {}", by.text.expose()));
    let body: Body = cloud.http.send(Server::Service, &call)?.json()?;
    let end = body.expire_time.and_then(|end| end.parse::<jiff::Timestamp>().ok());
    let left = end.map(|end| end.duration_since(jiff::Timestamp::now()));
    let lifetime = left.and_then(|left| left.try_into().ok()).unwrap_or(std::time::Duration::from_secs(600));
    Ok(Token { text: Secret::new(body.access_token), lifetime })
}
