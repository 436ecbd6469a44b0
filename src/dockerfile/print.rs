//! Prints a parsed file so that parsing it again gives the same instructions: one line each, here-documents after it.
//!
//! Words are written as they were read. A JSON array is used where the words cannot be told apart otherwise.

use std::fmt::{self, Display, Formatter};

use serde_json::Value;

use super::{
    Add, ArgDefinition, Body, Check, Command, Copy, CopySource, Device, Directives, Dockerfile, Escape, From,
    Healthcheck, Heredoc, Instruction, Network, Run, Security, Transfer, duration, heredoc, words,
};

impl Display for Dockerfile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.directives.fmt(f)?;
        for located in &self.instructions {
            let text = Written(&located.instruction, self.directives.escape).to_string();
            let (line, rest) = text.split_once('\n').map_or((text.as_str(), None), |(line, rest)| (line, Some(rest)));
            // A form feed is a blank, and an escape character before it continues nothing.
            let guard = if line.ends_with(self.directives.escape.as_char()) { "\x0c" } else { "" };
            writeln!(f, "{line}{guard}")?;
            if let Some(rest) = rest {
                writeln!(f, "{rest}")?;
            }
        }
        Ok(())
    }
}

impl Display for Directives {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(syntax) = &self.syntax {
            writeln!(f, "# syntax={syntax}")?;
        }
        if self.escape == Escape::Backtick {
            writeln!(f, "# escape=`")?;
        }
        self.check.iter().try_for_each(|check| writeln!(f, "# check={check}"))
    }
}

impl Display for Instruction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Written(self, Escape::Backslash).fmt(f)
    }
}

/// An instruction in a file with this escape character.
struct Written<'a>(&'a Instruction, Escape);

impl Display for Written<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Written(instruction, escape) = self;
        write!(f, "{} ", instruction.name())?;
        match instruction {
            Instruction::Add(it) => add(f, it),
            Instruction::Arg(definitions) => joined(f, definitions),
            Instruction::Cmd(it) | Instruction::Entrypoint(it) => it.fmt(f),
            Instruction::Copy(it) => copy(f, it),
            Instruction::Env(it) | Instruction::Label(it) => pairs(f, it, *escape),
            Instruction::Expose(words) => joined(f, words),
            Instruction::From(it) => it.fmt(f),
            Instruction::Healthcheck(it) => it.fmt(f),
            Instruction::Onbuild(trigger) => f.write_str(&trigger.text),
            Instruction::Run(it) => run(f, it),
            Instruction::Shell(words) | Instruction::Volume(words) => json(f, words),
            Instruction::Maintainer(it)
            | Instruction::Stopsignal(it)
            | Instruction::User(it)
            | Instruction::Workdir(it) => guarded(f, it),
        }
    }
}

/// Text that must not be taken for a flag.
fn guarded(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let guard = if text.starts_with("--") { "-- " } else { "" };
    write!(f, "{guard}{text}")
}

fn joined<T: Display>(f: &mut Formatter<'_>, words: &[T]) -> fmt::Result {
    guarded(f, &words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

fn json(f: &mut Formatter<'_>, words: &[String]) -> fmt::Result {
    write!(f, "{}", Value::from(words.to_vec()))
}

impl Display for ArgDefinition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.default.iter().try_for_each(|default| write!(f, "={default}"))
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Command::Shell(text) => guarded(f, text),
            Command::Exec(words) => json(f, words),
        }
    }
}

impl Display for From {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        option(f, "platform", self.platform.as_deref())?;
        guarded(f, &self.image)?;
        self.name.iter().try_for_each(|name| write!(f, " AS {name}"))
    }
}

/// `name=value` pairs, or the old form, which alone can have a name without `=` after it.
fn pairs(f: &mut Formatter<'_>, pairs: &[(String, String)], escape: Escape) -> fmt::Result {
    let words: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let written = words.join(" ");
    let is_new = words::quoted(&written, escape) == words;
    match pairs {
        [(key, value)] if !is_new => guarded(f, &format!("{key} {value}")),
        _ => guarded(f, &written),
    }
}

