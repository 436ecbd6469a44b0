//! RUN as types: what it runs, and what its flags ask for.

use super::heredoc::Heredoc;
use super::mount::MountFlag;

/// `RUN [flags] command`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What to run.
    pub body: Body,
    /// `--mount`, in order.
    pub mounts: Vec<MountFlag>,
    /// `--network`
    pub network: Network,
    /// `--security`
    pub security: Security,
    /// `--device`, in order: devices by the names of the Container Device Interface.
    pub devices: Vec<Device>,
}

/// What RUN runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Text for the shell of the stage.
    Shell(String),
    /// The program and its arguments; never empty.
    Exec(Vec<String>),
    /// `RUN <<EOF`: one here-document and nothing else.
    Script(Heredoc),
    /// A command line for the shell with here-documents in it; the marks are in `line`.
    Documents {
        /// The line.
        line: String,
        /// The documents, in the order of their marks; never empty.
        documents: Vec<Heredoc>,
    },
}

/// How a body is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Text after the words of SHELL.
    Shell(String),
    /// A program and its arguments, without a shell.
    Exec(Vec<String>),
    /// A file that is executed: it begins with `#!`. BuildKit has it in `/dev/pipes/`, with mode 0755 and read-only.
    Script {
        /// The file's name.
        name: String,
        /// What is in it.
        content: String,
    },
}

impl Body {
    /// How to carry it out. A document is never expanded here: its variables are for the shell.
    pub fn invocation(&self) -> Invocation {
        match self {
            Body::Shell(text) => Invocation::Shell(text.clone()),
            Body::Exec(words) => Invocation::Exec(words.clone()),
            Body::Script(document) if document.has_shebang() => {
                Invocation::Script { name: document.name.clone(), content: document.content() }
            }
            Body::Script(document) => Invocation::Shell(document.content()),
            Body::Documents { line, documents } => Invocation::Shell(with_bodies(line, documents)),
        }
    }
}

/// A line and the documents that it marks, as a shell reads them.
pub(super) fn with_bodies(line: &str, documents: &[Heredoc]) -> String {
    let bodies = documents.iter().map(|document| format!("\n{}{}", document.body, document.name));
    std::iter::once(line.to_owned()).chain(bodies).collect()
}

/// `RUN --network`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// That of the build.
    #[default]
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

/// `RUN --security`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// As every step.
    #[default]
    Sandbox,
    /// With all privileges.
    Insecure,
}

/// `RUN --device=name[,required]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name, such as `vendor.com/class=device`.
    pub name: String,
    /// Whether the step fails without it.
    pub required: bool,
}
