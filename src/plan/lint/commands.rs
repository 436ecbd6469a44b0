//! Rules about single instructions and about their number in a stage.

use super::source::{Part, Source};
use super::{Finding, Rule};
use crate::dockerfile::ignore::Ignore;
use crate::dockerfile::{Command, Instruction, Located, Transfer, remote};

/// Parts of a variable's name, between underscores, that a secret's has.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

pub(super) fn check(source: &Source<'_>, ignore: &Ignore, findings: &mut Vec<Finding>) {
    for warning in &source.file.warnings {
        let message = warning.message.clone();
        findings.push(Finding { rule: Rule::NoEmptyContinuation, line: warning.line, message });
    }
    let mut absolute: Vec<&str> = Vec::new();
    for part in source.parts() {
        if let Some((located, from)) = part.from {
            described(source, located, from.name.as_deref(), "stage", findings);
        }
        for located in part.rest {
            let mut find = |(rule, message)| findings.push(Finding { rule, line: located.span.first, message });
            single(located).into_iter().for_each(&mut find);
            copied(located, ignore).into_iter().for_each(&mut find);
            if let Instruction::Arg(definitions) = &located.instruction {
                let name = definitions.first().map(|definition| definition.name.as_str());
                described(source, located, name, "ARG", findings);
            }
        }
        once(&part, findings);
        json_form(&part, findings);
        workdir(&part, &mut absolute, findings);
    }
}

/// What can be said of an instruction alone.
fn single(located: &Located) -> Vec<(Rule, String)> {
    match &located.instruction {
        Instruction::Maintainer(_) => {
            let message = "MAINTAINER is deprecated; use LABEL org.opencontainers.image.authors".to_owned();
            vec![(Rule::MaintainerDeprecated, message)]
        }
        Instruction::Env(pairs) => legacy(located, pairs).into_iter().chain(secrets("ENV", keys(pairs))).collect(),
        Instruction::Label(pairs) => legacy(located, pairs).into_iter().collect(),
        Instruction::Arg(definitions) => secrets("ARG", definitions.iter().map(|it| it.name.as_str())).collect(),
        Instruction::Expose(words) => words.iter().flat_map(|word| expose(word)).collect(),
        _ => Vec::new(),
    }
}

fn keys(pairs: &[(String, String)]) -> impl Iterator<Item = &str> {
    pairs.iter().map(|(key, _)| key.as_str())
}

/// The old form has no `=` after the name.
fn legacy(located: &Located, pairs: &[(String, String)]) -> Option<(Rule, String)> {
    let [(key, _)] = pairs else { return None };
    let name = located.instruction.name();
    let after = located.text.get(name.len()..)?.trim_start().strip_prefix(key.as_str())?;
    let message = format!("write `{name} name=value` and not `{name} name value`");
    (!after.starts_with('=')).then_some((Rule::LegacyKeyValueFormat, message))
}

fn secrets<'a>(instruction: &'a str, names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (Rule, String)> {
    names.filter(|name| is_secret(name)).map(move |name| {
        let message = format!(
            "{instruction} \"{name}\" looks like a secret: it would stay in the image; use RUN --mount=type=secret"
        );
        (Rule::SecretsUsedInArgOrEnv, message)
    })
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let parts: Vec<&str> = name.split('_').collect();
    parts.iter().any(|part| SECRET.contains(part)) && !parts.contains(&"public")
}

fn expose(word: &str) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    let (port, protocol) = word.split_once('/').unwrap_or((word, ""));
    if !protocol.contains('$') && protocol.contains(|c: char| c.is_ascii_uppercase()) {
        found.push((Rule::ExposeProtoCasing, format!("the protocol of \"{word}\" should be in lower case")));
    }
    if !port.contains('$') && port.contains(':') {
        let message = format!("\"{word}\" names an address or a port of the host, which EXPOSE cannot use");
        found.push((Rule::ExposeInvalidFormat, message));
    }
    found
}

