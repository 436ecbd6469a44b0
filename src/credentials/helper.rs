//! Credential helpers: programs `docker-credential-NAME` on PATH, by the protocol of Docker (`get`: a server's address on standard
//! input, JSON on standard output).
//!
//! A program counts only if it was there, unchanged, when this process started: a base image must not bring one. It gets no
//! variable that is another source's credential, no descriptor, and a limited time.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Credential, Environment, Secret};

/// How long a helper may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// More output than this is not read.
const LONGEST: u64 = 1 << 20;

/// A user name that stands for "the secret is an identity token".
const TOKEN_USER: &str = "<token>";

/// A helper that was found on PATH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Helper {
    path: PathBuf,
    stamp: Stamp,
    patience: Duration,
}

/// What tells one program from another that takes its place: device, inode, and ctime in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    let runs = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    runs.then(|| (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

impl Helper {
    /// Looks for `docker-credential-NAME` on the PATH of `environment`. A name with a slash in it is nobody's.
    pub(super) fn find(environment: &Environment, name: &str) -> Option<Self> {
        if name.contains(['/', '\0']) {
            return None;
        }
        let dirs = environment.get("PATH")?.split(':').filter(|dir| dir.starts_with('/'));
        let paths = dirs.map(|dir| Path::new(dir).join(format!("docker-credential-{name}")));
        paths.filter_map(|path| Some(Helper { stamp: stamp(&path)?, path, patience: PATIENCE })).next()
    }

    /// Asks for the credential of `server`. `None` if the helper knows none.
    pub(super) fn get(&self, environment: &Environment, server: &str) -> Result<Option<Credential>, String> {
        if stamp(&self.path) != Some(self.stamp) {
            return Err("the program is not the one that was there at the start, so it is not run".to_owned());
        }
        let mut command = Command::new(&self.path);
        command.arg("get").env_clear().envs(environment.iter().filter(|(name, _)| is_passed_on(name)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().map_err(|error| format!("{}: {error}", self.path.display()))?;
        let (is_success, output) = converse(child, server, self.patience)?;
        if is_success { read(&output).map(Some) } else { refused(&output) }
    }
}

/// Whether a helper may see a variable: all but those that hold the credentials of other sources.
fn is_passed_on(name: &str) -> bool {
    let is_secret = ["_PASSWORD", "_TOKEN"].iter().any(|ending| name.ends_with(ending));
    let is_anothers = ["KANIKO_", "CI_", "GIT_"].iter().any(|start| name.starts_with(start));
    name != "DOCKER_AUTH_CONFIG" && !(is_secret && is_anothers)
}

/// Sends the question, and waits for the end and the output, as long as patience lasts.
fn converse(mut child: Child, server: &str, patience: Duration) -> Result<(bool, Vec<u8>), String> {
    let deadline = Instant::now() + patience;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("no pipe to it".to_owned());
    };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(LONGEST).read_to_end(&mut bytes);
        // Whoever waits may have given up.
        drop(sender.send(read.map(|_| bytes)));
    });
    // A helper that does not read the question may still answer it.
    let _ = input.write_all(server.as_bytes());
    drop(input);
    let answer = receiver.recv_timeout(patience).map_err(|_| "it did not answer in time".to_owned());
    let ended = answer.and_then(|output| Ok((wait_until(&mut child, deadline)?, output)));
    if ended.is_err() {
        end(&mut child);
    }
    let (status, output) = ended?;
    Ok((status, output.map_err(|error| format!("its answer: {error}"))?))
}

fn wait_until(child: &mut Child, deadline: Instant) -> Result<bool, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() > deadline => return Err("it does not end".to_owned()),
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(format!("wait for it: {error}")),
        }
    }
}

/// Ends a helper and what it started.
fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

/// An answer's credential. No part of it is quoted in an error.
fn read(output: &[u8]) -> Result<Credential, String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "Username", default)]
        user: String,
        #[serde(rename = "Secret", default)]
        secret: String,
    }
    let answer: Answer = serde_json::from_slice(output).map_err(|_| "its answer is malformed".to_owned())?;
    if answer.secret.is_empty() {
        return Err("its answer has no secret".to_owned());
    }
    Ok(match answer.user.as_str() {
        TOKEN_USER => Credential::IdentityToken(Secret::new(answer.secret)),
        user => Credential::basic(user, answer.secret),
    })
}

