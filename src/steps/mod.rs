//! The steps of a stage: what each instruction does to the stage's state and to the root.
//!
//! A step returns which paths it may have changed; it does not know how changes become a layer. Its errors have no position:
//! the caller knows the instruction and its line. What an instruction asks for is done, or refused; never left out silently.

pub mod run;

mod archive;
mod command;
mod destination;
mod expose;
mod history;
mod metadata;
mod signal;
mod source;
mod state;
mod transfer;
mod tree;
mod variables;
mod workdir;

use std::collections::BTreeSet;

pub use history::history;
pub use source::Missing;
pub use state::StageState;
pub use tree::Tree;

use crate::dockerfile::Instruction;
use crate::rootfs::{Root, RootPath};
use transfer::Archives;

/// What a step may have changed in the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Nothing.
    Nothing,
    /// These paths and no others: what was written, and the directories made on the way. Never empty.
    Paths(BTreeSet<RootPath>),
    /// Anything: a command ran.
    Unknown,
}

/// Where a step gets what its stage does not have.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// What COPY and ADD copy from: the build context, or the tree that this step's `--from` names.
    pub tree: Tree<'a>,
    /// Starts and ends the processes of RUN.
    pub control: &'a run::Control,
    /// How RUN is kept apart.
    pub isolation: run::Isolation,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command ran and did not exit with 0.
    #[error("the command {}", ended(.0))]
    Failed(run::Outcome),
    /// The command could not be run, or was cancelled.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Error {
    /// The exit code to pass on, as a shell would have it: the command's own, or 128 and the signal that killed it.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Error::Failed(run::Outcome::Exited(code)) => u8::try_from(*code).ok(),
            Error::Failed(run::Outcome::Signaled(signal)) => u8::try_from(128 + signal).ok(),
            Error::Run(error) => error.exit_code(),
            Error::Other(_) => None,
        }
    }
}

fn ended(outcome: &run::Outcome) -> String {
    match outcome {
        run::Outcome::Exited(code) => format!("exited with code {code}"),
        run::Outcome::Signaled(signal) => format!("was killed by signal {signal}"),
    }
}

/// Carries out one instruction. After an error the root and the state are as far as the step got.
pub fn execute(
    instruction: &Instruction,
    state: &mut StageState,
    root: &Root,
    sources: &Sources<'_>,
) -> Result<Touched, Error> {
    match instruction {
        Instruction::Run(it) => return command::run(state, root, it, sources),
        Instruction::Copy(it) => {
            return Ok(transfer::transfer(state, root, &sources.tree, &it.transfer, Archives::Copy)?);
        }
        Instruction::Add(it) => {
            return Ok(transfer::transfer(state, root, &sources.tree, &it.transfer, Archives::Unpack)?);
        }
        Instruction::Workdir(word) => return Ok(workdir::workdir(state, root, word)?),
        Instruction::Env(pairs) => metadata::env(state, pairs)?,
        Instruction::Arg(definitions) => metadata::arg(state, definitions)?,
        Instruction::Label(pairs) => metadata::label(state, pairs)?,
        Instruction::Cmd(command) => metadata::cmd(state, command),
        Instruction::Entrypoint(command) => metadata::entrypoint(state, command),
        Instruction::Expose(words) => metadata::expose(state, words)?,
        Instruction::Volume(words) => metadata::volume(state, words)?,
        Instruction::Shell(words) => metadata::shell(state, words),
        Instruction::Stopsignal(word) => metadata::stopsignal(state, word)?,
        Instruction::User(word) => metadata::user(state, word)?,
        Instruction::Maintainer(name) => metadata::maintainer(state, name),
        Instruction::From(_) => return Err(anyhow::anyhow!("FROM begins a stage and is no step of one").into()),
        Instruction::Healthcheck(_) | Instruction::Onbuild(_) => return Err(unplanned(instruction.name()).into()),
    }
    Ok(Touched::Nothing)
}

/// For what a plan refuses.
fn unplanned(what: &str) -> anyhow::Error {
    anyhow::anyhow!("{what} is not supported yet")
}

#[cfg(test)]
mod tests;
