//! Flags and variables become a client: how registries are spoken to, and who we are there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

use super::env::Env;
use super::flags::{PullFlags, PushFlags};
use crate::credentials::{Credential, Identity, Keychain, Sources};
use crate::registry::{Authorities, Client, Policy, Protocols, Proxies, Routes, canonical};

/// A client for registries, with the credentials that the environment has for them. `downloads` is how often the download of an image
/// is tried again, since not every command has that flag.
pub(super) fn client(pull: &PullFlags, push: &PushFlags, downloads: u32, env: &Env) -> Result<Client> {
    let client = Client::new(policy(pull, push, downloads, env)?)?;
    let keychain = Keychain::new(env.environment(), sources(push)?, client.network()?);
    Ok(client.identified_by(move |registry, repository| {
        keychain.find(registry, repository).map_err(|error| error.to_string())
    }))
}

/// A client with one credential, for commands that only try it.
pub(super) fn client_of(credential: &Credential, pull: &PullFlags, env: &Env) -> Result<Client> {
    let client = Client::new(policy(pull, &PushFlags::default(), 0, env)?)?;
    let identity = Identity { credential: credential.clone(), source: "the command line".to_owned() };
    Ok(client.identified_by(move |_, _| Ok(identity.clone())))
}

/// Where credentials are looked for.
fn sources(push: &PushFlags) -> Result<Sources> {
    let sources = Sources::parse(push.credential_helpers.iter().map(String::as_str));
    sources.map_err(|why| anyhow!("--credential-helpers: {why}"))
}

/// How registries are spoken to.
///
/// # Errors
/// A proxy, a mirror or a map that is none.
fn policy(pull: &PullFlags, push: &PushFlags, downloads: u32, env: &Env) -> Result<Policy> {
    let mut registry_certificates: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (host, path) in &pull.registry_certificate {
        registry_certificates.entry(host.clone()).or_default().push(path.clone());
    }
    let hosts = |given: &[String]| given.iter().map(|host| canonical(host)).collect();
    Ok(Policy {
        insecure_pull: pull.insecure_pull,
        insecure_push: push.insecure,
        skip_tls_verify_pull: pull.skip_tls_verify_pull,
        skip_tls_verify_push: push.skip_tls_verify,
        insecure_registries: hosts(&pull.insecure_registry),
        skip_tls_verify_registries: hosts(&pull.skip_tls_verify_registry),
        authorities: authorities(env),
        registry_certificates,
        client_certificates: pull.registry_client_cert.iter().cloned().collect(),
        routes: routes(pull)?,
        proxies: Proxies::of_variables(|name| env.get(name))?,
        protocols: protocols(env),
        client_type: env.get("UPSTREAM_CLIENT_TYPE").map(str::to_owned),
        push_retry: push.push_retry,
        image_download_retry: downloads,
        ignore_immutable_tag_errors: push.push_ignore_immutable_tag_errors,
        ..Policy::default()
    })
}

/// Maps before mirrors, as in kaniko.
fn routes(pull: &PullFlags) -> Result<Routes> {
    let mut routes = Routes::default();
    routes.skip_default = pull.skip_default_registry_fallback;
    pull.registry_map.iter().try_for_each(|map| routes.add_map(map))?;
    pull.registry_mirror.iter().try_for_each(|mirror| routes.add_mirror(mirror))?;
    Ok(routes)
}

/// `FF_KANIKO_DISABLE_HTTP2`, and what Go programs are told by `GODEBUG`.
fn protocols(env: &Env) -> Protocols {
    let disabled = env.is_true("FF_KANIKO_DISABLE_HTTP2");
    let debug = env.get("GODEBUG").unwrap_or_default().split(',').any(|setting| setting == "http2client=0");
    if disabled || debug { Protocols::Http1 } else { Protocols::All }
}

