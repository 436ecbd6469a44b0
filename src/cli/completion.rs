//! Completion scripts for shells, made from the same table as everything else.

use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, PowerShell, Zsh};

use super::command_line::executor_shown;
use super::flags::Shell;

/// The script for a shell.
pub(super) fn script(shell: Shell) -> String {
    let (mut command, mut script) = (executor_shown(), Vec::new());
    match shell {
        Shell::Bash => generate(Bash, &mut command, "executor", &mut script),
        Shell::Zsh => generate(Zsh, &mut command, "executor", &mut script),
        Shell::Fish => generate(Fish, &mut command, "executor", &mut script),
        Shell::Power => generate(PowerShell, &mut command, "executor", &mut script),
    }
    String::from_utf8_lossy(&script).into_owned()
}
