//! The metadata server of Google's machines and clusters: a token of the default service account.

use super::{SCOPE, Token};
use crate::credentials::cloud::Cloud;
use crate::credentials::http::{Call, Server};

/// Where the server is. Its address, not its name: that would be asked of a name server first.
const SERVER: &str = "169.254.169.254";

/// A token, or none if there is no such server or it has no account.
pub(super) fn token(cloud: &Cloud<'_>) -> Result<Option<Token>, String> {
    let host = cloud.environment.first(&["GCE_METADATA_HOST", "GCE_METADATA_IP"]).unwrap_or(SERVER);
    let address = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token?scopes={SCOPE}");
    let call = Call::get(&address)?.header("metadata-flavor", "Google");
    let answer = match cloud.http.send(Server::Metadata, &call) {
        Ok(answer) => answer,
        Err(why) => {
            tracing::debug!("no metadata server of Google's: {why}");
            return Ok(None);
        }
    };
    // Something else may answer at that address; only the real one says this.
    if answer.headers.get("metadata-flavor").is_none_or(|flavor| flavor != "Google") {
        tracing::debug!("{host} is not a metadata server of Google's");
        return Ok(None);
    }
    Token::read(&answer).map(Some)
}
