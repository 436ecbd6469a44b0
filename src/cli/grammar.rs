//! pflag's grammar: words of a command line become words of one form, `--name` or `--name=value`, for clap to give types to.
//!
//! `--x=v`, `--x v`, `-x v`, `-xv` and `-x=v` are the same; a boolean is `--x` or `--x=false`, never `--x false`; the word after a flag
//! that takes a value is its value, whatever it begins with. What pflag would misread, it explains: `-insecure` for `--insecure`. An
//! empty value is as good as none, as kaniko takes it. Flags that nobody knows are left for clap, which says what is meant.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::Command;

use super::values::go_bool;

/// Flags for which an empty value says something of its own.
const EMPTY_MATTERS: [&str; 1] = ["credential-helpers"];

/// A command line in one form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// `--name` or `--name=value`, by the new spelling.
    pub(super) flags: Vec<OsString>,
    /// What is no flag.
    pub(super) operands: Vec<OsString>,
    /// Old spellings that were used, each with the new one.
    pub(super) deprecated: Vec<(String, String)>,
}

/// The flags of a command and of its sub-commands, by every spelling.
struct Known {
    long: BTreeMap<String, Spelling>,
    short: BTreeMap<char, Spelling>,
}

#[derive(Clone)]
struct Spelling {
    name: String,
    takes: Takes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// A value, in the same word or the next.
    Value,
    /// At most a boolean, in the same word.
    Boolean,
}

/// Reads a command line without the program's name.
///
/// # Errors
/// What is wrong, and what to write instead.
pub(super) fn read(command: &Command, args: impl IntoIterator<Item = OsString>) -> Result<Words, String> {
    let known = Known::of(command);
    let (mut words, mut args) = (Words::default(), args.into_iter());
    let mut bare_boolean = None;
    while let Some(arg) = args.next() {
        let before = bare_boolean.take();
        match arg.as_bytes() {
            b"--" => words.operands.extend(args.by_ref()),
            [b'-', b'-', rest @ ..] => bare_boolean = known.long(rest, &arg, &mut args, &mut words)?,
            [b'-', rest @ ..] if !rest.is_empty() => known.short(rest, &mut args, &mut words)?,
            _ => match (before, arg.to_str()) {
                (Some(name), Some(value)) if go_bool(value).is_ok() => {
                    return Err(format!("--{name} takes no value after a space: write --{name}={value}"));
                }
                _ => words.operands.push(arg),
            },
        }
    }
    Ok(words)
}

impl Known {
    fn of(command: &Command) -> Known {
        let mut known = Known { long: BTreeMap::new(), short: BTreeMap::new() };
        for arg in command.get_arguments().chain(command.get_subcommands().flat_map(Command::get_arguments)) {
            let Some(name) = arg.get_long() else { continue };
            let takes = if arg.get_action().takes_values() && !arg.is_require_equals_set() {
                Takes::Value
            } else {
                Takes::Boolean
            };
            let spelling = Spelling { name: name.to_owned(), takes };
            for other in arg.get_all_aliases().unwrap_or_default() {
                known.long.insert(other.to_owned(), spelling.clone());
            }
            known.long.insert(name.to_owned(), spelling.clone());
            arg.get_short().and_then(|letter| known.short.insert(letter, spelling));
        }
        known
    }

    /// Reads `--word`; a boolean without a value is named, so that a value in the next word can be told from an operand.
    fn long(
        &self,
        word: &[u8],
        whole: &OsStr,
        args: &mut impl Iterator<Item = OsString>,
        words: &mut Words,
    ) -> Result<Option<String>, String> {
        let (typed, value) = split(word);
        let typed = String::from_utf8_lossy(typed).into_owned();
        let Some(spelling) = self.long.get(&typed) else {
            words.flags.push(whole.to_owned());
            return Ok(None);
        };
        if typed != spelling.name {
            words.deprecated.push((typed.clone(), spelling.name.clone()));
        }
        match (spelling.takes, value) {
            (_, Some(value)) => words.value(spelling, value),
            (Takes::Value, None) => words.value(spelling, next(args, &format!("--{typed}"))?.as_bytes()),
            (Takes::Boolean, None) => {
                words.flags.push(format!("--{}", spelling.name).into());
                return Ok(Some(typed));
            }
        }
        Ok(None)
    }

    /// Reads `-letters`.
    fn short(
        &self,
        letters: &[u8],
        args: &mut impl Iterator<Item = OsString>,
        words: &mut Words,
    ) -> Result<(), String> {
        let whole = String::from_utf8_lossy(letters).into_owned();
        let name = String::from_utf8_lossy(split(letters).0).into_owned();
        if name.chars().count() > 1 && self.long.contains_key(&name) {
            return Err(format!("-{name}: a long flag has two dashes: write --{whole}"));
        }
        for (at, letter) in whole.char_indices() {
            let Some(spelling) = self.short.get(&letter) else {
                let place = if whole.len() > letter.len_utf8() { format!(" in -{whole}") } else { String::new() };
                return Err(format!("unknown flag -{letter}{place}"));
            };
            if spelling.takes == Takes::Value {
                let value = &letters[(at + letter.len_utf8()).min(letters.len())..];
                let value = value.strip_prefix(b"=").unwrap_or(value);
                match value {
                    [] => words.value(spelling, next(args, &format!("-{letter}"))?.as_bytes()),
                    value => words.value(spelling, value),
                }
                return Ok(());
            }
            words.flags.push(format!("--{}", spelling.name).into());
        }
        Ok(())
    }
}