/// Sources of the context that the ignore file leaves out. Patterns and variables say too little to tell.
fn copied(located: &Located, ignore: &Ignore) -> Vec<(Rule, String)> {
    let transfer: &Transfer = match &located.instruction {
        Instruction::Copy(copy) if copy.from.is_none() => &copy.transfer,
        Instruction::Add(add) => &add.transfer,
        _ => return Vec::new(),
    };
    let clean = |path: &str| path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/");
    let is_left_out = |path: &&str| {
        let is_plain = !path.contains(['*', '?', '[', '\\', '$', '"', '\'']) && !remote::is_remote(path);
        is_plain
            && ignore.excluded(clean(path).as_bytes()).is_some()
            && !ignore.may_include_below(clean(path).as_bytes())
    };
    let name = located.instruction.name();
    let message = |path: &str| format!("{name} of \"{path}\", which the ignore file leaves out");
    transfer.paths().filter(is_left_out).map(|path| (Rule::CopyIgnoredFile, message(path))).collect()
}

/// A comment right above a definition describes it, and then begins with its name.
fn described(source: &Source<'_>, located: &Located, name: Option<&str>, what: &str, findings: &mut Vec<Finding>) {
    let line = located.span.first;
    let Some(name) = name else { return };
    let mut comments = source.comments_above(line);
    comments.retain(|comment| !["check=", "syntax=", "escape="].iter().any(|key| comment.starts_with(key)));
    let begins = |comment: &&str| comment.split_whitespace().next().is_some_and(|word| word == name);
    if !comments.is_empty() && !comments.iter().any(begins) {
        let message = format!("the comment above {what} {name} should begin with its name: # {name} …");
        findings.push(Finding { rule: Rule::InvalidDefinitionDescription, line, message });
    }
}

/// Of some instructions only the last in a stage counts.
fn once(part: &Part<'_>, findings: &mut Vec<Finding>) {
    for name in ["CMD", "ENTRYPOINT", "HEALTHCHECK"] {
        let lines: Vec<u32> = part.rest.iter().filter(|l| l.instruction.name() == name).map(|l| l.span.first).collect();
        let Some((_, before)) = lines.split_last() else { continue };
        findings.extend(before.iter().map(|line| Finding {
            rule: Rule::MultipleInstructionsDisallowed,
            line: *line,
            message: format!("this {name} has no effect: another one follows in the stage"),
        }));
    }
}

/// Whoever sets SHELL means the shell form.
fn json_form(part: &Part<'_>, findings: &mut Vec<Finding>) {
    let mut has_shell = false;
    for located in part.rest {
        match &located.instruction {
            Instruction::Shell(_) => has_shell = true,
            Instruction::Cmd(Command::Shell(_)) | Instruction::Entrypoint(Command::Shell(_)) if !has_shell => {
                let name = located.instruction.name();
                let message = format!("give {name} as a JSON array: a shell does not pass signals on");
                findings.push(Finding { rule: Rule::JSONArgsRecommended, line: located.span.first, message });
            }
            _ => {}
        }
    }
}

/// `absolute` are the stages so far that have had a WORKDIR of their own or inherited one.
fn workdir<'a>(part: &Part<'a>, absolute: &mut Vec<&'a str>, findings: &mut Vec<Finding>) {
    let Some((_, from)) = part.from else { return };
    let mut is_known = absolute.iter().any(|name| name.eq_ignore_ascii_case(&from.image));
    for located in part.rest {
        let Instruction::Workdir(path) = &located.instruction else { continue };
        let path = path.trim_matches(['"', '\'']);
        if !is_known && !path.starts_with(['/', '$']) {
            let message = format!("WORKDIR \"{path}\" is relative to that of the base, which may change");
            findings.push(Finding { rule: Rule::WorkdirRelativePath, line: located.span.first, message });
        }
        is_known = true;
    }
    absolute.retain(|name| Some(*name) != from.name.as_deref());
    absolute.extend(from.name.as_deref().filter(|_| is_known));
}
