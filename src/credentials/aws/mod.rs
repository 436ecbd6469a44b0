//! Amazon's registries: ECR in all its partitions, and the public one. An identity of the machine or the pod becomes a password that
//! is good for twelve hours (`GetAuthorizationToken`, signed).

mod container;
mod identity;
mod instance;
mod profile;
mod sign;
mod sts;
#[cfg(test)]
mod tests;

pub(super) use profile::Profiles;

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use serde::Deserialize;

use super::cloud::{Cloud, Granted};
use super::http::{Call, Server};
use super::{Credential, Secret};

/// Keys that sign requests.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Keys {
    /// The public part, which is sent along.
    id: String,
    secret: Secret,
    /// What temporary keys have besides.
    session: Option<Secret>,
}

/// A registry of Amazon's.
#[derive(PartialEq, Eq, Debug)]
struct Registry {
    kind: Kind,
    region: String,
    /// Where its interface is.
    endpoint: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Private,
    Public,
}

impl Kind {
    /// The name that requests are signed for.
    fn service(self) -> &'static str {
        if self == Kind::Private { "ecr" } else { "ecr-public" }
    }

    /// The operation, as its `x-amz-target` header names it.
    fn target(self) -> &'static str {
        match self {
            Kind::Private => "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
            Kind::Public => "SpencerFrontendService.GetAuthorizationToken",
        }
    }

    /// The variable that puts another address in the place of the endpoint.
    fn endpoint_variable(self) -> &'static str {
        if self == Kind::Private { "AWS_ENDPOINT_URL_ECR" } else { "AWS_ENDPOINT_URL_ECR_PUBLIC" }
    }
}

/// The partitions but the common one: how the names of their regions begin, and what follows the region in those of their services.
const PARTITIONS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
];

/// The common partition's, and that of the government's regions.
const COMMON: &str = "amazonaws.com";

/// The same for dual-stack registries, and their interface.
const DUAL_STACK: [(&str, &str); 2] =
    [("on.aws", "api.aws"), ("on.amazonwebservices.com.cn", "api.amazonwebservices.com.cn")];

impl Registry {
    /// Reads a registry's host name: `ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com`, `ACCOUNT.dkr-ecr[-fips].REGION.on.aws` and
    /// their like, and `public.ecr.aws`. `None` for all other hosts.
    fn parse(host: &str) -> Option<Self> {
        if host == "public.ecr.aws" {
            let endpoint = "https://api.ecr-public.us-east-1.amazonaws.com".to_owned();
            return Some(Registry { kind: Kind::Public, region: "us-east-1".to_owned(), endpoint });
        }
        let (account, rest) = host.split_once('.')?;
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (service, rest) = ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."]
            .iter()
            .find_map(|service| Some((*service, rest.strip_prefix(service)?)))?;
        let (region, domain) = rest.split_once('.')?;
        let is_region =
            !region.is_empty() && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let endpoint = is_region.then(|| endpoint(service, region, domain))??;
        Some(Registry { kind: Kind::Private, region: region.to_owned(), endpoint })
    }
}

/// The interface that belongs to a private registry's name.
fn endpoint(service: &str, region: &str, domain: &str) -> Option<String> {
    let fips = service.contains("-fips");
    if service.starts_with("dkr-ecr") {
        let (_, api) = DUAL_STACK.iter().find(|(registries, _)| *registries == domain)?;
        return Some(format!("https://{}.{region}.{api}", if fips { "ecr-fips" } else { "ecr" }));
    }
    let is_known = domain == COMMON || PARTITIONS.iter().any(|(_, known)| *known == domain);
    is_known.then(|| format!("https://{}.{region}.{domain}", if fips { "ecr-fips" } else { "api.ecr" }))
}

/// The domain of the services of a region.
fn domain(region: &str) -> &'static str {
    PARTITIONS.iter().find(|(start, _)| region.starts_with(start)).map_or(COMMON, |(_, domain)| domain)
}

/// Whether `host` is one of Amazon's registries.
pub(super) fn serves(host: &str) -> bool {
    Registry::parse(host).is_some()
}

/// A credential for `host`. `None` if there is no identity here.
pub(super) fn find(cloud: &Cloud<'_>, host: &str) -> Result<Option<Granted>, String> {
    let Some(registry) = Registry::parse(host) else { return Ok(None) };
    let Some((keys, whose)) = identity::find(cloud, &registry.region)? else { return Ok(None) };
    let granted = token(cloud, &registry, &keys).map_err(|why| format!("{whose}: {why}"))?;
    Ok(Some(Granted { source: format!("Amazon ECR, by {whose}"), ..granted }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: String,
    #[serde(default)]
    expires_at: Option<f64>,
}

/// The private registry answers with a list, the public one with a single one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Authorizations {
    List(Vec<Authorization>),
    One(Authorization),
}

fn token(cloud: &Cloud<'_>, registry: &Registry, keys: &Keys) -> Result<Granted, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        authorization_data: Authorizations,
    }
    let overridden = cloud.environment.first(&[registry.kind.endpoint_variable(), "AWS_ENDPOINT_URL"]);
    let endpoint = overridden.unwrap_or(&registry.endpoint);
    let call = Call::post(endpoint, "application/x-amz-json-1.1", "{}")?.header("x-amz-target", registry.kind.target());
    let answer = cloud.http.send(Server::Service, &signed(call, keys, &registry.region, registry.kind.service()))?;
    let authorization = match answer.json::<Answer>()?.authorization_data {
        Authorizations::One(one) => Some(one),
        Authorizations::List(list) => list.into_iter().next(),
    };
    let authorization = authorization.ok_or("the answer has no token")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(&authorization.authorization_token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, password) =
        text.as_deref().and_then(|text| text.split_once(':')).ok_or("the answer's token is malformed")?;
    let lifetime = authorization.expires_at.and_then(until).unwrap_or(Duration::from_secs(12 * 3600));
    Ok(Granted { credential: Credential::basic(user, password), source: String::new(), lifetime })
}

/// `call` with a signature.
fn signed(mut call: Call, keys: &Keys, region: &str, service: &str) -> Call {
    let scope = sign::Scope { region, service, at: jiff::Timestamp::now() };
    let added = sign::sign(keys, &scope, "POST", &call.url, &call.headers, &call.body);
    call.headers.extend(added);
    call
}

/// How long it is until `seconds` of the epoch. `None` if that makes no sense.
fn until(seconds: f64) -> Option<Duration> {
    let then = SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(seconds).ok()?;
    Some(then.duration_since(SystemTime::now()).unwrap_or_default())
}
