//! `warmer`: fills a directory with base images, for executors that share it.

use std::process::ExitCode;

#[expect(clippy::disallowed_methods, reason = "a binary may exit")]
fn main() -> ExitCode {
    ExitCode::from(silt::cli::warmer(std::env::args_os(), |status| std::process::exit(status)))
}
