//! Exchanging an identity for a bearer token at the token server that the registry names.
//!
//! GET with the scopes in the query, signed with user and password where there are any (distribution's token specification), or
//! POST with the refresh token (its OAuth 2 variant). A secret follows no redirect to another place, and none stands in a URL.

use reqwest::{Client, RequestBuilder, StatusCode, Url};

use super::Error;
use super::answer::{Answer, MAX_ANSWER, silent};
use super::auth::{Access, Challenge, Token};
use super::lines::Lines;
use super::patience::Timeouts;
use super::redirect::{self, Method};
use crate::credentials::{Credential, Identity};

/// The name under which token servers know us.
const CLIENT_ID: &str = "silt";

/// A token for `access` from where `challenge` says; `what` names what is being done.
pub(super) async fn token(
    lines: &Lines,
    timeouts: &Timeouts,
    what: &str,
    realm: Url,
    challenge: &Challenge,
    access: &Access,
    identity: &Identity,
) -> Result<Token, Error> {
    let what = format!("{what}: token from {}", realm.host_str().unwrap_or("an unnamed host"));
    let mut url = realm.clone();
    let mut hops = 0;
    loop {
        let turn = lines.to(&url)?.turn().await;
        let request = request(turn.http(), &url, &realm, challenge, access, identity);
        let answer = tokio::time::timeout(timeouts.stall, request.send()).await.map_err(|_| silent(&what))?;
        let answer = answer.map_err(|error| Error::interrupted(&what, &error.without_url()))?;
        let method = if is_post(identity) { Method::Fixed } else { Method::Reading };
        let next = redirect::next(&what, &answer, method, hops)?;
        let answer = Answer::new(answer, turn, timeouts.stall, identity.description());
        if let Some(next) = next {
            if method == Method::Fixed && next.origin() != realm.origin() {
                return Err(Error::protocol(
                    &what,
                    "it sends us to another host, which must not see the identity token",
                ));
            }
            answer.finish().await;
            (url, hops) = (next, hops + 1);
            continue;
        }
        let answer = answer.expect(&what, &[StatusCode::OK]).await?;
        let bytes = answer.read(&what, MAX_ANSWER).await?;
        return Token::parse(&bytes).map_err(|why| Error::protocol(&what, why));
    }
}

fn is_post(identity: &Identity) -> bool {
    matches!(identity.credential, Credential::IdentityToken(_))
}

fn request(
    http: &Client,
    url: &Url,
    realm: &Url,
    challenge: &Challenge,
    access: &Access,
    identity: &Identity,
) -> RequestBuilder {
    let service = challenge.service().map(|service| ("service", service));
    if let Credential::IdentityToken(token) = &identity.credential {
        let scope = access.scopes.join(" ");
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose()),
            ("client_id", CLIENT_ID),
            ("scope", &scope),
        ];
        let mut body = Url::clone(realm);
        body.set_query(None);
        body.query_pairs_mut().extend_pairs(form.into_iter().chain(service));
        let body = body.query().unwrap_or_default().to_owned();
        return http.post(url.clone()).header("Content-Type", "application/x-www-form-urlencoded").body(body);
    }
    let mut target = url.clone();
    if url == realm {
        let scopes = access.scopes.iter().map(|scope| ("scope", scope.as_str()));
        target.query_pairs_mut().extend_pairs(service.into_iter().chain(scopes));
    }
    match &identity.credential {
        Credential::Basic { user, password } if url.origin() == realm.origin() => {
            http.get(target).basic_auth(user, Some(password.expose()))
        }
        _ => http.get(target),
    }
}