impl Display for Healthcheck {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Healthcheck::Check(check) = self else { return f.write_str("NONE") };
        let Check { command, interval, timeout, start_period, start_interval, retries } = check;
        let times = [
            ("interval", interval),
            ("timeout", timeout),
            ("start-period", start_period),
            ("start-interval", start_interval),
        ];
        for (name, time) in times.into_iter().filter(|(_, time)| **time != 0) {
            option(f, name, Some(&duration::print(*time)))?;
        }
        if *retries != 0 {
            option(f, "retries", Some(&retries.to_string()))?;
        }
        write!(f, "CMD ")?;
        match command {
            Command::Shell(text) => f.write_str(text),
            Command::Exec(words) => json(f, words),
        }
    }
}

fn run(f: &mut Formatter<'_>, run: &Run) -> fmt::Result {
    for mount in &run.mounts {
        option(f, "mount", Some(&mount.to_string()))?;
    }
    match run.network {
        Network::Default => {}
        Network::None => option(f, "network", Some("none"))?,
        Network::Host => option(f, "network", Some("host"))?,
    }
    if run.security == Security::Insecure {
        option(f, "security", Some("insecure"))?;
    }
    for Device { name, required } in &run.devices {
        option(f, "device", Some(&format!("name={name}{}", if *required { ",required" } else { "" })))?;
    }
    match &run.body {
        Body::Shell(text) => guarded(f, text),
        Body::Exec(words) => json(f, words),
        Body::Script(document) => {
            f.write_str(&document.mark())?;
            bodies(f, std::slice::from_ref(document))
        }
        Body::Documents { line, documents } => {
            guarded(f, line)?;
            bodies(f, documents)
        }
    }
}

/// The bodies of documents, each after its own line.
fn bodies(f: &mut Formatter<'_>, documents: &[Heredoc]) -> fmt::Result {
    f.write_str(&super::run::with_bodies("", documents))
}

fn copy(f: &mut Formatter<'_>, copy: &Copy) -> fmt::Result {
    option(f, "from", copy.from.as_deref())?;
    switch(f, "parents", copy.parents.then_some(true))?;
    transfer(f, &copy.transfer)
}

fn add(f: &mut Formatter<'_>, add: &Add) -> fmt::Result {
    option(f, "checksum", add.checksum.as_deref())?;
    switch(f, "keep-git-dir", add.keep_git_dir)?;
    switch(f, "unpack", add.unpack)?;
    transfer(f, &add.transfer)
}

fn transfer(f: &mut Formatter<'_>, transfer: &Transfer) -> fmt::Result {
    option(f, "chown", transfer.chown.as_deref())?;
    option(f, "chmod", transfer.chmod.as_deref())?;
    switch(f, "link", transfer.link.then_some(true))?;
    for exclude in &transfer.excludes {
        option(f, "exclude", Some(exclude))?;
    }
    let documents: Vec<Heredoc> = transfer.heredocs().cloned().collect();
    let mut words: Vec<String> = transfer.sources.iter().map(source).collect();
    words.push(transfer.destination.clone());
    if documents.is_empty() && !words.iter().all(|word| is_plain(word)) {
        return json(f, &words);
    }
    joined(f, &words)?;
    bodies(f, &documents)
}

fn source(source: &CopySource) -> String {
    match source {
        CopySource::Path(path) => path.clone(),
        CopySource::Heredoc(document) => document.mark(),
    }
}

/// Whether a word is read again as itself, wherever it stands.
fn is_plain(word: &str) -> bool {
    let is_special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '`' | '"' | '\'');
    !word.is_empty() && !word.contains(is_special) && !word.starts_with(['[', '-']) && heredoc::mark(word).is_none()
}

fn option(f: &mut Formatter<'_>, name: &str, value: Option<&str>) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    write!(f, "--{name}=")?;
    for c in value.chars() {
        if c.is_whitespace() || matches!(c, '\\' | '"' | '\'') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str(" ")
}

fn switch(f: &mut Formatter<'_>, name: &str, value: Option<bool>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, "--{name}={value} "))
}
