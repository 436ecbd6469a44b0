//! `login`: puts a user and a password for a registry into config.json, as docker does.
//!
//! The file is replaced as a whole, readable by its owner alone, and keeps whatever else is in it. Nothing of the password is logged.

use std::io::{Read, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tracing::{info, warn};

use super::env::Env;
use super::flags::LoginFlags;
use super::registries;
use crate::build::Error;
use crate::credentials::{self, Credential};
use crate::oci::Reference;
use crate::registry::{self, Login};

/// The key that everybody uses for Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The longest password, in bytes: tokens are long, and a file given by mistake is longer.
const LONGEST: u64 = 64 << 10;

/// Stores the credential, unless the registry refuses it.
pub(super) fn run(flags: &LoginFlags, env: &Env) -> Result<(), Error> {
    let key = key(&flags.registry)?;
    let (user, password) = credential(flags, std::io::stdin())?;
    let path = credentials::docker_config(&env.environment());
    let path = path.context("set DOCKER_CONFIG or HOME: config.json has no place")?;
    let tried = try_out(flags, &key, &user, &password, env)?;
    store(&path, &key, &user, &password)?;
    if env.get("DOCKER_AUTH_CONFIG").is_some() {
        warn!("DOCKER_AUTH_CONFIG is set and hides {}", path.display());
    }
    info!("Stored the credential of {user} for {key} in {}; {tried}", path.display());
    Ok(())
}

/// Shows the registry the credential; in words, whether it knows it. One that cannot be reached is no error: it may be within reach of
/// the build.
fn try_out(flags: &LoginFlags, key: &str, user: &str, password: &str, env: &Env) -> Result<&'static str> {
    let registry = if key == DOCKER_HUB { "docker.io" } else { key.split('/').next().unwrap_or_default() };
    let credential = Credential::basic(user, password);
    match registries::client_of(&credential, &flags.pull, env)?.check_login(registry) {
        Ok(Login::Taken) => Ok("the registry takes it"),
        Ok(Login::NotAsked) => Ok("it is not verified: the registry asks nobody who he is"),
        Err(denied @ registry::Error::Denied { .. }) => Err(denied.into()),
        Err(error) => {
            warn!("The credential is not verified: {error}");
            Ok("it is not verified")
        }
    }
}

/// The key of a registry in config.json: its host, or a path below it.
fn key(registry: &str) -> Result<String> {
    let bare = registry.strip_prefix("https://").or(registry.strip_prefix("http://")).unwrap_or(registry);
    let bare = bare.trim_end_matches('/');
    let host = bare.split('/').next().unwrap_or_default();
    if matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io") {
        return Ok(DOCKER_HUB.to_owned());
    }
    let known = format!("{bare}/x").parse::<Reference>().is_ok_and(|reference| reference.registry() == host);
    ensure!(known, "{registry:?} is not a registry (as registry.example or registry.example:5000)");
    Ok(bare.to_owned())
}

/// User and password, the latter from `stdin` where that is asked for.
fn credential(flags: &LoginFlags, stdin: impl Read) -> Result<(String, String)> {
    let password = match (&flags.password, flags.password_stdin) {
        (Some(_), true) => bail!("give --password or --password-stdin, not both"),
        (Some(password), false) => {
            warn!("Other users of this machine can see what is given by --password; use --password-stdin");
            password.clone()
        }
        (None, true) => from(stdin)?,
        (None, false) => String::new(),
    };
    let user = flags.username.clone().unwrap_or_default();
    ensure!(!user.is_empty() && !password.is_empty(), "give --username, and the password by --password-stdin");
    ensure!(!user.contains(':'), "--username={user}: a user's name has no colon");
    Ok((user, password))
}