/// `SSL_CERT_FILE`, and `SSL_CERT_DIR`, a list as Go and OpenSSL read it.
fn authorities(env: &Env) -> Authorities {
    let directories = env.get("SSL_CERT_DIR").unwrap_or_default().split(':').filter(|dir| !dir.is_empty());
    Authorities {
        file: env.get("SSL_CERT_FILE").map(PathBuf::from),
        directories: directories.map(PathBuf::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::flags;
    use crate::credentials::Source;

    fn policy_of(args: &[&str], env: &[(&str, &str)]) -> Result<Policy> {
        let flags = flags(args);
        policy(&flags.pull, &flags.push, flags.retry.image_download_retry, &Env::of(env))
    }

    #[test]
    fn every_flag_has_its_place() {
        let args = [
            "--insecure",
            "--skip-tls-verify-pull",
            "--insecure-registry=a.io",
            "--skip-tls-verify-registry=b.io",
            "--registry-certificate=r.io:5000=/a.pem",
            "--registry-certificate=r.io:5000=/b.pem",
            "--registry-client-cert=r.io=/c.pem,/k.pem",
            "--registry-mirror=m.io",
            "--registry-map=gcr.io=n.io/x",
            "--skip-default-registry-fallback",
            "--push-retry=2",
            "--image-download-retry=3",
            "--push-ignore-immutable-tag-errors",
        ];
        let env = [("UPSTREAM_CLIENT_TYPE", "ci"), ("SSL_CERT_DIR", "/a:/b"), ("SSL_CERT_FILE", "/f")];
        let policy = policy_of(&args, &env).expect("a policy");
        assert!(policy.insecure_push && !policy.insecure_pull);
        assert!(policy.skip_tls_verify_pull && !policy.skip_tls_verify_push);
        assert!(policy.insecure_registries.contains("a.io") && policy.skip_tls_verify_registries.contains("b.io"));
        assert_eq!(policy.registry_certificates["r.io:5000"], [PathBuf::from("/a.pem"), "/b.pem".into()]);
        assert_eq!(policy.client_certificates["r.io"].key, PathBuf::from("/k.pem"));
        assert!(policy.routes.skip_default && policy.ignore_immutable_tag_errors);
        assert_eq!((policy.push_retry, policy.image_download_retry), (2, 3));
        assert_eq!((policy.client_type.as_deref(), policy.authorities.directories.len()), (Some("ci"), 2));
    }

    #[test]
    fn sources_of_credentials() {
        let sources = |args: &[&str]| sources(&flags(args).push).expect("sources");
        assert_eq!(sources(&[]), Sources::default());
        assert!(!sources(&["--credential-helpers="]).has(Source::Env));
        let two = sources(&["--credential-helpers=ecr", "--credential-helpers", "env"]);
        assert!(two.has(Source::Env) && two.has(Source::Ecr) && !two.has(Source::Google));
    }

    #[test]
    fn http2_can_be_left_out() {
        let spoken = |name: &str, value: &str| policy_of(&[], &[(name, value)]).expect("a policy").protocols;
        assert_eq!(spoken("FF_KANIKO_DISABLE_HTTP2", "1"), Protocols::Http1);
        assert_eq!(spoken("FF_KANIKO_DISABLE_HTTP2", "false"), Protocols::All);
        assert_eq!(spoken("GODEBUG", "x=1,http2client=0"), Protocols::Http1);
        assert_eq!(spoken("GODEBUG", "http2client=1"), Protocols::All);
    }

    #[test]
    fn a_mirror_with_a_scheme_is_refused() {
        let error = policy_of(&["--registry-mirror=https://m.io"], &[]).expect_err("refused").to_string();
        assert!(error.contains("--registry-mirror=https://m.io") && error.contains("scheme"), "{error}");
        let error = policy_of(&["--registry-map=m.io"], &[]).expect_err("refused").to_string();
        assert!(error.contains("--registry-map=m.io"), "{error}");
    }
}
