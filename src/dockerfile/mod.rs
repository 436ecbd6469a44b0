//! The Dockerfile language: text to typed instructions, word expansion, patterns of ignore files and of COPY sources.
//!
//! Everything here is pure: bytes in, values or a located error out; no files, no environment, no images. No input panics.
//! Values are kept as written: variables are expanded when a step runs ([`expand()`]), since only then their values are known.
//! What the language has and silt does not offer yet is an error that names the line, never ignored.
//! Follows BuildKit's reference (`frontend/dockerfile/docs/reference.md`), front end 1.26.

mod error;
mod expand;
mod flags;
mod heredoc;
mod instruction;
mod lines;
mod parse;
mod shell_pattern;
mod suggest;
mod words;

pub mod glob;
pub mod ignore;
pub mod remote;

pub use error::{Error, Problem};
pub use expand::{ExpandError, expand, expand_words};
pub use instruction::{ArgDefinition, Command, From, Instruction, Transfer};
pub use parse::parse;

/// A parsed Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// The directives in the leading comments.
    pub directives: Directives,
    /// The instructions, in the order of the file. Never empty.
    pub instructions: Vec<Located>,
    /// What is accepted but doubtful.
    pub warnings: Vec<Warning>,
}

/// The parser directives: `# key=value` comments before anything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// The escape character.
    pub escape: Escape,
    /// The front-end image asked for. Kept, never used.
    pub syntax: Option<String>,
    /// The options for build checks. Kept, never used.
    pub check: Option<String>,
}

/// The character that escapes the next one and, at the end of a line, continues it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// `\`, the default.
    #[default]
    Backslash,
    /// `` ` ``, by `` # escape=` ``.
    Backtick,
}

impl Escape {
    /// The character itself.
    pub fn as_char(self) -> char {
        match self {
            Escape::Backslash => '\\',
            Escape::Backtick => '`',
        }
    }
}

/// The lines of an instruction, from 1, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The line with the instruction's name.
    pub first: u32,
    /// The last line that continues it.
    pub last: u32,
}

/// An instruction and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its lines.
    pub span: Span,
    /// Its text: continued lines joined, comments between them left out, as history shows it.
    pub text: String,
    /// What it says.
    pub instruction: Instruction,
}

/// Something accepted but doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The line, from 1.
    pub line: u32,
    /// One sentence for the user.
    pub message: String,
}
