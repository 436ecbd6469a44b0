//! The steps that only edit the config: ENV ARG LABEL CMD ENTRYPOINT EXPOSE VOLUME SHELL STOPSIGNAL USER MAINTAINER HEALTHCHECK
//! ONBUILD.
//!
//! None touches the root, but for VOLUME where it makes its directory as kaniko does. Words are expanded with the scope as it was before the instruction,
//! except in ARG, where each default sees the ARGs before it on the line. CMD, ENTRYPOINT, SHELL and MAINTAINER are not
//! expanded. Follows the Dockerfile reference.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

use super::state::{Origin, StageState};
use super::{Touched, expose, signal};
use crate::dockerfile::{self, ArgDefinition, Command};
use crate::oci::Healthcheck;
use crate::rootfs::{Root, RootPath};

pub(super) fn env(state: &mut StageState, pairs: &[(String, String)]) -> Result<()> {
    for (name, value) in expand_pairs(state, pairs)? {
        if name.is_empty() {
            bail!("the name of a variable is empty");
        }
        state.config.config.set_env(&name, &value);
        state.scope.set(&name, &value);
    }
    Ok(())
}

pub(super) fn label(state: &mut StageState, pairs: &[(String, String)]) -> Result<()> {
    for (name, value) in expand_pairs(state, pairs)? {
        if name.is_empty() {
            bail!("the name of a label is empty");
        }
        state.config.config.labels.insert(name, value);
    }
    Ok(())
}

/// Names and values with their variables replaced, all as they were before the instruction.
fn expand_pairs(state: &StageState, pairs: &[(String, String)]) -> Result<Vec<(String, String)>> {
    pairs.iter().map(|(name, value)| Ok((state.expand(name)?, state.expand(value)?))).collect()
}

/// A value comes from `--build-arg`, else from the default, else from the global scope; without any, the name is declared
/// and what ENV set stays.
pub(super) fn arg(state: &mut StageState, definitions: &[ArgDefinition]) -> Result<()> {
    for ArgDefinition { name, default } in definitions {
        let name = &state.expand(name)?;
        let default = match default {
            Some(default) if state.args.given(name).is_none() => Some(state.expand(default)?),
            _ => None,
        };
        if let Some(value) = state.args.value(name, default) {
            declare(state, name, &value);
        }
        if !state.declared.contains(name) {
            state.declared.push(name.clone());
        }
    }
    Ok(())
}

/// Puts an ARG into the scope, unless an ENV of its name has the last word.
fn declare(state: &mut StageState, name: &str, value: &str) {
    let env = state.config.config.env(name);
    let is_other = env.is_some_and(|env| env != value);
    if state.compat.env_wins_over_arg && env.is_some() {
        return;
    }
    if is_other {
        state.differences.push(format!("ARG {name} wins over the ENV of that name; with kaniko 1.24 ENV always wins"));
    }
    state.scope.set(name, value);
}

pub(super) fn cmd(state: &mut StageState, command: &Command) {
    state.config.config.cmd = Some(state.command_line(command));
    state.cmd = Origin::Stage;
}

/// An entrypoint with another base's CMD as arguments makes no sense, so an inherited CMD goes.
pub(super) fn entrypoint(state: &mut StageState, command: &Command) {
    state.config.config.entrypoint = Some(state.command_line(command));
    if state.cmd == Origin::Base {
        state.config.config.cmd = None;
    }
}

pub(super) fn expose(state: &mut StageState, words: &[String]) -> Result<()> {
    for word in words {
        for spec in state.expand_words(word)? {
            let ports = expose::ports(&spec)?.into_iter().map(|port| (port, empty()));
            state.config.config.exposed_ports.extend(ports);
        }
    }
    Ok(())
}

/// The paths of the volumes, as the config has them.
pub(super) fn volume(state: &mut StageState, words: &[String]) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for word in words {
        let path = state.expand(word)?;
        if path.is_empty() {
            bail!("the path of a volume is empty");
        }
        state.config.config.volumes.insert(path.clone(), empty());
        paths.push(path);
    }
    Ok(paths)
}

pub(super) fn make_volumes(state: &mut StageState, root: &Root, words: &[String]) -> Result<Touched> {
    let paths = volume(state, words)?;
    let mut made = BTreeSet::new();
    for path in paths.iter().filter(|_| state.compat.volume_makes_directory) {
        made.extend(make_volume(root, path)?);
    }
    Ok(if made.is_empty() { Touched::Nothing } else { Touched::Paths(made) })
}

/// Makes the directory of a volume as kaniko 1.24 does: root's, and relative to the root whatever WORKDIR says.
fn make_volume(root: &Root, path: &str) -> Result<Vec<RootPath>> {
    let exact = root.resolve(path.as_bytes())?;
    match root.observe(&exact)? {
        Some(_) => Ok(Vec::new()),
        None => root.create_dir_all(&exact, 0o755, 0, 0).with_context(|| format!("make the directory {path}")),
    }
}

pub(super) fn shell(state: &mut StageState, arguments: &[String]) {
    state.config.config.shell = Some(arguments.to_vec());
}

pub(super) fn stopsignal(state: &mut StageState, word: &str) -> Result<()> {
    let text = state.expand(word)?;
    if !signal::is_signal(&text) {
        bail!("{text:?} is not a signal");
    }
    state.config.config.stop_signal = Some(text);
    Ok(())
}

pub(super) fn user(state: &mut StageState, word: &str) -> Result<()> {
    let user = state.expand(word)?;
    if user.is_empty() {
        bail!("the user is empty");
    }
    state.config.config.user = user;
    Ok(())
}

/// The check replaces the base's; one with `NONE` says that there is none.
pub(super) fn healthcheck(state: &mut StageState, check: &dockerfile::Healthcheck) {
    let time = |nanoseconds: i64| (nanoseconds != 0).then_some(nanoseconds);
    let mut config = Healthcheck { test: check.test(), ..Healthcheck::default() };
    if let dockerfile::Healthcheck::Check(check) = check {
        config.interval = time(check.interval);
        config.timeout = time(check.timeout);
        config.start_period = time(check.start_period);
        config.start_interval = time(check.start_interval).filter(|_| !state.compat.no_start_interval);
        config.retries = (check.retries != 0).then_some(check.retries.into());
    }
    state.config.config.healthcheck = Some(config);
}

/// A trigger is text for later builds; nothing in it is expanded or done now.
pub(super) fn onbuild(state: &mut StageState, trigger: &dockerfile::Trigger) {
    state.config.config.on_build.push(trigger.text.clone());
}

pub(super) fn maintainer(state: &mut StageState, name: &str) {
    if !state.compat.no_maintainer {
        state.config.author = Some(name.to_owned());
    }
}

/// The value of each key in a config's sets.
fn empty() -> Value {
    Value::Object(Map::new())
}
