//! `warmer`: will fill a directory with base images. It does not yet, and says so.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let text = b"error: the warmer does not cache base images yet; leave it out, and the executor pulls them itself\n";
    // Nothing can be done about a closed terminal.
    let _ = std::io::stderr().write_all(text);
    ExitCode::FAILURE
}
