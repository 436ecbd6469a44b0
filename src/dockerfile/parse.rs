//! From logical lines to instructions.

use serde_json::Value;

use super::instruction::{ArgDefinition, Command, From, Instruction, Transfer};
use super::{Dockerfile, Error, Escape, Located, Problem, flags, heredoc, lines, remote, suggest, words};

/// All names, the ones not offered yet included.
const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Parses a Dockerfile. The bytes may be anything; comments need not be UTF-8.
pub fn parse(bytes: &[u8]) -> Result<Dockerfile, Error> {
    let read = lines::read(bytes)?;
    let escape = read.directives.escape;
    let locate = |line: lines::Line| {
        let instruction = parse_line(&line.text, escape).map_err(|problem| Error::new(line.span.first, problem))?;
        Ok(Located { span: line.span, text: line.text, instruction })
    };
    let instructions = read.lines.into_iter().map(locate).collect::<Result<Vec<_>, Error>>()?;
    if instructions.is_empty() {
        return Err(Error::new(1, Problem::Empty));
    }
    Ok(Dockerfile { directives: read.directives, instructions, warnings: read.warnings })
}

fn parse_line(text: &str, escape: Escape) -> Result<Instruction, Problem> {
    let (word, arguments) = words::first_blank(text).unwrap_or((text, ""));
    let name = name(word)?;
    if matches!(name, "HEALTHCHECK" | "ONBUILD") {
        return Err(Problem::Unsupported(name.to_owned()));
    }
    let (flags, rest) = flags::take(name, arguments)?;
    match name {
        "ADD" => add(transfer(name, &flags, rest, escape)?),
        "ARG" => Ok(Instruction::Arg(arg(rest, escape)?)),
        "CMD" => Ok(Instruction::Cmd(command(name, rest)?)),
        "COPY" => copy(transfer(name, &flags, rest, escape)?),
        "ENTRYPOINT" => Ok(Instruction::Entrypoint(command(name, rest)?)),
        "ENV" => Ok(Instruction::Env(pairs(name, rest, escape)?)),
        "EXPOSE" => Ok(Instruction::Expose(some(name, words::on_blanks(rest))?)),
        "FROM" => Ok(Instruction::From(from(&flags, rest)?)),
        "LABEL" => Ok(Instruction::Label(pairs(name, rest, escape)?)),
        "MAINTAINER" => Ok(Instruction::Maintainer(one(name, rest)?)),
        "RUN" => Ok(Instruction::Run(run(rest, escape)?)),
        "SHELL" => Ok(Instruction::Shell(shell(rest)?)),
        "STOPSIGNAL" => Ok(Instruction::Stopsignal(one(name, rest)?)),
        "USER" => Ok(Instruction::User(one(name, rest)?)),
        "VOLUME" => Ok(Instruction::Volume(volume(rest)?)),
        _ => Ok(Instruction::Workdir(one(name, rest)?)),
    }
}

fn name(word: &str) -> Result<&'static str, Problem> {
    NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(word)).ok_or_else(|| Problem::UnknownInstruction {
        name: word.chars().take(64).collect::<String>().to_uppercase(),
        suggestion: suggest::nearest(word, NAMES).map(str::to_owned),
    })
}

fn syntax(message: impl Into<String>) -> Problem {
    Problem::Syntax(message.into())
}

fn from(flags: &flags::Flags, rest: &str) -> Result<From, Problem> {
    let words = words::on_blanks(rest);
    let (image, name) = match words.as_slice() {
        [image] => (image, None),
        [image, r#as, name] if r#as.eq_ignore_ascii_case("as") => (image, Some(stage_name(name)?)),
        _ => return Err(syntax("FROM takes an image, or an image AS a name")),
    };
    Ok(From { image: image.clone(), name, platform: flags.get("platform") })
}

fn stage_name(name: &str) -> Result<String, Problem> {
    let name = name.to_lowercase();
    let is_valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if is_valid {
        return Ok(name);
    }
    Err(syntax(format!("{name:?} cannot name a stage: a letter, then letters, digits, `-`, `_` and `.`")))
}

/// The strings of a JSON array; `None` if the text is not one. An array of anything but strings is an error.
fn json(text: &str) -> Result<Option<Vec<String>>, Problem> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<Value>>(text) else { return Ok(None) };
    let string = |value| match value {
        Value::String(string) => Ok(string),
        other => Err(syntax(format!("the JSON form takes strings only, not {other}"))),
    };
    values.into_iter().map(string).collect::<Result<_, _>>().map(Some)
}

