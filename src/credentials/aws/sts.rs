//! Amazon's token service (STS, version 2011-06-15): a role's temporary keys for a web identity or for other keys.

use std::path::PathBuf;

use super::super::cloud::Cloud;
use super::super::http::{Answer, Call, Server};
use super::{Keys, domain, signed};
use crate::credentials::{Environment, Secret};

/// A token of another issuer, such as a cluster's, that a role trusts.
pub(super) struct WebIdentity {
    pub(super) role: String,
    pub(super) session: Option<String>,
    pub(super) token_file: PathBuf,
}

impl WebIdentity {
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`, as a cluster sets them.
    pub(super) fn of_variables(environment: &Environment) -> Option<Self> {
        Some(WebIdentity {
            role: environment.get("AWS_ROLE_ARN")?.to_owned(),
            session: environment.get("AWS_ROLE_SESSION_NAME").map(str::to_owned),
            token_file: environment.path("AWS_WEB_IDENTITY_TOKEN_FILE")?,
        })
    }

    /// The role's keys. The token is read anew each time, since it is replaced while we run.
    pub(super) fn assume(&self, cloud: &Cloud<'_>, region: &str) -> Result<Keys, String> {
        let token = cloud.token_file(&self.token_file)?;
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.role),
            ("RoleSessionName", self.session.as_deref().unwrap_or("silt")),
            ("WebIdentityToken", token.expose()),
        ];
        let call = Call::form(&endpoint(cloud, region), &fields)?;
        keys(&cloud.http.send(Server::Service, &call)?)
    }
}

/// The keys of `role`, by keys that may assume it.
pub(super) fn assume_role(
    cloud: &Cloud<'_>,
    region: &str,
    by: &Keys,
    role: &str,
    external_id: Option<&str>,
) -> Result<Keys, String> {
    let mut fields =
        vec![("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", role), ("RoleSessionName", "silt")];
    fields.extend(external_id.map(|id| ("ExternalId", id)));
    let call = Call::form(&endpoint(cloud, region), &fields)?;
    keys(&cloud.http.send(Server::Service, &signed(call, by, region, "sts"))?)
}

fn endpoint(cloud: &Cloud<'_>, region: &str) -> String {
    let overridden = cloud.environment.first(&["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"]);
    overridden.map_or_else(|| format!("https://sts.{region}.{}", domain(region)), str::to_owned)
}

/// The keys in an answer, which is XML.
fn keys(answer: &Answer) -> Result<Keys, String> {
    let text = answer.text()?;
    let of = |name| element(text, name).ok_or_else(|| format!("the answer has no {name}"));
    Ok(Keys {
        id: of("AccessKeyId")?,
        secret: Secret::new(of("SecretAccessKey")?),
        session: Some(Secret::new(of("SessionToken")?)),
    })
}

/// The text of the only element `name`. These values are base64 and never hold a character that XML would escape.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    let value = value.trim();
    (!value.is_empty() && !value.contains(['<', '&'])).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::fake::with_cloud;

    #[test]
    fn each_partition_has_its_own() {
        for (region, domain) in [
            ("eu-central-1", "amazonaws.com"),
            ("us-gov-west-1", "amazonaws.com"),
            ("cn-north-1", "amazonaws.com.cn"),
            ("us-iso-east-1", "c2s.ic.gov"),
            ("us-isob-east-1", "sc2s.sgov.gov"),
            ("us-isof-south-1", "csp.hci.ic.gov"),
            ("eu-isoe-west-1", "cloud.adc-e.uk"),
            ("eusc-de-east-1", "amazonaws.eu"),
        ] {
            let endpoint = with_cloud(&[], &[], |cloud| endpoint(cloud, region));
            assert_eq!(endpoint, format!("https://sts.{region}.{domain}"));
        }
    }

    #[test]
    fn elements() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(element(text, "A").as_deref(), expected, "{text}");
        check("<r><A>x+/=</A></r>", Some("x+/="));
        check("<r>\n <A>\n x </A>", Some("x"));
        check("<AA>x</AA>", None);
        check("<A></A>", None);
        check("<A><B>x</B></A>", None);
        check("<A>x", None);
    }
}
