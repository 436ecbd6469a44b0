//! Patterns of COPY and ADD sources: those of Go's `filepath.Match`, over bytes.
//!
//! `*` is any run without `/`, `?` one character but `/`, `[a-z]` and `[^a-z]` a class, `\c` the character `c`. `**` is as `*`.
//! A byte that is not UTF-8 counts as a character for `?` and `[^…]`, and then so may each byte of a longer character.

use std::iter::Peekable;
use std::str::Chars;

use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

/// The regular expression of one character, not `/`.
pub(super) const ANY: &str = r"(?:[^/]|(?-u:[\x80-\xff]))";
/// The regular expression of any run of bytes without `/`.
pub(super) const RUN: &str = "(?-u:[^/])*";

/// A malformed pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("malformed pattern {0:?}")]
pub struct BadPattern(pub String);

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Glob(Regex);

impl Glob {
    /// Compiles `pattern`.
    pub fn new(pattern: &str) -> Result<Glob, BadPattern> {
        let bad = || BadPattern(pattern.to_owned());
        let mut regex = String::from(r"\A(?s)");
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '*' => regex.push_str(RUN),
                _ => regex.push_str(&one(c, &mut chars).ok_or_else(bad)?),
            }
        }
        regex.push_str(r"\z");
        RegexBuilder::new(&regex).build().map(Glob).map_err(|_| bad())
    }

    /// Whether the pattern matches all of `name`.
    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        self.0.is_match(name.as_ref())
    }
}

/// Whether `text` has a character that is special in a pattern. If not, it names one file.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// The regular expression of what starts with `first`, anything but `*`. `None` if it is malformed.
pub(super) fn one(first: char, chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    match first {
        '?' => Some(ANY.to_owned()),
        '[' => class(chars),
        '\\' => Some(literal(chars.next()?)),
        c => Some(literal(c)),
    }
}

fn literal(c: char) -> String {
    regex::escape(c.encode_utf8(&mut [0; 4]))
}

/// The rest of a class after `[`: at least one character or range, up to `]`.
fn class(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = String::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            break;
        }
        let low = class_character(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_character(chars)? } else { low };
        if low <= high {
            ranges.push_str(&format!(r"\x{{{:x}}}-\x{{{:x}}}", u32::from(low), u32::from(high)));
        } else {
            // As in Go, an inverted range matches nothing; the intersection is empty.
            ranges.push_str(r"[a&&b]");
        }
    }
    Some(if negated { format!(r"(?:[^{ranges}]|(?-u:[\x80-\xff]))") } else { format!("[{ranges}]") })
}

/// One character of a class: `-` and `]` only escaped.
fn class_character(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let glob = Glob::new(pattern).expect("well-formed");
        for name in yes {
            assert!(glob.matches(name), "{pattern:?} should match {name:?}");
        }
        for name in no {
            assert!(!glob.matches(name), "{pattern:?} should not match {name:?}");
        }
    }

    #[test]
    fn patterns() {
        check("", &[""], &["a"]);
        check("abc", &["abc"], &["ab", "abcd", "ABC"]);
        check("*", &["", "a", ".a", "a b\n"], &["a/b", "/"]);
        check("*.go", &["a.go", ".go"], &["a.gox", "d/a.go", "ago"]);
        check("a*/b", &["a/b", "abc/b"], &["a/c/b", "ab"]);
        check("a*b*c", &["abc", "a1b2b3c"], &["ab", "acb"]);
        check("**", &["a"], &["a/b"]);
        check("a?c", &["abc", "a\u{fc}c", "a.c"], &["a/c", "ac", "abbc"]);
        check("[a-c]x", &["ax", "cx"], &["dx", "x", "-x"]);
        check("[^a-c]x", &["dx", "-x", "\u{fc}x"], &["ax", "x"]);
        check("[\\-x]", &["-", "x"], &["\\"]);
        check("[x\\-]", &["-", "x"], &["\\"]);
        check("[a\\]b]", &["a", "]", "b"], &["\\"]);
        check("[!a]", &["!", "a"], &["b"]);
        check("[[]", &["["], &["[[]"]);
        check("[z-a]", &[], &["a", "z", "m", ""]);
        check("[&&~~]", &["&", "~"], &["a"]);
        check("\\*", &["*"], &["a", "\\*"]);
        check("a\\\\b", &["a\\b"], &["ab"]);
        check("a]b", &["a]b"], &["ab"]);
        check("a.b+c(d)|{e}$^", &["a.b+c(d)|{e}$^"], &["axb"]);
        check("\u{ac00}*", &["\u{ac00}\u{b098}"], &["\u{b098}"]);
    }

    #[test]
    fn names_are_bytes() {
        for pattern in ["a*", "a?", "a[^b]", "*"] {
            assert!(Glob::new(pattern).expect("well-formed").matches(b"a\xff"), "{pattern}");
        }
        assert!(!Glob::new("a[\u{ff}]").expect("well-formed").matches(b"a\xff"));
    }

    #[test]
    fn malformed() {
        for pattern in ["[", "[]", "[a", "[^", "[^]", "a[", "[a-", "[a-]", "[-a]", "[-]", "[]a]", "a\\", "[\\"] {
            assert!(Glob::new(pattern).is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn special_characters() {
        assert!(!is_pattern("a-b.c/d]"));
        for text in ["a*", "a?", "[a", "a\\b"] {
            assert!(is_pattern(text), "{text}");
        }
    }
}
