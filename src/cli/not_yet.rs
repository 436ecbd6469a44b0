//! Flags that parse and have no feature behind them yet, one row each. Whoever builds the feature removes the row.
//!
//! What would change the result, or what it trusts, is refused; what only costs time is a warning.

use clap::{ArgMatches, Command, parser::ValueSource};

use super::notices::Notices;
use super::values::go_bool;

/// A flag without its feature: every value but the default asks for it.
#[derive(Debug)]
pub(super) struct NotYet {
    /// The flag by its new spelling.
    pub(super) flag: &'static str,
    /// What happens then.
    pub(super) then: Then,
    /// What to do, or what happens instead.
    pub(super) text: &'static str,
}

/// What happens to a flag without its feature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The program refuses to start.
    Refused,
    /// It warns and goes on.
    Warned,
}

const fn refused(flag: &'static str, text: &'static str) -> NotYet {
    NotYet { flag, then: Then::Refused, text }
}

const fn warned(flag: &'static str, text: &'static str) -> NotYet {
    NotYet { flag, then: Then::Warned, text }
}

/// All of them.
pub(super) const ROWS: &[NotYet] = &[
    refused("bucket", "give a local directory with --context"),
    refused("git", "give a local directory with --context"),
    warned("image-fs-extract-retry", "what fails to unpack fails the build"),
    refused("pre-cleanup", "start each build in a fresh container, or give --build-root"),
    refused("preserve-context", "start each build in a fresh container, or give --build-root"),
    refused("materialize", "use --tar-path or --oci-layout-path and unpack that"),
    warned("azure-container-registry-config", "Azure's identity is taken from the environment"),
];

impl NotYet {
    /// What is said when the flag asks for what is not there.
    pub(super) fn says(&self) -> String {
        let NotYet { flag, text, .. } = self;
        match self.then {
            Then::Refused => format!("--{flag} is not supported yet: {text}"),
            Then::Warned => format!("--{flag} has no effect yet: {text}"),
        }
    }
}

/// Whether two lists of values mean the same: `T` and `true` do.
fn same(a: &[String], b: &[String]) -> bool {
    let one = |(a, b): (&String, &String)| a == b || go_bool(a).is_ok_and(|a| go_bool(b) == Ok(a));
    a.len() == b.len() && a.iter().zip(b).all(one)
}

/// The mark in `--help` of a flag that has no effect yet.
pub(super) fn mark(flag: &str) -> Option<&'static str> {
    ROWS.iter().any(|row| row.flag == flag).then_some("not yet")
}

/// Adds to `notices` what the flags of `matches` ask for in vain.
pub(super) fn check(matches: &ArgMatches, command: &Command, notices: &mut Notices) {
    for row in ROWS {
        let Some(arg) = command.get_arguments().find(|arg| arg.get_long() == Some(row.flag)) else { continue };
        let id = arg.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let text = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
        let given: Vec<String> = matches.get_raw(id).into_iter().flatten().map(text).collect();
        let defaults: Vec<String> = arg.get_default_values().iter().map(|word| text(word)).collect();
        if !same(&given, &defaults) {
            match row.then {
                Then::Refused => notices.refused.push(row.says()),
                Then::Warned => notices.warnings.push(row.says()),
            }
        }
    }
}
