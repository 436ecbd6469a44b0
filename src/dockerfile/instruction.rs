//! The instructions as types. Strings are as written, variables and quotes in them not yet expanded.

use super::{Add, Copy, Healthcheck, Run, Trigger};

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// `ADD source… destination`: as COPY, but unpacks archives and fetches addresses.
    Add(Add),
    /// `ARG name[=default] …`
    Arg(Vec<ArgDefinition>),
    /// `CMD`
    Cmd(Command),
    /// `COPY source… destination`
    Copy(Copy),
    /// `ENTRYPOINT`
    Entrypoint(Command),
    /// `ENV name=value …` or `ENV name value`; names and values in order.
    Env(Vec<(String, String)>),
    /// `EXPOSE port[/protocol] …`; one word may expand to several.
    Expose(Vec<String>),
    /// `FROM image [AS name]`
    From(From),
    /// `HEALTHCHECK NONE` or `HEALTHCHECK [options] CMD command`
    Healthcheck(Healthcheck),
    /// `LABEL name=value …` or `LABEL name value`
    Label(Vec<(String, String)>),
    /// `MAINTAINER text`, deprecated.
    Maintainer(String),
    /// `ONBUILD instruction`
    Onbuild(Trigger),
    /// `RUN`
    Run(Run),
    /// `SHELL ["program", "argument"…]`; never empty.
    Shell(Vec<String>),
    /// `STOPSIGNAL name or number`
    Stopsignal(String),
    /// `USER user[:group]`
    User(String),
    /// `VOLUME path …` or `VOLUME ["path"…]`
    Volume(Vec<String>),
    /// `WORKDIR path`
    Workdir(String),
}

impl Instruction {
    /// The instruction's name in upper case.
    pub fn name(&self) -> &'static str {
        match self {
            Instruction::Add(_) => "ADD",
            Instruction::Arg(_) => "ARG",
            Instruction::Cmd(_) => "CMD",
            Instruction::Copy(_) => "COPY",
            Instruction::Entrypoint(_) => "ENTRYPOINT",
            Instruction::Env(_) => "ENV",
            Instruction::Expose(_) => "EXPOSE",
            Instruction::From(_) => "FROM",
            Instruction::Healthcheck(_) => "HEALTHCHECK",
            Instruction::Label(_) => "LABEL",
            Instruction::Maintainer(_) => "MAINTAINER",
            Instruction::Onbuild(_) => "ONBUILD",
            Instruction::Run(_) => "RUN",
            Instruction::Shell(_) => "SHELL",
            Instruction::Stopsignal(_) => "STOPSIGNAL",
            Instruction::User(_) => "USER",
            Instruction::Volume(_) => "VOLUME",
            Instruction::Workdir(_) => "WORKDIR",
        }
    }
}

/// `FROM [--platform=P] image [AS name]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// An image, an earlier stage, or `scratch`.
    pub image: String,
    /// The stage's name, in lower case.
    pub name: Option<String>,
    /// `--platform`
    pub platform: Option<String>,
}

/// A command line in one of its two forms. Variables in it are for the shell; silt does not expand them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Text for the shell of the stage.
    Shell(String),
    /// The program and its arguments. Empty (`CMD []`) resets what the base set.
    Exec(Vec<String>),
}

/// One word of ARG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDefinition {
    /// Its name.
    pub name: String,
    /// Its value where no other is given.
    pub default: Option<String>,
}
