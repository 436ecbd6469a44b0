//! What the result of a step depends on, told before it is carried out.
//!
//! Two steps with equal inputs, over equal files and with equal sources, leave equal files: variables are replaced, and what is in
//! scope and not used by a step is no input of it. Times are none. Of a secret the id is, and whether it is there; its bytes are
//! not. Where a step reads another stage or an image, whoever asks knows that by its name and adds it.

mod mounts;
mod transfer;

use anyhow::Result;

use super::state::StageState;
use super::workdir;
use super::{Fetch, Tree, Vault};
use crate::context::digests::Digests;
use crate::dockerfile::{Command, Instruction, Invocation, Network, Run, Security};
use crate::oci::Digest;
use crate::rootfs::RootPath;

/// One thing that a step depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A word or a text of the instruction, its variables replaced, and what it is there for.
    Word(&'static str, Vec<u8>),
    /// A build argument in scope and its value.
    Argument(String, String),
    /// A variable in scope and its value.
    Variable(String, String),
    /// USER.
    User(String),
    /// WORKDIR.
    Directory(String),
    /// SHELL.
    Shell(Vec<u8>),
    /// The mount of this number.
    Mount(usize, Vec<u8>),
    /// Something of a build context.
    File(RootPath, Digest),
    /// An address, and what it gave.
    Remote(String, Vec<u8>),
}

/// What the inputs of a step are looked for in.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// What COPY and ADD copy from; `None` where that is a stage or an image.
    pub tree: Option<Tree<'a>>,
    /// For each mount of a RUN what its `from` names, the build context where it has none; `None` for a stage or an image.
    pub mounts: &'a [Option<Tree<'a>>],
    /// What is known of the contents of contexts.
    pub digests: &'a Digests,
    /// Secrets and SSH agents.
    pub vault: &'a Vault,
    /// What fetches the addresses of ADD.
    pub fetch: &'a dyn Fetch,
}

/// The inputs of `instruction`, which is about to be carried out in `state`. Those of an instruction that only edits the
/// config are nobody's business: what it does to the state shows in the steps after it.
///
/// # Errors
/// A word that cannot be expanded, and a source that cannot be read: the step would fail too.
pub fn inputs(instruction: &Instruction, state: &StageState, sight: &Sight<'_>) -> Result<Vec<Input>> {
    match instruction {
        Instruction::Run(it) => run(it, state, sight),
        Instruction::Copy(it) => transfer::copy(it, state, sight),
        Instruction::Add(it) => transfer::add(it, state, sight),
        Instruction::Workdir(word) => {
            let path = workdir::destination(state, word)?;
            Ok(vec![Input::Word("path", path.as_bytes().to_vec()), Input::User(state.user().to_owned())])
        }
        Instruction::Volume(words) => {
            words.iter().map(|word| Ok(Input::Word("path", state.expand(word)?.into_bytes()))).collect()
        }
        _ => Ok(Vec::new()),
    }
}

fn run(it: &Run, state: &StageState, sight: &Sight<'_>) -> Result<Vec<Input>> {
    let mut inputs = command(it, state);
    let network = match it.network {
        Network::Default => "default",
        Network::None => "none",
        Network::Host => "host",
    };
    let security = match it.security {
        Security::Sandbox => "sandbox",
        Security::Insecure => "insecure",
    };
    inputs.push(Input::Word("--network", network.into()));
    inputs.push(Input::Word("--security", security.into()));
    let device = |device: &crate::dockerfile::Device| {
        let required = if device.required { b"required".as_slice() } else { b"" };
        Input::Word("--device", framed([device.name.as_bytes(), required]))
    };
    inputs.extend(it.devices.iter().map(device));
    inputs.extend(variables(state));
    inputs.push(Input::User(state.user().to_owned()));
    inputs.push(Input::Directory(state.workdir().to_owned()));
    inputs.extend(mounts::mounts(it, state, sight)?);
    Ok(inputs)
}

fn command(it: &Run, state: &StageState) -> Vec<Input> {
    let shell = || {
        let shell = state.shell();
        Input::Shell(framed(shell.iter().map(String::as_bytes)))
    };
    match it.body.invocation() {
        Invocation::Exec(words) => {
            let words = state.command_line(&Command::Exec(words));
            words.into_iter().map(|word| Input::Word("word", word.into_bytes())).collect()
        }
        Invocation::Shell(text) => vec![shell(), Input::Word("command", text.into_bytes())],
        Invocation::Script { name, content } => {
            vec![shell(), Input::Word("script", name.into_bytes()), Input::Word("content", content.into_bytes())]
        }
    }
}

/// What is in scope. The proxies that need no ARG are not.
fn variables(state: &StageState) -> impl Iterator<Item = Input> {
    state.scope.iter().map(|(name, value)| {
        let is_argument = state.declared.iter().any(|declared| declared == name);
        let is_only = state.config.config.env(name) != Some(value);
        let made = if is_argument && is_only { Input::Argument } else { Input::Variable };
        made(name.to_owned(), value.to_owned())
    })
}

/// Several fields as one, each preceded by its length.
fn framed<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut framed = Vec::new();
    for field in fields {
        framed.extend((field.len() as u64).to_le_bytes());
        framed.extend(field);
    }
    framed
}
