//! `--secret`, `--ssh` and `--allow`: read once, before anything is done. No message has a word of what a secret says.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use super::env::Env;
use super::flags::Flags;
use crate::steps::{Rights, Vault};

/// The largest secret, in bytes, as with BuildKit.
const LARGEST: u64 = 500 << 10;

/// What the steps may use.
pub(super) fn vault(flags: &Flags, env: &Env) -> Result<Vault> {
    let mut vault = Vault::default();
    for text in &flags.source.secret {
        let (id, bytes) = secret(text, env).with_context(|| format!("--secret={text}"))?;
        vault.add_secret(&id, bytes);
    }
    for text in &flags.own.ssh {
        let (id, socket) = agent(text, env).with_context(|| format!("--ssh={text}"))?;
        vault.add_agent(&id, socket);
    }
    Ok(vault)
}

/// `--allow`.
pub(super) fn rights(flags: &Flags) -> Result<Rights> {
    let mut rights = Rights::default();
    for right in &flags.own.allow {
        match right.as_str() {
            "security.insecure" => rights = Rights::Insecure,
            // Steps are in the builder's network anyway.
            "network.host" => {}
            _ => bail!("--allow={right}: only security.insecure and network.host can be allowed"),
        }
    }
    Ok(rights)
}

/// Where a secret is.
enum Place {
    File(PathBuf),
    Variable(String),
}

/// `id=NAME[,src=FILE][,env=VARIABLE][,type=file|env]`; without a place it is the variable of that name, or else the file.
fn secret(text: &str, env: &Env) -> Result<(String, Vec<u8>)> {
    let (mut id, mut source, mut variable, mut kind) = (None, None, None, None);
    for field in text.split(',') {
        let (key, value) = field.split_once('=').with_context(|| format!("{field:?} is not of the form KEY=VALUE"))?;
        let slot = match key.to_ascii_lowercase().as_str() {
            "id" => &mut id,
            "src" | "source" => &mut source,
            "env" => &mut variable,
            "type" => &mut kind,
            _ => bail!("{key:?} is none of id, src, env and type"),
        };
        *slot = Some(value.to_owned());
    }
    let id = id.filter(|id| !id.is_empty()).context("it needs an id")?;
    let place = match (kind.as_deref(), source, variable) {
        (None | Some("file"), Some(path), None) => Place::File(path.into()),
        (None | Some("env"), None, Some(name)) | (Some("env"), Some(name), None) => Place::Variable(name),
        (None, None, None) if env.get(&id).is_some() => Place::Variable(id.clone()),
        (None | Some("file"), None, None) => Place::File(PathBuf::from(&id)),
        (Some("env"), None, None) => Place::Variable(id.clone()),
        _ => bail!("give it either a file (src=FILE) or a variable (env=NAME)"),
    };
    Ok((id, read(&place, env)?))
}

fn read(place: &Place, env: &Env) -> Result<Vec<u8>> {
    match place {
        Place::Variable(name) => {
            let value = env.lookup(name).with_context(|| format!("the variable {name} is not set"))?;
            Ok(value.as_bytes().to_vec())
        }
        Place::File(path) => {
            let size = std::fs::metadata(path).with_context(|| format!("stat {}", path.display()))?.len();
            ensure!(size <= LARGEST, "{} is larger than 500 KiB", path.display());
            std::fs::read(path).with_context(|| format!("read {}", path.display()))
        }
    }
}

/// `NAME[=SOCKET]`; without a socket it is that of the environment.
fn agent(text: &str, env: &Env) -> Result<(String, PathBuf)> {
    let (id, socket) = match text.split_once('=') {
        Some((id, socket)) => (id, PathBuf::from(socket)),
        None => (text, env.get("SSH_AUTH_SOCK").context("SSH_AUTH_SOCK is not set; give NAME=SOCKET")?.into()),
    };
    ensure!(!id.is_empty(), "it has no name");
    let kind = std::fs::metadata(&socket).with_context(|| format!("stat {}", socket.display()))?.file_type();
    let is_socket = std::os::unix::fs::FileTypeExt::is_socket(&kind);
    ensure!(is_socket, "{} is no socket; a key must be loaded into an agent", socket.display());
    Ok((id.to_owned(), socket))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn refused(arg: &str, expected: &str) {
        let flags = Flags::try_parse_from(["executor", arg]).expect("flags");
        let error = vault(&flags, &Env::default()).map(drop).and_then(|()| rights(&flags).map(drop));
        let error = format!("{:#}", error.expect_err(arg));
        assert!(error.contains(expected), "{arg}: {error}");
    }

    #[test]
    fn secrets_come_from_files_and_variables() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "hunter2").expect("write");
        let path = file.path().display();
        for text in [format!("id=a,src={path}"), format!("source={path},id=a"), format!("id=a,type=file,src={path}")] {
            assert_eq!(secret(&text, &Env::default()).expect(&text), ("a".to_owned(), b"hunter2".to_vec()));
        }
    }

    #[test]
    fn what_is_wrong_is_said_before_the_build() {
        refused("--secret=src=/x", "id");
        refused("--secret=id=a,src=/nowhere/x", "/nowhere/x");
        refused("--secret=id=a,env=SILT_NO_SUCH_VARIABLE", "SILT_NO_SUCH_VARIABLE");
        refused("--secret=id=a,src=/x,env=Y", "either");
        refused("--secret=a", "KEY=VALUE");
        refused("--secret=id=a,color=red", "color");
        refused("--ssh=default=/nowhere/s", "/nowhere/s");
        refused("--ssh=default=/etc/passwd", "socket");
        refused("--ssh=default", "SSH_AUTH_SOCK");
        refused("--allow=everything", "everything");
    }
}
