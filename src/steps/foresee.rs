//! What an instruction makes of the stage's state, told without carrying it out: the root is neither there nor needed.

use anyhow::{Result, bail};

use super::state::StageState;
use super::{metadata, workdir};
use crate::dockerfile::Instruction;

/// Brings `state` to where [`execute`](super::execute) would, for any instruction.
///
/// # Errors
/// A word that cannot be expanded, or a value that the instruction does not allow.
pub fn foresee(instruction: &Instruction, state: &mut StageState) -> Result<()> {
    match instruction {
        Instruction::Run(_) | Instruction::Copy(_) | Instruction::Add(_) => {}
        Instruction::Workdir(word) => drop(workdir::enter(state, word)?),
        Instruction::Env(pairs) => metadata::env(state, pairs)?,
        Instruction::Arg(definitions) => metadata::arg(state, definitions)?,
        Instruction::Label(pairs) => metadata::label(state, pairs)?,
        Instruction::Cmd(command) => metadata::cmd(state, command),
        Instruction::Entrypoint(command) => metadata::entrypoint(state, command),
        Instruction::Expose(words) => metadata::expose(state, words)?,
        Instruction::Volume(words) => drop(metadata::volume(state, words)?),
        Instruction::Shell(words) => metadata::shell(state, words),
        Instruction::Stopsignal(word) => metadata::stopsignal(state, word)?,
        Instruction::User(word) => metadata::user(state, word)?,
        Instruction::Maintainer(name) => metadata::maintainer(state, name),
        Instruction::From(_) => bail!("FROM begins a stage and is no step of one"),
        Instruction::Healthcheck(check) => metadata::healthcheck(state, check),
        Instruction::Onbuild(trigger) => metadata::onbuild(state, trigger),
    }
    Ok(())
}
