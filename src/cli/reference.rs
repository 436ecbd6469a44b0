//! docs/flags.md, written from the tables of flags, variables and switches. A test fails when the file is not what this writes.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::command_line::{executor_command, warmer_command};
use super::features::{FEATURES, Stance};
use super::not_yet::{ROWS, Then};
use super::variables::{Role, VARIABLES};

const HEAD: &str = "# Flags and variables

Written by `executor reference`; do not edit. What each flag means in kaniko is what it means here, if nothing else is said.

The grammar is that of pflag: `--x=v`, `--x v`, `-xv`, `-x=v`, `-x v`; a boolean is `--x` or `--x=false`, never `--x false`; a flag
marked with … can be given several times, with one value each. A boolean is 1, t, T, true, TRUE, True or 0, f, F, false, FALSE, False; a
duration is 336h, 1h30m, 1.5h, 100ms. An empty value is as good as none. Old spellings are accepted with a warning.
";

/// The whole page.
pub(super) fn markdown() -> String {
    let mut page = HEAD.to_owned();
    let executor = executor_command();
    page += "\n## executor\n";
    groups(&mut page, &executor);
    for command in executor.get_subcommands().filter(|command| !command.is_hide_set()) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let operands: String = command
            .get_positionals()
            .map(|arg| format!(" {}", arg.get_value_names().unwrap_or_default().join(" ")))
            .collect();
        let _ = write!(page, "\n## executor {}{operands}\n\n{about}.\n", command.get_name());
        groups(&mut page, command);
    }
    page += "\n## warmer\n\nFills a directory with base images, for executors that have `--cache` and the same `--cache-dir`.\n";
    groups(&mut page, &warmer_command());
    variables(&mut page);
    features(&mut page);
    page
}

/// A table for each heading, in the order of the declaration.
fn groups(page: &mut String, command: &Command) {
    let heading = |arg: &Arg| arg.get_help_heading().unwrap_or("Flags").to_owned();
    let args: Vec<&Arg> =
        command.get_arguments().filter(|arg| arg.get_long().is_some_and(|name| !is_clap(name))).collect();
    let mut headings: Vec<String> = Vec::new();
    for arg in &args {
        if !headings.contains(&heading(arg)) {
            headings.push(heading(arg));
        }
    }
    for wanted in headings {
        let _ = write!(page, "\n### {wanted}\n\n| flag | default | what it does |\n|---|---|---|\n");
        args.iter().filter(|arg| heading(arg) == wanted).for_each(|arg| row(page, arg));
    }
}

/// The flags that clap adds.
fn is_clap(name: &str) -> bool {
    matches!(name, "help" | "version")
}

fn row(page: &mut String, arg: &Arg) {
    let name = arg.get_long().unwrap_or_default();
    let short = arg.get_short().map(|letter| format!(", `-{letter}`")).unwrap_or_default();
    let several = if matches!(arg.get_action(), clap::ArgAction::Append) { " …" } else { "" };
    let value = match arg.get_value_names() {
        Some(values) if !arg.is_require_equals_set() => format!("={}", values.join(" ")),
        _ => String::new(),
    };
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let _ = writeln!(
        page,
        "| {} | {} | {} |",
        cell(&format!("`--{name}{value}`{short}{several}")),
        cell(&defaults.join(" ")),
        cell(&what(arg))
    );
}

/// What a flag does, its values, its variable, its old spellings, and what of it is not there yet.
fn what(arg: &Arg) -> String {
    let name = arg.get_long().unwrap_or_default();
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    if !arg.is_require_equals_set() {
        let values: Vec<String> =
            arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
        if !values.is_empty() {
            let _ = write!(text, ": {}", values.join(", "));
        }
    }
    for variable in VARIABLES.iter().filter(|variable| variable.role == Role::Flag(name_of(name))) {
        let _ = write!(text, ". Variable: `{}`", variable.name);
    }
    for old in arg.get_all_aliases().unwrap_or_default() {
        let _ = write!(text, ". Old spelling: `--{old}`");
    }
    for row in ROWS.iter().filter(|row| row.flag == name) {
        let then = if row.then == Then::Refused { "refused" } else { "no effect, with a warning" };
        let _ = write!(text, ". **Not yet**, {then}: {}", row.text);
    }
    text
}

/// The same name as the tables have it.
fn name_of(name: &str) -> &'static str {
    VARIABLES
        .iter()
        .find_map(|variable| match variable.role {
            Role::Flag(flag) if flag == name => Some(flag),
            _ => None,
        })
        .unwrap_or_default()
}

fn variables(page: &mut String) {
    *page += "\n## Environment variables\n\nOne that stands for a flag is read before the command line: a flag that is given wins, a repeatable one adds.\n";
    *page += "\n| variable | what it does |\n|---|---|\n";
    for variable in VARIABLES {
        let text = match variable.role {
            Role::Flag(flag) => format!("as `--{flag}`: {}", variable.text),
            Role::Read => variable.text.to_owned(),
            Role::NotYet => format!("**not yet**, with a warning: {}", variable.text),
            Role::Unused => format!("nothing: {}", variable.text),
        };
        let _ = writeln!(page, "| `{}` | {} |", variable.name, cell(&text));
    }
}

fn features(page: &mut String) {
    *page += "\n## FF_KANIKO_*\n\nThe switches of kaniko's fork are accepted. Nearly all change nothing; asking for a way that is not ours gives a warning.\n";
    *page += "\n| switch | ours is | what we do |\n|---|---|---|\n";
    for feature in FEATURES {
        let ours = match feature.stance {
            Stance::Always => "on",
            Stance::Never => "off",
            Stance::Either => "either",
            Stance::Obeyed => "as it says",
        };
        let _ = writeln!(page, "| `FF_KANIKO_{}` | {ours} | {} |", feature.name, cell(feature.here));
    }
}

/// Text that cannot end a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_up_to_date() {
        let page = include_str!("../../docs/flags.md");
        assert!(page == super::markdown(), "run `make docs`: docs/flags.md is not what `executor reference` writes");
    }
}
