//! The role of an EC2 instance, from its metadata service, version 2 only: a token first, then the keys.

use super::super::cloud::Cloud;
use super::super::http::{Call, Server};
use super::Keys;
use super::container::Document;

/// Where the service is, on IPv4 and IPv6.
const SERVER: &str = "http://169.254.169.254";
const SERVER_V6: &str = "http://[fd00:ec2::254]";

/// Asks the metadata service. `None` if there is none, it was switched off, or the instance has no role.
pub(super) fn find(cloud: &Cloud<'_>) -> Result<Option<Keys>, String> {
    let environment = cloud.environment;
    if environment.get("AWS_EC2_METADATA_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let is_v6 =
        environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
    let server = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    let server = server.unwrap_or(if is_v6 { SERVER_V6 } else { SERVER }).trim_end_matches('/');
    let call =
        Call::put(&format!("{server}/latest/api/token"))?.header("x-aws-ec2-metadata-token-ttl-seconds", "21600");
    let token = match cloud.http.send(Server::Metadata, &call) {
        Ok(answer) => answer.text()?.to_owned(),
        Err(why) => {
            tracing::debug!("no instance metadata: {why}");
            return Ok(None);
        }
    };
    let get = |path: &str| {
        let call = Call::get(&format!("{server}/latest/meta-data/iam/security-credentials/{path}"))?;
        cloud.http.send(Server::Metadata, &call.header("x-aws-ec2-metadata-token", token.clone()))
    };
    let roles = match get("") {
        Ok(answer) => answer.text()?.to_owned(),
        Err(why) => {
            tracing::debug!("this instance has no role: {why}");
            return Ok(None);
        }
    };
    let Some(role) = roles.lines().next().filter(|role| !role.is_empty() && !role.contains(['/', '?', '#'])) else {
        return Ok(None);
    };
    get(role)?.json::<Document>()?.keys().map(Some)
}
