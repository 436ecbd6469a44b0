//! The Dockerfile language: text to typed instructions, word expansion, patterns of ignore files and of COPY sources.
//!
//! Everything here is pure: bytes in, values or a located error out; no files, no environment, no images. No input panics.
//! Values are kept as written: variables are expanded when a step runs ([`expand()`]), since only then their values are known.
//! All of the language has a type; what silt cannot carry out yet is refused by [`crate::plan`], never ignored.
//! Follows BuildKit's reference (`frontend/dockerfile/docs/reference.md`), front end 1.26.

mod check;
mod duration;
mod error;
mod expand;
mod expandable;
mod flags;
mod healthcheck;
mod heredoc;
mod instruction;
mod lines;
mod mode;
mod mount;
mod parse;
mod print;
mod quote;
mod run;
mod shell_pattern;
mod shown;
mod size;
mod suggest;
mod syntax;
mod transfer;
mod trigger;
mod words;

pub mod glob;
pub mod ignore;
pub mod remote;

pub use check::Checks;
pub use duration::print as format_duration;
pub use error::{Error, Problem, Unfinished};
pub use expand::{ExpandError, expand, expand_body, expand_words, undefined_in};
pub use expandable::expandable_words;
pub use healthcheck::{Check, Healthcheck};
pub use heredoc::{Heredoc, Tabs, Variables};
pub use instruction::{ArgDefinition, Command, From, Instruction};
pub use mode::{BadMode, Mode};
pub use mount::{Access, Attributes, Mount, MountFlag, MountType, Sharing};
pub use parse::{no_json, parse};
pub use quote::quote;
pub use run::{Body, Device, Invocation, Network, Run, Security};
pub use shown::{shown, shown_of, without_logins};
pub(crate) use size::bytes as size_in_bytes;
pub use suggest::nearest;
pub use syntax::syntax;
pub use transfer::{Add, Copy, CopySource, Transfer};
pub use trigger::{Trigger, parse_trigger};

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

impl Dockerfile {
    /// The lines of the instruction that `line` belongs to; the line itself where none is.
    pub fn span_at(&self, line: u32) -> Span {
        let has_it = |located: &&Located| (located.span.first..=located.span.last).contains(&line);
        self.instructions.iter().find(has_it).map_or(Span { first: line, last: line }, |located| located.span)
    }
}

/// The parser directives: `# key=value` comments before anything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// The escape character.
    pub escape: Escape,
    /// The front-end image asked for. Kept, never used.
    pub syntax: Option<String>,
    /// The options for build checks, for [`crate::plan::lint`].
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