impl Words {
    fn value(&mut self, spelling: &Spelling, value: &[u8]) {
        let matters = spelling.takes == Takes::Boolean || EMPTY_MATTERS.contains(&spelling.name.as_str());
        if !value.is_empty() || matters {
            self.flags.push(OsString::from_vec([b"--", spelling.name.as_bytes(), b"=", value].concat()));
        }
    }
}

fn split(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    match word.iter().position(|byte| *byte == b'=') {
        Some(at) => (&word[..at], Some(&word[at + 1..])),
        None => (word, None),
    }
}

fn next(args: &mut impl Iterator<Item = OsString>, flag: &str) -> Result<OsString, String> {
    args.next().ok_or_else(|| format!("{flag} needs a value"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line::executor_command;

    fn words(args: &[&str]) -> Result<Words, String> {
        read(&executor_command(), args.iter().map(OsString::from))
    }

    fn check(args: &[&str], flags: &[&str], operands: &[&str]) {
        let found = words(args).unwrap_or_else(|error| panic!("{args:?}: {error}"));
        assert_eq!((found.flags, found.operands), (os(flags), os(operands)), "{args:?}");
    }

    fn os(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn wrong(args: &[&str], expected: &str) {
        assert_eq!(words(args).expect_err("refused"), expected, "{args:?}");
    }

    #[test]
    fn all_forms_of_a_flag_are_one() {
        for args in [&["--destination=a"][..], &["--destination", "a"], &["-d", "a"], &["-da"], &["-d=a"]] {
            check(args, &["--destination=a"], &[]);
        }
        check(&["--no-push", "--insecure=T"], &["--no-push", "--insecure=T"], &[]);
        check(&["--build-arg", "--x=y"], &["--build-arg=--x=y"], &[]);
        check(&["--label=a=b=c"], &["--label=a=b=c"], &[]);
        check(&["--cache-ttl", "-1h"], &["--cache-ttl=-1h"], &[]);
        check(&["--", "--x", "-y"], &[], &["--x", "-y"]);
        check(&["push", "x.tar", "-d", "a", "-"], &["--destination=a"], &["push", "x.tar", "-"]);
        check(&["login", "-u", "me", "-pword", "r.io"], &["--username=me", "--password=word"], &["login", "r.io"]);
        check(&["--unknown=1", "-h"], &["--unknown=1", "--help"], &[]);
    }

    #[test]
    fn an_empty_value_is_none() {
        check(&["--target=", "--tar-path", "", "--registry-mirror=", "-d", ""], &[], &[]);
        check(&["--credential-helpers="], &["--credential-helpers="], &[]);
        check(&["--no-push="], &["--no-push="], &[]);
    }

    #[test]
    fn old_spellings_are_told() {
        let found = words(&["--snapshotMode=full", "--tarPath", "x", "--customPlatform=linux/amd64"]).expect("ok");
        assert_eq!(found.flags, os(&["--snapshot-mode=full", "--tar-path=x", "--custom-platform=linux/amd64"]));
        let old = ["snapshotMode", "tarPath", "customPlatform"];
        assert!(found.deprecated.iter().map(|(old, _)| old.as_str()).eq(old));
        let found = words(&["--whitelist-var-run=false"]).expect("ok");
        assert_eq!(found.deprecated, [("whitelist-var-run".to_owned(), "ignore-var-run".to_owned())]);
        assert_eq!(found.flags, os(&["--ignore-var-run=false"]));
    }

    #[test]
    fn mistakes_are_explained() {
        wrong(&["--no-push", "false"], "--no-push takes no value after a space: write --no-push=false");
        wrong(
            &["--whitelist-var-run", "F"],
            "--whitelist-var-run takes no value after a space: write --whitelist-var-run=F",
        );
        wrong(&["-insecure"], "-insecure: a long flag has two dashes: write --insecure");
        wrong(&["-destination=a/b"], "-destination: a long flag has two dashes: write --destination=a/b");
        wrong(&["-tarPath=x"], "-tarPath: a long flag has two dashes: write --tarPath=x");
        wrong(&["-x"], "unknown flag -x");
        wrong(&["-xyz"], "unknown flag -x in -xyz");
        wrong(&["--destination"], "--destination needs a value");
        wrong(&["-d"], "-d needs a value");
    }

    #[test]
    fn values_are_bytes() {
        let name = OsString::from_vec(b"/a\xff".to_vec());
        let found = read(&executor_command(), ["--tar-path".into(), name]).expect("ok");
        assert_eq!(found.flags[0].as_bytes(), b"--tar-path=/a\xff");
    }
}
