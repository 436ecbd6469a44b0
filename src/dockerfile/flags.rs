//! The flags of an instruction: `--name=value` words before its arguments. A word `--` ends them.

use super::{Problem, suggest};

/// The flags of one instruction, names without dashes.
pub(super) struct Flags(Vec<(&'static str, String)>);

/// The flags that an instruction takes, and those of the language that silt does not offer yet.
fn known(instruction: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match instruction {
        "FROM" => (&["platform"], &[]),
        "COPY" => (&["from", "chown", "chmod"], &["link", "parents", "exclude"]),
        "ADD" => (&["chown", "chmod"], &["link", "exclude", "checksum", "keep-git-dir", "unpack"]),
        "RUN" => (&[], &["mount", "network", "security"]),
        _ => (&[], &[]),
    }
}

/// Takes the flags off the front of `arguments`; what is left is the rest.
pub(super) fn take<'a>(instruction: &'static str, arguments: &'a str) -> Result<(Flags, &'a str), Problem> {
    let (words, rest) = split(arguments);
    let mut flags = Flags(Vec::new());
    for word in words {
        let (name, value) = check(instruction, &word)?;
        if flags.0.iter().any(|(seen, _)| *seen == name) {
            return Err(Problem::Syntax(format!("{instruction} has --{name} twice")));
        }
        flags.0.push((name, value));
    }
    Ok((flags, rest))
}

impl Flags {
    /// The value of a flag; an empty value is as good as none.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(flag, _)| *flag == name).map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }
}

fn check(instruction: &'static str, word: &str) -> Result<(&'static str, String), Problem> {
    let flag = word.strip_prefix("--").unwrap_or(word);
    let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
    let (offered, missing) = known(instruction);
    if missing.contains(&name) {
        return Err(Problem::Unsupported(format!("{instruction} --{name}")));
    }
    let Some(known) = offered.iter().find(|known| **known == name) else {
        let suggestion = suggest::nearest(name, offered.iter().chain(missing).copied());
        let suggestion = suggestion.map(|flag| format!("--{flag}"));
        return Err(Problem::UnknownFlag { instruction, flag: name.to_owned(), suggestion });
    };
    match value {
        Some(value) => Ok((known, value.to_owned())),
        None => Err(Problem::Syntax(format!("{instruction} --{name} needs a value: --{name}=VALUE"))),
    }
}

/// Splits leading words that begin with `--` from the rest, their quotes and backslashes resolved.
fn split(text: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let (word, after) = unquoted_word(rest);
        rest = after.trim_start();
        if word == "--" {
            break;
        }
        flags.push(word);
    }
    (flags, rest)
}

fn unquoted_word(text: &str) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, &text[at..]),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == '\\' => word.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => word.push(c),
        }
    }
    (word, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_split(text: &str, flags: &[&str], rest: &str) {
        assert_eq!(split(text), (flags.iter().map(|s| s.to_string()).collect(), rest), "{text:?}");
    }

    #[test]
    fn flags_end_at_the_first_other_word() {
        check_split("", &[], "");
        check_split("a --b", &[], "a --b");
        check_split("--a=b  c d", &["--a=b"], "c d");
        check_split("--a=\"b c\" --d='e'f g", &["--a=b c", "--d=ef"], "g");
        check_split("--a=b\\ c d", &["--a=b c"], "d");
        check_split("-- --a b", &[], "--a b");
        check_split("--a=b -- --c", &["--a=b"], "--c");
        check_split("- --a", &[], "- --a");
        check_split("--a=\"b", &["--a=b"], "");
    }

    fn problem(instruction: &'static str, text: &str) -> String {
        take(instruction, text).err().expect("an error").to_string()
    }

    #[test]
    fn bad_flags() {
        assert_eq!(problem("COPY", "--form=a b c"), "unknown flag: --form for COPY (did you mean --from?)");
        assert_eq!(problem("COPY", "--chwon=a b c"), "unknown flag: --chwon for COPY (did you mean --chown?)");
        assert_eq!(problem("ADD", "--from=a b c"), "unknown flag: --from for ADD");
        assert_eq!(problem("ENV", "--x=1 a=b"), "unknown flag: --x for ENV");
        assert_eq!(problem("RUN", "--mount=type=cache,target=/a b"), "RUN --mount is not supported yet");
        assert_eq!(problem("RUN", "--device=a b"), "unknown flag: --device for RUN");
        assert_eq!(problem("COPY", "--link a b"), "COPY --link is not supported yet");
        assert_eq!(problem("COPY", "--from a b"), "COPY --from needs a value: --from=VALUE");
        assert_eq!(problem("COPY", "--from=a --from=b c d"), "COPY has --from twice");
    }

    #[test]
    fn an_empty_value_is_none() {
        let (flags, rest) = take("COPY", "--from= --chown=a:b c d").expect("flags");
        assert_eq!((flags.get("from"), flags.get("chown"), rest), (None, Some("a:b".to_owned()), "c d"));
    }
}
