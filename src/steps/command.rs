//! RUN: the stage's state and the flags become a command in full, with its environment, user, directory and mounts.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Result, bail};

use super::mounting::Mounting;
use super::run::{self, Mount, Outcome, RunSpec, Surroundings, What};
use super::state::StageState;
use super::{Ended, Error, Sources, Touched, workdir};
use crate::dockerfile::{Command, Invocation, Network, Run, Security};
use crate::rootfs::{Root, users};

/// Where a here-document with an interpreter of its own is while it runs: as with BuildKit, but nothing can be executed in the
/// /dev of most containers.
fn scripts(isolation: run::Isolation) -> &'static str {
    if isolation == run::Isolation::InPlace { "/.pipes" } else { "/dev/pipes" }
}

pub(super) fn run(state: &StageState, root: &Root, it: &Run, sources: &Sources<'_>) -> Result<Touched, Error> {
    // A base image may name a directory that it does not have.
    workdir::make(state, root, &state.path(".")?)?;
    check(it, sources)?;
    let mut mounting = Mounting::prepare(state, root, &it.mounts, sources)?;
    let command = command(it, &mut mounting, sources)?;
    let mut spec = spec(state, root, &command, sources.isolation)?;
    spec.env = with(spec.env, &mounting.env);
    spec.surroundings = Surroundings {
        mounts: std::mem::take(&mut mounting.mounts),
        network: if it.network == Network::None { run::Network::None } else { run::Network::Builders },
        security: if it.security == Security::Insecure { run::Security::Insecure } else { run::Security::Sandbox },
        own: sources.own.into(),
    };
    let outcome = run::run(&spec, sources.control);
    let is_well = matches!(outcome, Ok(Outcome::Exited(0)));
    mounting.ended(sources.caches, if is_well { Ended::Well } else { Ended::Badly });
    drop(mounting);
    match outcome? {
        Outcome::Exited(0) => Ok(Touched::Unknown),
        outcome => Err(Error::Failed(outcome)),
    }
}

/// Refuses what only the user of the builder may allow.
fn check(it: &Run, sources: &Sources<'_>) -> Result<()> {
    if it.security == Security::Insecure && sources.rights == super::Rights::Sandboxed {
        bail!("--security=insecure gives the step all rights of the builder; allow it with --allow=security.insecure");
    }
    Ok(())
}

/// The command; a script that names its interpreter becomes a file that the shell executes.
fn command(it: &Run, mounting: &mut Mounting, sources: &Sources<'_>) -> Result<Command> {
    Ok(match it.body.invocation() {
        Invocation::Shell(text) => Command::Shell(text),
        Invocation::Exec(words) => Command::Exec(words),
        Invocation::Script { name, content } => {
            if name.contains('/') || name == "." || name == ".." {
                bail!("the here-document {name:?} cannot be a file of that name");
            }
            let path = format!("{}/{name}", scripts(sources.isolation));
            std::fs::create_dir_all(sources.own)?;
            mounting.mounts.push(Mount { target: path.clone().into(), what: What::Script(content.into_bytes()) });
            Command::Shell(path)
        }
    })
}

/// Variables of mounts win over those of the stage.
fn with(mut env: Vec<OsString>, added: &[OsString]) -> Vec<OsString> {
    let name = |line: &OsString| line.as_bytes().split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
    env.retain(|line| !added.iter().any(|added| name(added) == name(line)));
    env.extend(added.iter().cloned());
    env
}

pub(super) fn spec(
    state: &StageState,
    root: &Root,
    command: &Command,
    isolation: run::Isolation,
) -> anyhow::Result<RunSpec> {
    let user = match state.user().split_once(':') {
        Some((user, _)) if state.compat.user_without_group => user,
        _ => state.user(),
    };
    let credentials = users::resolve(root, user)?;
    Ok(RunSpec {
        root: root.path().to_owned(),
        argv: state.command_line(command).into_iter().map(Into::into).collect(),
        env: state.environment(OsStr::from_bytes(&credentials.home)),
        cwd: state.workdir().into(),
        uid: credentials.uid,
        gid: credentials.gid,
        groups: credentials.groups,
        isolation,
        surroundings: Surroundings::default(),
    })
}
