//! From logical lines to instructions.

mod health;
mod run;
mod transfer;

use serde_json::Value;

use super::instruction::{ArgDefinition, Command, From, Instruction};
use super::lines::Line;
use super::run::with_bodies;
use super::{Dockerfile, Error, Escape, Located, Problem, Trigger, Unfinished, flags, lines, suggest, trigger, words};

/// The names of all instructions.
pub(super) const NAMES: [&str; 18] = [
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
    let mut instructions: Vec<Located> = Vec::new();
    for line in read.lines {
        let instruction = instruction(&line, &line.text, escape)
            .map_err(|problem| Error::new(line.span.first, after(instructions.last(), escape, problem)))?;
        instructions.push(Located { span: line.span, text: line.text, instruction });
    }
    if instructions.is_empty() {
        return Err(Error::new(1, Problem::Empty));
    }
    Ok(Dockerfile { directives: read.directives, instructions, warnings: read.warnings })
}

/// A problem, with what the line before it may lack.
fn after(last: Option<&Located>, escape: Escape, problem: Problem) -> Problem {
    let (Some(last), Problem::UnknownInstruction { name, suggestion: None, .. }) = (last, &problem) else {
        return problem;
    };
    if matches!(last.instruction, Instruction::From(_)) {
        return problem;
    }
    let is_document = matches!(last.instruction, Instruction::Run(_) | Instruction::Copy(_) | Instruction::Add(_));
    let before = match last.text.contains("<<") && !is_document {
        true => Unfinished::Heredoc { line: last.span.first },
        false => Unfinished::Continuation { line: last.span.last, escape: escape.as_char() },
    };
    Problem::UnknownInstruction { name: name.clone(), suggestion: None, before: Some(before) }
}

/// The text of `line` that may have here-documents: after the name and the flags of RUN, COPY or ADD, also behind ONBUILD.
/// `None` where there are none, as in the JSON form. Errors are found again when the line is parsed.
pub(super) fn heredoc_text(text: &str) -> Option<&str> {
    let (mut word, mut arguments) = words::first_blank(text)?;
    if name(word) == Ok("ONBUILD") {
        (word, arguments) = words::first_blank(arguments)?;
    }
    let name = name(word).ok().filter(|name| matches!(*name, "RUN" | "COPY" | "ADD"))?;
    let (_, rest) = flags::take(name, arguments).ok()?;
    matches!(json(rest), Ok(None)).then_some(rest)
}

/// The instruction that `text` says, all of a line or what follows ONBUILD; `line` has the here-documents.
fn instruction(line: &Line, text: &str, escape: Escape) -> Result<Instruction, Problem> {
    let (word, arguments) = words::first_blank(text).unwrap_or((text, ""));
    let name = name(word)?;
    if name == "ONBUILD" {
        return Ok(Instruction::Onbuild(onbuild(line, arguments, escape)?));
    }
    let (flags, rest) = flags::take(name, arguments)?;
    match name {
        "ADD" => Ok(Instruction::Add(transfer::add(&flags, rest, &line.documents)?)),
        "ARG" => Ok(Instruction::Arg(arg(rest, escape)?)),
        "CMD" => Ok(Instruction::Cmd(command(name, rest)?)),
        "COPY" => Ok(Instruction::Copy(transfer::copy(&flags, rest, &line.documents)?)),
        "ENTRYPOINT" => Ok(Instruction::Entrypoint(command(name, rest)?)),
        "ENV" => Ok(Instruction::Env(pairs(name, rest, escape)?)),
        "EXPOSE" => Ok(Instruction::Expose(some(name, words::on_blanks(rest))?)),
        "FROM" => Ok(Instruction::From(from(&flags, rest)?)),
        "HEALTHCHECK" => Ok(Instruction::Healthcheck(health::healthcheck(&flags, rest)?)),
        "LABEL" => Ok(Instruction::Label(pairs(name, rest, escape)?)),
        "MAINTAINER" => Ok(Instruction::Maintainer(one(name, rest)?)),
        "RUN" => Ok(Instruction::Run(run::run(&flags, rest, &line.documents)?)),
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
        before: None,
    })
}

fn syntax(message: impl Into<String>) -> Problem {
    Problem::Syntax(message.into())
}

/// ONBUILD's inner instruction is checked now, though it is for another build.
fn onbuild(line: &Line, text: &str, escape: Escape) -> Result<Trigger, Problem> {
    let word = words::first_blank(text).map_or(text, |(word, _)| word);
    if word.is_empty() {
        return Err(syntax("ONBUILD needs an instruction"));
    }
    if let Some(problem) = trigger::forbidden(name(word)?) {
        return Err(problem);
    }
    let instruction = Box::new(instruction(line, text, escape)?);
    Ok(Trigger { text: with_bodies(text, &line.documents), instruction })
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

/// Why the text of a command is no JSON although it looks so: a bracket and a quote, which no test of a shell begins with.
pub fn no_json(text: &str) -> Option<String> {
    let looks_so = text.strip_prefix('[').is_some_and(|rest| rest.starts_with(['"', '\'', '\u{201c}', '\u{201d}']));
    let why = serde_json::from_str::<Vec<Value>>(text).err().filter(|_| looks_so)?;
    Some(why.to_string().replace(" at line 1 column", " at character"))
}

fn command(name: &str, rest: &str) -> Result<Command, Problem> {
    match json(rest)? {
        Some(words) => Ok(Command::Exec(words)),
        None => Ok(Command::Shell(one(name, rest)?)),
    }
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

#[cfg(test)]
mod tests;
