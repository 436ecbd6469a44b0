//! Why a Dockerfile cannot be planned, and where.

use thiserror::Error;

use crate::dockerfile::ExpandError;

/// A problem and the line that has it, if one has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{problem}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct Error {
    line: Option<u32>,
    problem: Problem,
}

impl Error {
    pub(super) fn at(line: u32, problem: Problem) -> Self {
        Error { line: Some(line), problem }
    }

    pub(super) fn anywhere(problem: Problem) -> Self {
        Error { line: None, problem }
    }

    /// The line, from 1; `None` where the fault is not at one line.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// What is wrong. Its text has no position.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The message with its position in `file`, as `Dockerfile:12: message`.
    pub fn located(&self, file: &str) -> String {
        match self.line {
            Some(line) => format!("{file}:{line}: {}", self.problem),
            None => format!("{file}: {}", self.problem),
        }
    }
}

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The file has no FROM.
    #[error("there is no FROM, so there is nothing to build")]
    NoStage,
    /// An instruction other than ARG before the first FROM.
    #[error("{0} stands before the first FROM; only ARG may")]
    BeforeFrom(&'static str),
    /// A word of FROM or of a global ARG that cannot be expanded.
    #[error("{word}: {why}")]
    Expand {
        /// The word.
        word: String,
        /// What is wrong with it.
        why: ExpandError,
    },
    /// FROM of something that is empty once expanded.
    #[error("FROM {0}: the name of the base is empty; only ARGs before the first FROM, with a value, can be used here")]
    BlankBase(String),
    /// `--from` with a variable in it.
    #[error("--from={0}: variables are not expanded here; add a stage `FROM {0} AS name` and use --from=name")]
    VariableInFrom(String),
    /// `--from=scratch`
    #[error("--from=scratch: scratch has no files")]
    FromScratch,
    /// `--from` of the stage that it stands in.
    #[error("--from={0}: a stage cannot copy from itself")]
    FromItself(String),
    /// `--from` of a stage that comes later.
    #[error("--from={from}: that stage is only defined in line {line}; a stage can copy from earlier ones only")]
    FromLater {
        /// The flag's value.
        from: String,
        /// The line of the later FROM.
        line: u32,
    },
    /// `--from` with the index of no stage.
    #[error("--from={from}: there is no such stage; they are {stages}")]
    NoSuchIndex {
        /// The flag's value.
        from: String,
        /// The stages there are.
        stages: String,
    },
    /// Part of the language that cannot be carried out yet.
    #[error("{0} is not supported yet")]
    Unsupported(String),
    /// An ONBUILD trigger of the base that is no instruction.
    #[error("the base has an ONBUILD trigger that cannot be read: {text}: {why}")]
    Trigger {
        /// The trigger as the base's config has it.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// `--target` that names no stage.
    #[error("the target {target:?} is not a stage{}; they are {stages}", did_you_mean(.suggestion))]
    UnknownTarget {
        /// The stage that was likely meant.
        suggestion: Option<String>,
        /// The flag's value.
        target: String,
        /// The stages there are.
        stages: String,
    },
}

/// ` (did you mean X?)`, or nothing.
fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}
