//! A signed assertion (JWT, RFC 7519) with RS256 (RFC 7518, section 3.3), the one algorithm that Google's keys use.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::credentials::Secret;

/// How long an assertion is good, in seconds: the most that Google allows.
const LIFETIME: u64 = 3600;

/// Who asks whom for what.
pub(super) struct Claims<'a> {
    pub(super) issuer: &'a str,
    pub(super) scope: &'a str,
    pub(super) audience: &'a str,
}

/// Signs `claims` with `key`, a private key in PEM (PKCS #8 or #1), which is known to the issuer as `key_id`.
pub(super) fn sign(key: &Secret, key_id: Option<&str>, claims: &Claims<'_>) -> Result<Secret, String> {
    let pair = pair(key)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "the clock is before 1970")?.as_secs();
    let mut header = serde_json::json!({ "alg": "RS256", "typ": "JWT" });
    if let Some(id) = key_id {
        header["kid"] = id.into();
    }
    let claims = serde_json::json!({
        "iss": claims.issuer, "scope": claims.scope, "aud": claims.audience, "iat": now, "exp": now + LIFETIME,
    });
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let to_sign = format!("{header}.{claims}");
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), to_sign.as_bytes(), &mut signature)
        .map_err(|_| "the key cannot sign".to_owned())?;
    Ok(Secret::new(format!("{to_sign}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

fn pair(key: &Secret) -> Result<RsaKeyPair, String> {
    let wrong = || "private_key is not an RSA key of 2048 bits or more in PEM".to_owned();
    let pem = key.expose().as_bytes();
    let pair = match PrivatePkcs8KeyDer::from_pem_slice(pem) {
        Ok(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        Err(_) => match PrivateKeyDer::from_pem_slice(pem).map_err(|_| wrong())? {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(wrong()),
        },
    };
    pair.map_err(|_| wrong())
}
