//! `executor`: builds an image and pushes it. It is its own supervisor of RUN steps, under a hidden first argument.

use std::process::ExitCode;

use silt::steps::run;

#[expect(clippy::disallowed_methods, reason = "a binary may exit")]
fn main() -> ExitCode {
    let mut args = std::env::args_os();
    if args.nth(1).is_some_and(|word| word == run::SUPERVISE) {
        std::process::exit(run::supervise_main());
    }
    ExitCode::from(silt::cli::executor(std::env::args_os(), |status| std::process::exit(status)))
}