fn from(stdin: impl Read) -> Result<String> {
    let mut text = String::new();
    stdin.take(LONGEST + 1).read_to_string(&mut text).context("read the password from standard input")?;
    ensure!(text.len() as u64 <= LONGEST, "what is on standard input is too long for a password");
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Puts the entry into the file at `path`.
fn store(path: &Path, key: &str, user: &str, password: &str) -> Result<()> {
    // A link stays, and what it leads to is replaced.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut config = read(&path)?;
    if let Some(helper) = helper(&config, key) {
        bail!("{}: the credential helper {helper:?} is asked for {key}; store it there", path.display());
    }
    let auths = config.entry("auths").or_insert_with(|| json!({}));
    let Value::Object(auths) = auths else { bail!("{}: its \"auths\" is no object", path.display()) };
    auths.insert(key.to_owned(), json!({"auth": STANDARD.encode(format!("{user}:{password}"))}));
    replace(&path, &config)
}

fn read(path: &Path) -> Result<Map<String, Value>> {
    match std::fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(config) => Ok(config),
            // The message of the JSON reader might quote a secret.
            Err(fault) => bail!("{}: not a JSON object (line {})", path.display(), fault.line()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// The helper that holds the credentials of a registry instead of the file.
fn helper<'a>(config: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    let own = config.get("credHelpers").and_then(|helpers| helpers.get(key));
    own.or_else(|| config.get("credsStore")).and_then(Value::as_str).filter(|name| !name.is_empty())
}

fn replace(path: &Path, config: &Map<String, Value>) -> Result<()> {
    let dir = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.with_context(|| format!("create {}", dir.display()))?;
    let text = serde_json::to_string_pretty(config).context("write config.json")?;
    // Made for its owner alone.
    let file = tempfile::Builder::new().prefix(".config-").tempfile_in(&dir);
    let mut file = file.with_context(|| format!("create a file in {}", dir.display()))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all());
    written.with_context(|| format!("write {}", file.path().display()))?;
    file.persist(path).with_context(|| format!("rename to {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::Parser;

    use super::*;

    fn check_key(registry: &str, expected: Option<&str>) {
        assert_eq!(key(registry).ok().as_deref(), expected, "{registry:?}");
    }

    #[test]
    fn keys() {
        check_key("docker.io", Some(DOCKER_HUB));
        check_key("https://index.docker.io/v1/", Some(DOCKER_HUB));
        check_key("index.docker.io", Some(DOCKER_HUB));
        check_key("r.example:5000", Some("r.example:5000"));
        check_key("https://r.example/", Some("r.example"));
        check_key("localhost:5000", Some("localhost:5000"));
        check_key("quay.io/team", Some("quay.io/team"));
        for wrong in ["", "word", "a b.c", "r.example:x", "-u"] {
            check_key(wrong, None);
        }
    }

    fn given(args: &[&str], stdin: &str) -> Result<(String, String)> {
        let flags = LoginFlags::try_parse_from([&["login", "r.io"], args].concat()).expect("flags");
        credential(&flags, stdin.as_bytes())
    }

    #[test]
    fn credentials() {
        let ok = |user: &str, word: &str| (user.to_owned(), word.to_owned());
        assert_eq!(given(&["-u", "me", "-p", "word"], "").expect("ok"), ok("me", "word"));
        assert_eq!(given(&["-u", "me", "--password-stdin"], " w d \r\n").expect("ok"), ok("me", " w d "));
        assert_eq!(given(&["-u", "me", "--password-stdin"], "a\n\n").expect("ok"), ok("me", "a\n"));
        for (args, stdin) in [
            (&[][..], ""),
            (&["-u", "me"], "x"),
            (&["-p", "x"], ""),
            (&["-u", "me", "--password-stdin"], "\n"),
            (&["-u", "me", "-p", "x", "--password-stdin"], "x"),
            (&["-u", "a:b", "-p", "x"], ""),
        ] {
            given(args, stdin).expect_err("refused");
        }
        assert!(given(&["-u", "me", "--password-stdin"], &"x".repeat(70_000)).is_err());
    }

    #[test]
    fn an_entry_is_added_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("deep/config.json");
        store(&path, "a.io", "me", "word").expect("stored");
        let text = r#"{"auths": {"a.io": {"auth": "old"}, "b.io": {"auth": "kept"}}, "other": [1]}"#;
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        store(&path, "a.io", "me", "word").expect("stored");
        let config: Value = serde_json::from_slice(&std::fs::read(&path).expect("there")).expect("JSON");
        let expected = json!({"auths": {"a.io": {"auth": "bWU6d29yZA=="}, "b.io": {"auth": "kept"}}, "other": [1]});
        assert_eq!(config, expected);
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path().join("deep")).expect("there").count(), 1);
    }

    #[test]
    fn what_cannot_be_kept_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.json");
        for text in
            ["not JSON", "[]", r#"{"auths": []}"#, r#"{"credsStore": "x"}"#, r#"{"credHelpers": {"a.io": "x"}}"#]
        {
            std::fs::write(&path, text).expect("write");
            store(&path, "a.io", "me", "word").expect_err(text);
            assert_eq!(std::fs::read_to_string(&path).expect("there"), text);
        }
        std::fs::write(&path, r#"{"credHelpers": {"b.io": "x"}}"#).expect("write");
        store(&path, "a.io", "me", "word").expect("the helper is for another registry");
    }

    #[test]
    fn a_link_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, target) = (dir.path().join("config.json"), dir.path().join("real.json"));
        std::fs::write(&target, "{}").expect("write");
        std::os::unix::fs::symlink(&target, &path).expect("link");
        store(&path, "a.io", "me", "word").expect("stored");
        assert!(path.symlink_metadata().expect("there").is_symlink());
        assert!(std::fs::read_to_string(&target).expect("there").contains("a.io"));
    }
}
