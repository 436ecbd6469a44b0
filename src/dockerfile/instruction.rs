//! The instructions as types. Strings are as written, variables and quotes in them not yet expanded.

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// `ADD source… destination`: as COPY, but unpacks archives.
    Add(Transfer),
    /// `ARG name[=default] …`
    Arg(Vec<ArgDefinition>),
    /// `CMD`
    Cmd(Command),
    /// `COPY source… destination`
    Copy(Transfer),
    /// `ENTRYPOINT`
    Entrypoint(Command),
    /// `ENV name=value …` or `ENV name value`; names and values in order.
    Env(Vec<(String, String)>),
    /// `EXPOSE port[/protocol] …`; one word may expand to several.
    Expose(Vec<String>),
    /// `FROM image [AS name]`
    From(From),
    /// `LABEL name=value …` or `LABEL name value`
    Label(Vec<(String, String)>),
    /// `MAINTAINER text`, deprecated.
    Maintainer(String),
    /// `RUN`
    Run(Command),
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
            Instruction::Label(_) => "LABEL",
            Instruction::Maintainer(_) => "MAINTAINER",
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

/// What COPY or ADD asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// What to copy; never empty.
    pub sources: Vec<String>,
    /// Where to.
    pub destination: String,
    /// `--from`: a stage, an image or a named context. ADD has none.
    pub from: Option<String>,
    /// `--chown`
    pub chown: Option<String>,
    /// `--chmod`
    pub chmod: Option<String>,
}

/// One word of ARG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDefinition {
    /// Its name.
    pub name: String,
    /// Its value where no other is given.
    pub default: Option<String>,
}
