//! What can be wrong with a Dockerfile, and where.

use thiserror::Error;

/// A problem and the line of the instruction that has it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct Error {
    line: u32,
    problem: Problem,
}

impl Error {
    pub(super) fn new(line: u32, problem: Problem) -> Self {
        Error { line, problem }
    }

    /// The line, from 1.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// What is wrong. Its text has no position.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The message with its position in `file`, as `Dockerfile:12: message`.
    pub fn located(&self, file: &str) -> String {
        format!("{file}:{}: {}", self.line, self.problem)
    }
}

/// What is wrong with an instruction.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// Nothing but comments and blank lines.
    #[error("the Dockerfile has no instructions")]
    Empty,
    /// A directive with a bad value, or given twice.
    #[error("{0}")]
    Directive(String),
    /// Bytes that are not UTF-8 in an instruction; comments may hold any.
    #[error("the instruction is not valid UTF-8")]
    NotUtf8,
    /// No instruction has this name.
    #[error("unknown instruction: {name}{}{}", did_you_mean(.suggestion), .before.map(|it| it.to_string()).unwrap_or_default())]
    UnknownInstruction {
        /// The name as written, upper-cased.
        name: String,
        /// The instruction that was likely meant.
        suggestion: Option<String>,
        /// What the line before may lack, if that is the likelier mistake.
        before: Option<Unfinished>,
    },
    /// The instruction has no such flag.
    #[error("unknown flag: --{flag} for {instruction}{}", did_you_mean(.suggestion))]
    UnknownFlag {
        /// The instruction's name.
        instruction: &'static str,
        /// The flag's name.
        flag: String,
        /// The flag that was likely meant, with its dashes.
        suggestion: Option<String>,
    },
    /// A here-document without its last line.
    #[error("the here-document has no end: no line {0:?} follows")]
    Unterminated(String),
    /// Any other breach of the grammar.
    #[error("{0}")]
    Syntax(String),
}

/// How an instruction may have ended too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unfinished {
    /// By a line without a mark that it goes on.
    #[error("; if it belongs to line {line}, that line must end with {escape}")]
    Continuation {
        /// The last line of the instruction before, from 1.
        line: u32,
        /// The mark.
        escape: char,
    },
    /// By a here-document where none is read.
    #[error("; line {line} has the mark of a here-document, which only RUN, COPY and ADD can have")]
    Heredoc {
        /// The line, from 1.
        line: u32,
    },
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}
