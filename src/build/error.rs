//! Why a build failed, in one line: where in the Dockerfile, what, and the exit status to pass on.

use crate::dockerfile::{self, Span};
use crate::steps;

/// A failed build.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An instruction failed.
    #[error("{file}:{line}: {instruction}: {}", dockerfile::shown_of(instruction, &format!("{cause:#}")))]
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
        /// The line of the Dockerfile, and a caret under what the cause is about.
        quote: String,
    },
    /// The Dockerfile cannot be built.
    #[error("{place}: {message}")]
    File {
        /// The Dockerfile, and the line if it is at one.
        place: String,
        /// What is wrong.
        message: String,
        /// The line, and a caret under what is wrong.
        quote: String,
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
            Error::File { .. } | Error::Other(_) => 1,
        }
    }

    /// The lines that show the place in the Dockerfile; empty where there are none.
    pub fn quote(&self) -> &str {
        match self {
            Error::Step { quote, .. } | Error::File { quote, .. } => quote,
            Error::Other(_) => "",
        }
    }

    /// What is wrong with `file`, whose bytes are `text`, at `span`.
    pub(super) fn in_file(file: &str, text: &[u8], span: Option<Span>, message: String) -> Self {
        let place = span.map_or(file.to_owned(), |span| format!("{file}:{}", span.first));
        let quote = span.map(|span| dockerfile::quote(text, span, &message)).unwrap_or_default();
        Error::File { place, message: dockerfile::without_logins(&message), quote }
    }

    /// Places `cause` at an instruction of `file`.
    pub(super) fn at(file: (&str, &[u8]), span: Span, text: &str, cause: anyhow::Error) -> Self {
        let code = cause.downcast_ref::<steps::Error>().and_then(steps::Error::exit_code).unwrap_or(1);
        let quote = dockerfile::quote(file.1, span, &format!("{cause:#}"));
        Error::Step { file: file.0.to_owned(), line: span.first, instruction: one_line(text), cause, code, quote }
    }
}

/// The first line of an instruction without secrets of addresses, cut to a length that a terminal shows.
pub(super) fn one_line(text: &str) -> String {
    const MOST: usize = 100;
    let text = dockerfile::shown(text);
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
        let error = Error::at(("Dockerfile", b""), span, "RUN a &&\\\n b", cause);
        assert_eq!(error.to_string(), "Dockerfile:12: RUN a &&\\…: outer: inner");
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn the_code_of_a_failed_command_is_passed_on() {
        let failed = steps::Error::Failed(steps::run::Outcome::Exited(7));
        let error = Error::at(("Dockerfile", b"RUN exit 7"), Span { first: 1, last: 1 }, "RUN exit 7", failed.into());
        assert_eq!(error.exit_code(), 7);
        assert_eq!(error.to_string(), "Dockerfile:1: RUN exit 7: the command exited with code 7");
        assert_eq!(error.quote(), " 1 | RUN exit 7\n   | ^^^");
    }
}
