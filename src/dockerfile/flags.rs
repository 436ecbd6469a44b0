//! The flags of an instruction: `--name=value` words before its arguments. A word `--` ends them.

use super::{Problem, suggest};

/// The flags of one instruction, names without dashes.
pub(super) struct Flags(Vec<(&'static str, String)>);

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// A value, once.
    Value,
    /// A value, any number of times.
    Values,
    /// `true`, `false`, or nothing, which is `true`.
    Switch,
}

/// The flags that an instruction takes.
fn known(instruction: &str) -> &'static [(&'static str, Takes)] {
    use Takes::{Switch, Value, Values};
    match instruction {
        "FROM" => &[("platform", Value)],
        "COPY" => &[
            ("from", Value),
            ("chown", Value),
            ("chmod", Value),
            ("link", Switch),
            ("parents", Switch),
            ("exclude", Values),
        ],
        "ADD" => &[
            ("chown", Value),
            ("chmod", Value),
            ("link", Switch),
            ("exclude", Values),
            ("checksum", Value),
            ("keep-git-dir", Switch),
            ("unpack", Switch),
        ],
        "RUN" => &[("mount", Values), ("network", Value), ("security", Value), ("device", Values)],
        "HEALTHCHECK" => &[
            ("interval", Value),
            ("timeout", Value),
            ("start-period", Value),
            ("start-interval", Value),
            ("retries", Value),
        ],
        _ => &[],
    }
}

/// Takes the flags off the front of `arguments`; what is left is the rest.
pub(super) fn take<'a>(instruction: &'static str, arguments: &'a str) -> Result<(Flags, &'a str), Problem> {
    let (words, rest) = split(arguments);
    let mut flags = Flags(Vec::new());
    for word in words {
        let (name, takes, value) = check(instruction, &word)?;
        if takes != Takes::Values && flags.0.iter().any(|(seen, _)| *seen == name) {
            return Err(Problem::Syntax(format!("{instruction} has --{name} twice")));
        }
        flags.0.push((name, value));
    }
    Ok((flags, rest))
}

impl Flags {
    /// The value of a flag; an empty value is as good as none.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().find(|value| !value.is_empty())
    }

    /// The values of a flag, in order.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(flag, _)| *flag == name).map(|(_, value)| value.clone()).collect()
    }

    /// Whether a switch is on; `None` where it is not said.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.0.iter().find(|(flag, _)| *flag == name).map(|(_, value)| value == "true")
    }
}

fn check(instruction: &'static str, word: &str) -> Result<(&'static str, Takes, String), Problem> {
    let flag = word.strip_prefix("--").unwrap_or(word);
    let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
    let known = known(instruction);
    let Some((known, takes)) = known.iter().find(|(known, _)| *known == name) else {
        let suggestion = suggest::nearest(name, known.iter().map(|(name, _)| *name));
        let suggestion = suggestion.map(|flag| format!("--{flag}"));
        return Err(Problem::UnknownFlag { instruction, flag: name.to_owned(), suggestion });
    };
    match (takes, value) {
        (Takes::Switch, None) => Ok((known, *takes, "true".to_owned())),
        (Takes::Switch, Some(value)) => match value.to_lowercase().as_str() {
            value @ ("true" | "false") => Ok((known, *takes, value.to_owned())),
            _ => Err(Problem::Syntax(format!("{instruction} --{name}={value}: it is true or false"))),
        },
        (_, Some(value)) => Ok((known, *takes, value.to_owned())),
        (_, None) => Err(Problem::Syntax(format!("{instruction} --{name} needs a value: --{name}=VALUE"))),
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
        assert_eq!(problem("ADD", "--parents a b"), "unknown flag: --parents for ADD");
        assert_eq!(problem("COPY", "--checksum=a b c"), "unknown flag: --checksum for COPY");
        assert_eq!(problem("ENV", "--x=1 a=b"), "unknown flag: --x for ENV");
        assert_eq!(problem("RUN", "--mounts=a b"), "unknown flag: --mounts for RUN (did you mean --mount?)");
        assert_eq!(
            problem("HEALTHCHECK", "--intervall=1s CMD a"),
            "unknown flag: --intervall for HEALTHCHECK (did you mean --interval?)"
        );
        assert_eq!(problem("COPY", "--from a b"), "COPY --from needs a value: --from=VALUE");
        assert_eq!(problem("RUN", "--mount a"), "RUN --mount needs a value: --mount=VALUE");
        assert_eq!(problem("COPY", "--from=a --from=b c d"), "COPY has --from twice");
        assert_eq!(problem("COPY", "--link --link=false c d"), "COPY has --link twice");
        assert_eq!(problem("COPY", "--link=yes c d"), "COPY --link=yes: it is true or false");
        assert_eq!(problem("ADD", "--unpack= c d"), "ADD --unpack=: it is true or false");
    }

    #[test]
    fn an_empty_value_is_none() {
        let (flags, rest) = take("COPY", "--from= --chown=a:b c d").expect("flags");
        assert_eq!((flags.get("from"), flags.get("chown"), rest), (None, Some("a:b".to_owned()), "c d"));
    }

    #[test]
    fn switches_and_repeated_flags() {
        let (flags, rest) = take("COPY", "--link --parents=FALSE --exclude=a --exclude=b c d").expect("flags");
        assert_eq!((flags.switch("link"), flags.switch("parents"), rest), (Some(true), Some(false), "c d"));
        assert_eq!(flags.all("exclude"), ["a", "b"]);
        assert_eq!(take("ADD", "a b").expect("flags").0.switch("unpack"), None);
        assert_eq!(take("ADD", "--keep-git-dir=true a b").expect("flags").0.switch("keep-git-dir"), Some(true));
    }
}