fn command(name: &str, rest: &str) -> Result<Command, Problem> {
    match json(rest)? {
        Some(words) => Ok(Command::Exec(words)),
        None => Ok(Command::Shell(one(name, rest)?)),
    }
}

fn run(rest: &str, escape: Escape) -> Result<Command, Problem> {
    match command("RUN", rest)? {
        Command::Exec(words) if words.is_empty() => Err(syntax("RUN needs a command")),
        Command::Shell(_) if heredoc::find(rest, escape).is_some() => Err(no_heredocs("RUN")),
        command => Ok(command),
    }
}

fn no_heredocs(name: &str) -> Problem {
    Problem::Unsupported(format!("a here-document (<<) in {name}"))
}

fn one(name: &str, rest: &str) -> Result<String, Problem> {
    if rest.is_empty() { Err(syntax(format!("{name} needs an argument"))) } else { Ok(rest.to_owned()) }
}

fn some(name: &str, words: Vec<String>) -> Result<Vec<String>, Problem> {
    if words.is_empty() { Err(syntax(format!("{name} needs at least one argument"))) } else { Ok(words) }
}

fn shell(rest: &str) -> Result<Vec<String>, Problem> {
    match json(rest)? {
        Some(words) if !words.is_empty() => Ok(words),
        _ => Err(syntax("SHELL takes the JSON form: SHELL [\"program\", \"argument\"]")),
    }
}

fn volume(rest: &str) -> Result<Vec<String>, Problem> {
    let paths = json(rest)?.unwrap_or_else(|| words::on_blanks(rest));
    if paths.iter().any(|path| path.trim().is_empty()) {
        return Err(syntax("VOLUME cannot be an empty path"));
    }
    some("VOLUME", paths)
}

fn arg(rest: &str, escape: Escape) -> Result<Vec<ArgDefinition>, Problem> {
    let define = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(syntax("ARG needs a name before =")),
        Some((name, default)) => Ok(ArgDefinition { name: name.to_owned(), default: Some(default.to_owned()) }),
        None => Ok(ArgDefinition { name: word, default: None }),
    };
    some("ARG", words::quoted(rest, escape))?.into_iter().map(define).collect()
}

/// `name=value …`, or, where the first word has no `=`, a name and all the rest as its value.
fn pairs(name: &str, rest: &str, escape: Escape) -> Result<Vec<(String, String)>, Problem> {
    let words = some(name, words::quoted(rest, escape))?;
    if !words[0].contains('=') {
        let pair = words::first_blank(rest).filter(|(_, value)| !value.is_empty());
        let (key, value) = pair.ok_or_else(|| syntax(format!("{name} needs a value: {name} name=value")))?;
        return Ok(vec![(key.to_owned(), value.to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err(syntax(format!("{name} needs a name before ="))),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(syntax(format!("{name}: {word:?} has no =; write name=value, with quotes around blanks"))),
    };
    words.iter().map(pair).collect()
}

fn transfer(name: &str, flags: &flags::Flags, rest: &str, escape: Escape) -> Result<Transfer, Problem> {
    let mut words = match json(rest)? {
        Some(words) => words,
        None if heredoc::find(rest, escape).is_some() => return Err(no_heredocs(name)),
        None => words::on_blanks(rest),
    };
    let destination = words.pop().filter(|_| !words.is_empty());
    let destination = destination.ok_or_else(|| syntax(format!("{name} needs a source and a destination")))?;
    let (from, chown, chmod) = (flags.get("from"), flags.get("chown"), flags.get("chmod"));
    Ok(Transfer { sources: words, destination, from, chown, chmod })
}

fn add(transfer: Transfer) -> Result<Instruction, Problem> {
    match transfer.sources.iter().find(|source| remote::is_remote(source)) {
        Some(source) => Err(Problem::Unsupported(format!("ADD of a URL or git repository ({source})"))),
        None => Ok(Instruction::Add(transfer)),
    }
}

fn copy(transfer: Transfer) -> Result<Instruction, Problem> {
    match transfer.sources.iter().find(|source| remote::is_http(source)) {
        Some(source) => Err(syntax(format!("COPY cannot fetch a URL ({source}); ADD can"))),
        None => Ok(Instruction::Copy(transfer)),
    }
}

#[cfg(test)]
mod tests;
