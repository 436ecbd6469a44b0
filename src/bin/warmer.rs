//! `warmer`: will fill a directory with base images. It reads its flags, does not do it yet, and says so.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(silt::cli::warmer(std::env::args_os()))
}
