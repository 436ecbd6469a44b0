//! Why a build failed, in one line: where in the Dockerfile, what, and the exit status to pass on.

use crate::dockerfile::Span;
use crate::steps;

/// A failed build.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An instruction failed.
    #[error("{file}:{line}: {instruction}: {cause:#}")]
    Step {
        /// The Dockerfile, as the user named it.
        file: String,
        /// The instruction's first line.
        line: u32,
        /// The instruction, shortened to a line.
        instruction: String,
        /// What went wrong.
        cause: anyhow::Error,
        /// The exit status of a RUN's command, or 1.
        code: u8,
    },
    /// The build failed elsewhere.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Error {
    /// The exit status of the program: that of the command that failed, otherwise 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Step { code, .. } => *code,
            Error::Other(_) => 1,
        }
    }

    /// Places `cause` at an instruction of `file`.
    pub(super) fn at(file: &str, span: Span, text: &str, cause: anyhow::Error) -> Self {
        let code = cause.downcast_ref::<steps::Error>().and_then(steps::Error::exit_code).unwrap_or(1);
        Error::Step { file: file.to_owned(), line: span.first, instruction: one_line(text), cause, code }
    }
}

/// The first line of an instruction, cut to a length that a terminal shows.
pub(super) fn one_line(text: &str) -> String {
    const MOST: usize = 100;
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(MOST).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_its_place() {
        let span = Span { first: 12, last: 14 };
        let cause = anyhow::anyhow!("inner").context("outer");
        let error = Error::at("Dockerfile", span, "RUN a &&\\\n b", cause);
        assert_eq!(error.to_string(), "Dockerfile:12: RUN a &&\\…: outer: inner");
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn the_code_of_a_failed_command_is_passed_on() {
        let failed = steps::Error::Failed(steps::run::Outcome::Exited(7));
        let error = Error::at("Dockerfile", Span { first: 1, last: 1 }, "RUN exit 7", failed.into());
        assert_eq!(error.exit_code(), 7);
        assert_eq!(error.to_string(), "Dockerfile:1: RUN exit 7: the command exited with code 7");
    }
}
