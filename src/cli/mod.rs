//! The command line: arguments and environment become a request, errors become one line and an exit status.
//!
//! The binaries call [`executor`] and [`warmer`] and exit with what they return. The thread that takes signals ends the process itself,
//! with the function that the binary passes in.

mod build;
mod cache;
mod command_line;
mod completion;
mod env;
mod features;
mod flags;
mod grammar;
mod ground;
mod login;
mod not_yet;
mod notices;
mod push;
mod reference;
mod registries;
mod request;
mod signals;
#[cfg(test)]
mod tests;
mod values;
mod variables;
mod vault;
mod warmer;

use std::ffi::OsString;
use std::io::Write as _;

use crate::build::Error;
use crate::log::Format;
use crate::sys;
use command_line::{Answer, Invocation};
use env::Env;
use flags::LogFlags;
use notices::Notices;

/// Runs the executor and returns its exit status. `exit` ends the process when a signal does.
pub fn executor(args: impl IntoIterator<Item = OsString>, exit: fn(i32) -> !) -> u8 {
    sys::map_large_blocks();
    let env = Env::read();
    let (invocation, notices) = match command_line::executor(args, &env) {
        Ok(read) => read,
        Err(answer) => return reply(answer),
    };
    match invocation {
        Invocation::Version => reply(Answer::Text(concat!("silt ", env!("CARGO_PKG_VERSION"), "\n").to_owned())),
        Invocation::Completion(shell) => reply(Answer::Text(completion::script(shell))),
        Invocation::Reference => reply(Answer::Text(reference::markdown())),
        Invocation::Login(flags) => logged(&flags.log, &notices, || login::run(&flags, &env)),
        Invocation::Push(flags) => logged(&flags.log, &notices, || push::run(&flags, &env, exit)),
        Invocation::Build(flags) => logged(&flags.log, &notices, || build::run(&flags, &env, exit)),
    }
}

/// Runs the warmer and returns its exit status. `exit` ends the process when a signal does.
pub fn warmer(args: impl IntoIterator<Item = OsString>, exit: fn(i32) -> !) -> u8 {
    let env = Env::read();
    match command_line::warmer(args, &env) {
        Ok((flags, notices)) => logged(&flags.log, &notices, || warmer::run(&flags, &env, exit)),
        Err(answer) => reply(answer),
    }
}

/// Starts logging, says what is to be said of the command line, and runs `work` unless that refuses.
fn logged(log: &LogFlags, notices: &Notices, work: impl FnOnce() -> Result<(), Error>) -> u8 {
    log.start();
    match notices.tell().map_err(Error::from).and_then(|()| work()) {
        Ok(()) => 0,
        Err(failure) => {
            tell(&failure, log.log_format);
            failure.exit_code()
        }
    }
}

/// Help and version are no errors; a wrong flag ends with 1, as kaniko's does.
fn reply(answer: Answer) -> u8 {
    // Nothing can be done about a closed pipe or terminal.
    match answer {
        Answer::Text(text) => drop(std::io::stdout().write_all(text.as_bytes())),
        Answer::Mistake(text) => {
            let _ = std::io::stderr().write_all(text.as_bytes());
            return 1;
        }
    }
    0
}

/// The last line of a failed run: for people the same at every level, for machines a line of the log.
fn tell(failure: &Error, format: Format) {
    match format {
        Format::Json => crate::log::failure(&failure.to_string()),
        // Nothing can be done about a closed terminal.
        Format::Color | Format::Text => {
            failure.quote().lines().for_each(|line| drop(writeln!(std::io::stderr(), "{line}")));
            drop(writeln!(std::io::stderr(), "error: {failure}"));
        }
    }
}
