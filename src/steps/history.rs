//! What an instruction's row of the history says (`created_by`), as BuildKit writes it: words expanded, commands with their
//! shell, the arguments of a RUN before it. `# buildkit` ends the rows of steps that write files.
//!
//! Pure: read with the state as it is before the instruction. ONBUILD has no row with BuildKit; here it has one, as every
//! instruction.

use std::fmt::Write as _;

use anyhow::Result;

use super::expose;
use super::state::StageState;
use crate::dockerfile::{
    Add, ArgDefinition, Command, Copy, CopySource, Healthcheck, Instruction, Invocation, Run, Transfer,
    format_duration, without_logins,
};

/// The row's text for `instruction`, which is about to be carried out in `state`.
///
/// # Errors
/// A word that cannot be expanded.
pub fn history(instruction: &Instruction, state: &StageState) -> Result<String> {
    Ok(match instruction {
        Instruction::Add(it) => format!("ADD{}", add(it, state)?),
        Instruction::Arg(definitions) => format!("ARG{}", arguments(definitions, state)?),
        Instruction::Cmd(command) => format!("CMD {}", quoted(&state.command_line(command))),
        Instruction::Copy(it) => format!("COPY{}", copy(it, state)?),
        Instruction::Entrypoint(command) => format!("ENTRYPOINT {}", quoted(&state.command_line(command))),
        Instruction::Env(pairs) => format!("ENV{}", names_and_values(pairs, state)?),
        Instruction::Expose(words) => format!("EXPOSE [{}]", ports(words, state)?.join(" ")),
        Instruction::From(from) => format!("FROM {}", from.image),
        Instruction::Healthcheck(check) => format!("HEALTHCHECK {}", health(check)),
        Instruction::Label(pairs) => format!("LABEL{}", names_and_values(pairs, state)?),
        Instruction::Maintainer(name) => format!("MAINTAINER {name}"),
        Instruction::Onbuild(trigger) => format!("ONBUILD {}", trigger.text),
        Instruction::Run(it) => run(it, state),
        Instruction::Shell(words) => format!("SHELL [{}]", words.join(" ")),
        Instruction::Stopsignal(word) => format!("STOPSIGNAL {}", state.expand(word)?),
        Instruction::User(word) => format!("USER {}", state.expand(word)?),
        Instruction::Volume(words) => format!("VOLUME [{}]", expanded(words, state)?.join(" ")),
        Instruction::Workdir(word) => format!("WORKDIR {}", state.path(&state.expand(word)?)?),
    })
}

fn expanded(words: &[String], state: &StageState) -> Result<Vec<String>> {
    words.iter().map(|word| state.expand(word)).collect()
}

fn names_and_values(pairs: &[(String, String)], state: &StageState) -> Result<String> {
    let mut text = String::new();
    for (name, value) in pairs {
        write!(text, " {}={}", state.expand(name)?, state.expand(value)?)?;
    }
    Ok(text)
}

fn arguments(definitions: &[ArgDefinition], state: &StageState) -> Result<String> {
    let mut text = String::new();
    for ArgDefinition { name, default } in definitions {
        let name = &state.expand(name)?;
        let default = default.as_ref().filter(|_| state.args.given(name).is_none());
        let default = default.map(|default| state.expand(default)).transpose()?;
        write!(text, " {name}")?;
        if let Some(value) = state.args.value(name, default) {
            write!(text, "={value}")?;
        }
    }
    Ok(text)
}

/// `|2 A=1 B= /bin/sh -c command`: the ARGs in scope come first, since the result may depend on them.
fn run(run: &Run, state: &StageState) -> String {
    let shell = |text: String| state.command_line(&Command::Shell(text));
    let command = match run.body.invocation() {
        Invocation::Shell(text) => shell(text),
        Invocation::Exec(words) => words,
        Invocation::Script { name, .. } => shell(format!("/dev/pipes/{name}")),
    };
    let arguments = state.declared.iter().map(|name| format!("{name}={}", state.variable(name).unwrap_or_default()));
    let arguments: Vec<String> = arguments.collect();
    let count = if arguments.is_empty() { None } else { Some(format!("|{}", arguments.len())) };
    let words: Vec<String> = count.into_iter().chain(arguments).chain(command).collect();
    format!("RUN {} # buildkit", words.join(" "))
}

fn copy(copy: &Copy, state: &StageState) -> Result<String> {
    Ok(format!("{}{}", if copy.parents { " --parents" } else { "" }, transfer(&copy.transfer, state)?))
}

fn add(add: &Add, state: &StageState) -> Result<String> {
    transfer(&add.transfer, state)
}

/// Documents come after the other sources, whatever their order in the file.
fn transfer(transfer: &Transfer, state: &StageState) -> Result<String> {
    let mut text = String::new();
    for (name, word) in [("chown", &transfer.chown), ("chmod", &transfer.chmod)] {
        let value = word.as_ref().map(|word| state.expand(word)).transpose()?;
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            write!(text, " --{name}={value}")?;
        }
    }
    for path in transfer.paths() {
        write!(text, " {}", without_logins(&state.expand(path)?))?;
    }
    for source in &transfer.sources {
        if let CopySource::Heredoc(document) = source {
            write!(text, " <<{}", document.name)?;
        }
    }
    Ok(format!("{text} {} # buildkit", state.expand(&transfer.destination)?))
}

fn ports(words: &[String], state: &StageState) -> Result<Vec<String>> {
    let mut ports = Vec::new();
    for word in words {
        for spec in state.expand_words(word)? {
            ports.extend(expose::ports(&spec)?);
        }
    }
    ports.sort();
    Ok(ports)
}

/// As Go prints the config's structure: `&{["CMD-SHELL" "x"] "30s" "0s" "0s" "0s" '\x03'}`.
fn health(health: &Healthcheck) -> String {
    let (times, retries) = match health {
        Healthcheck::None => ([0; 4], 0),
        Healthcheck::Check(it) => ([it.interval, it.timeout, it.start_period, it.start_interval], it.retries),
    };
    let times: Vec<String> = times.iter().map(|time| format!("{:?}", format_duration(*time))).collect();
    format!("&{{{} {} {}}}", quoted(&health.test()), times.join(" "), character(retries))
}

/// A list of strings as Go's `%q` prints it.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| go_string(word)).collect();
    format!("[{}]", words.join(" "))
}

fn go_string(text: &str) -> String {
    let inside: String = text.chars().map(|c| if c == '"' { "\\\"".to_owned() } else { escaped(c) }).collect();
    format!("\"{inside}\"")
}

/// A number as Go's `%q` prints it: the character that has it.
fn character(number: u32) -> String {
    let c = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
    format!("'{}'", if c == '\'' { "\\'".to_owned() } else { escaped(c) })
}

fn escaped(c: char) -> String {
    match c {
        '\\' => "\\\\".to_owned(),
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\x0b' => "\\v".to_owned(),
        c if (c as u32) < 0x80 && c.is_control() => format!("\\x{:02x}", c as u32),
        c if c.is_control() => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    }
}
