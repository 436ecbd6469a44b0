//! The steps of a stage: what each instruction does to the stage's state and to the root.
//!
//! A step returns which paths it may have changed; it does not know how changes become a layer. Its errors have no position:
//! the caller knows the instruction and its line. What an instruction asks for is done, or refused; never left out silently.

pub mod run;

mod archive;
mod caches;
mod command;
mod destination;
mod differences;
mod expose;
mod fetch;
mod foresee;
mod history;
mod inputs;
mod metadata;
mod mounting;
mod pattern;
mod signal;
mod source;
mod state;
mod transfer;
mod tree;
mod variables;
mod vault;
mod workdir;

use std::collections::BTreeSet;
use std::path::Path;

pub use caches::{Caches, Ended, Restore, Used};
pub use fetch::{CheckOut, Fetch, Fetched, Repository};
pub use foresee::foresee;
pub use history::history;
pub use inputs::{Input, Sight, inputs};
pub use source::Missing;
pub use state::StageState;
pub use tree::Tree;
pub use vault::Vault;

use crate::dockerfile::Instruction;
use crate::rootfs::{Root, RootPath};

/// What a step may have changed in the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Nothing.
    Nothing,
    /// These paths and no others: what was written, and the directories made on the way. Never empty.
    Paths(BTreeSet<RootPath>),
    /// Nothing, but this directory must be in the image, whether or not a layer brought it so far.
    Directory(RootPath),
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
    /// The build context: what bind mounts show that have no `from`.
    pub context: Tree<'a>,
    /// For each mount of a RUN the tree that its `from` names.
    pub mounts: &'a [Option<Tree<'a>>],
    /// Secrets and SSH agents.
    pub vault: &'a Vault,
    /// What fetches the addresses of ADD.
    pub fetch: &'a dyn Fetch,
    /// A directory of ours, empty and outside of the image, if possible on the root's file system. It is empty again after.
    pub own: &'a Path,
    /// Where cache mounts are kept.
    pub caches: &'a Caches<'a>,
    /// What a step may ask for.
    pub rights: Rights,
}

/// Which rights the user of the builder allows to steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rights {
    /// Those of a sandbox.
    #[default]
    Sandboxed,
    /// All that the builder has, for a step that asks for them.
    Insecure,
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
        Instruction::Run(it) => command::run(state, root, it, sources),
        Instruction::Copy(it) => Ok(transfer::transfer(state, root, sources, it.into())?),
        Instruction::Add(it) => Ok(transfer::transfer(state, root, sources, it.into())?),
        Instruction::Workdir(word) => Ok(workdir::workdir(state, root, word)?),
        Instruction::Volume(words) => Ok(metadata::make_volumes(state, root, words)?),
        other => {
            foresee(other, state)?;
            Ok(Touched::Nothing)
        }
    }
}

#[cfg(test)]
mod tests;