/// What a helper that failed means: it knows nothing, or something is wrong. Its first line is shown, if it can be no answer.
fn refused(output: &[u8]) -> Result<Option<Credential>, String> {
    let text = String::from_utf8_lossy(output);
    let line = text.trim().lines().next().unwrap_or_default();
    if ["credentials not found", "no credentials server URL", "no credentials username"]
        .iter()
        .any(|none| line.contains(none))
    {
        return Ok(None);
    }
    let shown: String = line.chars().filter(|letter| !letter.is_control()).take(200).collect();
    if shown.is_empty() || text.contains('{') {
        Err("it failed".to_owned())
    } else {
        Err(format!("it failed: {shown}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A helper that is this shell script, in a directory of its own.
    fn helper(script: &str) -> (tempfile::TempDir, Environment) {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        let path = format!("relative:/nowhere:{}:/usr/bin:/bin", dir.path().display());
        let variables = [
            ("PATH", path.as_str()),
            ("KANIKO_R_IO_PASSWORD", "other1"),
            ("DOCKER_AUTH_CONFIG", "other2"),
            ("VAULT_TOKEN", "its own"),
        ];
        (dir, variables.into_iter().collect())
    }

    fn ask(script: &str) -> Result<Option<Credential>, String> {
        let (_dir, environment) = helper(script);
        Helper::find(&environment, "test").expect("found").get(&environment, "r.io:5000")
    }

    #[test]
    fn the_protocol() {
        let echo = r#"read -r server; [ "$1" = get ] && printf '{"ServerURL":"%s","Username":"u","Secret":"%s"}' "$server" "$server""#;
        assert_eq!(ask(echo), Ok(Some(Credential::basic("u", "r.io:5000"))));
        let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        assert_eq!(ask(token), Ok(Some(Credential::IdentityToken(Secret::new("t")))));
        assert_eq!(ask("echo credentials not found in native keychain; exit 1"), Ok(None));
        assert_eq!(ask("echo the store is locked; exit 1"), Err("it failed: the store is locked".to_owned()));
        assert_eq!(ask("exit 3"), Err("it failed".to_owned()));
    }

    #[test]
    fn an_error_shows_no_secret() {
        for script in
            ["echo '{\"Secret\":\"hunter2\"'", "echo '{\"Secret\":\"hunter2\"}'; exit 1", "echo '[\"hunter2\"]'"]
        {
            let why = ask(script).expect_err("wrong");
            assert!(!why.contains("hunter2"), "{why}");
        }
        assert!(ask("echo '{\"Username\":\"u\"}'").expect_err("no secret").contains("no secret"));
    }

    #[test]
    fn a_helper_sees_what_is_not_another_sources_secret() {
        let all =
            r#"printf '{"Username":"%s","Secret":"%s"}' "$VAULT_TOKEN" "x$KANIKO_R_IO_PASSWORD$DOCKER_AUTH_CONFIG""#;
        assert_eq!(ask(all), Ok(Some(Credential::basic("its own", "x"))));
    }

    #[test]
    fn a_helper_has_limited_time() {
        let (_dir, environment) = helper("sleep 100 & sleep 100");
        let helper =
            Helper { patience: Duration::from_millis(300), ..Helper::find(&environment, "test").expect("found") };
        let begun = Instant::now();
        assert_eq!(helper.get(&environment, "r.io"), Err("it did not answer in time".to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_program_that_came_later_is_not_run() {
        let (dir, environment) = helper(r#"echo '{"Username":"u","Secret":"s"}'"#);
        let found = Helper::find(&environment, "test").expect("found");
        assert!(found.get(&environment, "r.io").is_ok());
        let path = dir.path().join("docker-credential-test");
        std::fs::rename(&path, dir.path().join("old")).expect("moved");
        std::fs::copy(dir.path().join("old"), &path).expect("copied");
        assert!(found.get(&environment, "r.io").expect_err("another").contains("not the one"));
        assert_eq!(Helper::find(&environment, "../test"), None);
        assert_eq!(Helper::find(&environment, "none"), None);
    }
}
