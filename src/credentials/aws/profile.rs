//! Profiles in Amazon's two files, `~/.aws/credentials` and `~/.aws/config`: keys, roles that other keys or a web identity assume.
//!
//! Profiles that run a program or use single sign-on are refused with a message.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::cloud::Cloud;
use super::{Keys, container, identity, instance, sts};
use crate::credentials::{Environment, Secret};

/// Roles that assume roles form a chain no longer than this.
const LONGEST_CHAIN: usize = 5;

type Section = BTreeMap<String, String>;

/// Profiles by name.
#[derive(Default, Debug, PartialEq)]
pub(in crate::credentials) struct Profiles(BTreeMap<String, Section>);

impl Profiles {
    /// Reads both files. What the credentials file says wins, as with the SDKs.
    pub(in crate::credentials) fn read(environment: &Environment) -> Self {
        let path = |variable, below| environment.path(variable).or_else(|| environment.home(below));
        let text = |path: Option<PathBuf>| {
            let bytes = path.and_then(|path| super::super::places::read(&path).ok()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let config = text(path("AWS_CONFIG_FILE", ".aws/config"));
        let credentials = text(path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"));
        let mut profiles = Profiles::default();
        profiles.add(&config, |header| match header.strip_prefix("profile ") {
            Some(name) => Some(name.trim().to_owned()),
            None => (header == "default").then(|| header.to_owned()),
        });
        profiles.add(&credentials, |header| Some(header.to_owned()));
        profiles
    }

    /// Adds the sections of a file whose header `name` accepts. Indented lines belong to nested settings, which are not used.
    fn add(&mut self, text: &str, name: impl Fn(&str) -> Option<String>) {
        let mut current: Option<String> = None;
        for line in text.lines() {
            let trimmed = line.trim();
            if trimmed.starts_with(['#', ';']) || trimmed.is_empty() {
                continue;
            }
            if let Some(header) = trimmed.strip_prefix('[') {
                current = header.split(']').next().and_then(|header| name(header.trim()));
            } else if let (Some(profile), Some((key, value))) = (&current, trimmed.split_once('='))
                && !line.starts_with([' ', '\t'])
            {
                let value = value.split(" #").next().unwrap_or_default().trim();
                let section = self.0.entry(profile.clone()).or_default();
                section.insert(key.trim().to_ascii_lowercase(), value.to_owned());
            }
        }
    }
}

/// Keys by the profile that `AWS_PROFILE` names, else by `default`. `None` if it has none.
pub(super) fn find(cloud: &Cloud<'_>, region: &str) -> Result<Option<(Keys, String)>, String> {
    let named = cloud.environment.first(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]);
    let name = named.unwrap_or("default");
    if named.is_some() && !cloud.profiles.0.contains_key(name) {
        return Err(format!("there is no AWS profile {name:?}"));
    }
    let whose = format!("AWS profile {name:?}");
    let keys = keys(cloud, region, name, LONGEST_CHAIN).map_err(|why| format!("{whose}: {why}"))?;
    Ok(keys.map(|keys| (keys, whose)))
}

fn keys(cloud: &Cloud<'_>, region: &str, name: &str, left: usize) -> Result<Option<Keys>, String> {
    let Some(section) = cloud.profiles.0.get(name) else { return Ok(None) };
    let of = |key: &str| section.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let region = of("region").unwrap_or(region);
    if let Some(role) = of("role_arn") {
        if let Some(file) = of("web_identity_token_file") {
            let session = of("role_session_name").map(str::to_owned);
            let web = sts::WebIdentity { role: role.to_owned(), session, token_file: file.into() };
            return web.assume(cloud, region).map(Some);
        }
        let Some(left) = left.checked_sub(1) else { return Err("its source profiles form a circle".to_owned()) };
        let by = source(cloud, region, name, section, left)?;
        return sts::assume_role(cloud, region, &by, role, of("external_id")).map(Some);
    }
    if let Some(keys) = own(section) {
        return Ok(Some(keys));
    }
    match ["credential_process", "sso_session", "sso_start_url"].into_iter().find(|key| of(key).is_some()) {
        Some(key) => Err(format!("{key} is not supported; give keys, a role or a web identity")),
        None => Ok(None),
    }
}

fn own(section: &Section) -> Option<Keys> {
    let of = |key: &str| section.get(key).filter(|value| !value.is_empty());
    Some(Keys {
        id: of("aws_access_key_id")?.clone(),
        secret: Secret::new(of("aws_secret_access_key")?),
        session: of("aws_session_token").map(Secret::new),
    })
}

/// The keys that assume a profile's role.
fn source(cloud: &Cloud<'_>, region: &str, name: &str, section: &Section, left: usize) -> Result<Keys, String> {
    let of = |key: &str| section.get(key).map(String::as_str);
    let found = match (of("source_profile"), of("credential_source")) {
        // A profile may name itself: its own keys assume its role.
        (Some(source), _) if source == name => own(section),
        (Some(source), _) => keys(cloud, region, source, left)?,
        (None, Some("Environment")) => identity::of_variables(cloud.environment),
        (None, Some("EcsContainer")) => container::find(cloud)?,
        (None, Some("Ec2InstanceMetadata")) => instance::find(cloud)?,
        _ => return Err("role_arn needs a source_profile, a credential_source or a web_identity_token_file".to_owned()),
    };
    found.ok_or_else(|| "there are no keys that may assume its role".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles(credentials: &str, config: &str) -> Profiles {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::create_dir(dir.path().join(".aws")).expect("made");
        std::fs::write(dir.path().join(".aws/credentials"), credentials).expect("written");
        std::fs::write(dir.path().join(".aws/config"), config).expect("written");
        Profiles::read(&[("HOME", dir.path().to_str().expect("text"))].into_iter().collect())
    }

    #[test]
    fn sections_of_both_files() {
        let credentials =
            "[default]\naws_access_key_id = A\n# x\naws_secret_access_key=B # remark\n\n[ci]\nAWS_SESSION_TOKEN=c==\n";
        let config = "[profile ci]\nregion = eu-west-1\ns3 =\n  aws_access_key_id = nested\n[default]\naws_access_key_id = hidden\n[ci2]\na=b\n[sso-session x]\na=b\n";
        let found = profiles(credentials, config).0;
        assert_eq!(found.keys().collect::<Vec<_>>(), ["ci", "default"]);
        assert_eq!(
            (found["default"]["aws_access_key_id"].as_str(), found["default"]["aws_secret_access_key"].as_str()),
            ("A", "B")
        );
        assert_eq!((found["ci"]["region"].as_str(), found["ci"]["aws_session_token"].as_str()), ("eu-west-1", "c=="));
        assert!(!found["ci"].contains_key("aws_access_key_id"));
        assert_eq!(Profiles::read(&Environment::default()), Profiles::default());
    }
}
