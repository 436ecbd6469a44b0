//! Whose keys sign, in the order of Amazon's own SDKs: variables, web identity, profile, container, instance.

use super::super::cloud::Cloud;
use super::{Keys, container, instance, profile, sts};
use crate::credentials::{Environment, Secret};

/// Finds keys, and says whose they are. A source that is set up but does not work is an error, not a reason to go on.
pub(super) fn find(cloud: &Cloud<'_>, region: &str) -> Result<Option<(Keys, String)>, String> {
    let environment = cloud.environment;
    let region = environment.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]).unwrap_or(region);
    if let Some(keys) = of_variables(environment) {
        return Ok(Some((keys, "environment AWS_ACCESS_KEY_ID".to_owned())));
    }
    if let Some(web) = sts::WebIdentity::of_variables(environment) {
        let whose = format!("web identity {}", web.role);
        let keys = web.assume(cloud, region).map_err(|why| format!("{whose}: {why}"))?;
        return Ok(Some((keys, whose)));
    }
    if let Some(found) = profile::find(cloud, region)? {
        return Ok(Some(found));
    }
    if let Some(keys) = container::find(cloud).map_err(|why| format!("container credentials: {why}"))? {
        return Ok(Some((keys, "container credentials".to_owned())));
    }
    Ok(instance::find(cloud)?.map(|keys| (keys, "instance metadata".to_owned())))
}

/// `AWS_ACCESS_KEY_ID` and its companions.
pub(super) fn of_variables(environment: &Environment) -> Option<Keys> {
    Some(Keys {
        id: environment.first(&["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"])?.to_owned(),
        secret: Secret::new(environment.first(&["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"])?),
        session: environment.get("AWS_SESSION_TOKEN").map(Secret::new),
    })
}
