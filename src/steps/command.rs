//! RUN: the stage's state becomes a command in full, with its environment, user and directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::run::{self, Outcome, RunSpec};
use super::state::StageState;
use super::{Error, Sources, Touched, unplanned, workdir};
use crate::dockerfile::{Command, Invocation, Run};
use crate::rootfs::{Root, users};

pub(super) fn run(state: &StageState, root: &Root, it: &Run, sources: &Sources<'_>) -> Result<Touched, Error> {
    let command = match it.body.invocation() {
        Invocation::Shell(text) => Command::Shell(text),
        Invocation::Exec(words) => Command::Exec(words),
        Invocation::Script { .. } => return Err(unplanned("a here-document (<<) in RUN").into()),
    };
    // A base image may name a directory that it does not have.
    workdir::make(state, root, &state.path(".")?)?;
    let spec = spec(state, root, &command, sources.isolation)?;
    match run::run(&spec, sources.control)? {
        Outcome::Exited(0) => Ok(Touched::Unknown),
        outcome => Err(Error::Failed(outcome)),
    }
}

pub(super) fn spec(
    state: &StageState,
    root: &Root,
    command: &Command,
    isolation: run::Isolation,
) -> anyhow::Result<RunSpec> {
    let credentials = users::resolve(root, state.user())?;
    Ok(RunSpec {
        root: root.path().to_owned(),
        argv: state.command_line(command).into_iter().map(Into::into).collect(),
        env: state.environment(OsStr::from_bytes(&credentials.home)),
        cwd: state.workdir().into(),
        uid: credentials.uid,
        gid: credentials.gid,
        groups: credentials.groups,
        isolation,
    })
}
