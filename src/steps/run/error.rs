//! Why a command could not be run, told apart from how a command that ran has ended.
//!
//! The errors of the supervisor travel to the executor as they are, so they are plain data.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// Why a step could not be run to its end. How the command ended is not an error: see [`super::Outcome`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The first word has no slash, and no directory of the image's PATH has it.
    #[error("{program:?}: not found in PATH")]
    NotFound {
        /// The word that was looked for.
        program: String,
    },
    /// The file is there, or was named by a path, but cannot be executed.
    #[error("exec {program:?}: {why}")]
    Exec {
        /// The file that was tried, as a path inside the root.
        program: String,
        /// What the kernel said.
        why: String,
        /// What a shell would exit with: 127 where there is no such file, otherwise 126.
        code: u8,
    },
    /// The working directory cannot be entered.
    #[error("working directory {path:?}: {why}")]
    WorkingDirectory {
        /// The path inside the root.
        path: String,
        /// What the kernel said.
        why: String,
    },
    /// A system call failed while the step was being set up or supervised.
    #[error("{call}: {why}")]
    Call {
        /// The call with the object it was for.
        call: String,
        /// What the kernel said.
        why: String,
    },
    /// Processes of the step were still there when the time to kill them was up.
    #[error("{count} processes of the step survive SIGKILL")]
    StraysSurvive {
        /// How many direct children of the supervisor were left.
        count: usize,
    },
    /// The step was cancelled, and is over.
    #[error("cancelled by signal {signal}")]
    Cancelled {
        /// The number given to [`super::Control::cancel`].
        signal: i32,
    },
    /// The supervisor, or the first process of the step's PID namespace, ended without a report.
    #[error("the step's supervisor {how} (was it killed for lack of memory?)")]
    SupervisorDied {
        /// Its exit status in words.
        how: String,
    },
}

impl Error {
    /// What a shell would exit with if its command failed like this: 127 not found, 126 not executable.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Error::NotFound { .. } => Some(127),
            Error::Exec { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// Names the call that failed, for `map_err`.
pub(super) fn failed<E: Display>(call: impl Into<String>) -> impl FnOnce(E) -> Error {
    move |why| Error::Call { call: call.into(), why: why.to_string() }
}
