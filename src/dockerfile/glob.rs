//! Patterns of COPY and ADD sources: those of Go's `filepath.Match`, over bytes.
//!
//! `*` is any run without `/`, `?` one character but `/`, `[a-z]` and `[^a-z]` a class, `\c` the character `c`. `**` is as `*`.
//! A byte that is not UTF-8 counts as one character, U+FFFD, as in Go.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// The regular expression of one character, not `/`.
pub(super) const ANY: &str = "[^/]";
/// The regular expression of any run of characters without `/`.
pub(super) const RUN: &str = "[^/]*";

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
                _ => regex.push_str(&one(c, &mut chars, Classes::OfPaths).ok_or_else(bad)?),
            }
        }
        regex.push_str(r"\z");
        RegexBuilder::new(&regex).build().map(Glob).map_err(|_| bad())
    }

    /// Whether the pattern matches all of `name`.
    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        self.0.is_match(&characters(name.as_ref()))
    }
}

/// The characters of a name, each byte of what is not UTF-8 being one.
pub(super) fn characters(name: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(name) {
        return Cow::Borrowed(text);
    }
    let chunk = |chunk: std::str::Utf8Chunk<'_>| {
        let invalid = std::iter::repeat_n(char::REPLACEMENT_CHARACTER, chunk.invalid().len());
        chunk.valid().chars().chain(invalid).collect::<String>()
    };
    name.utf8_chunks().map(chunk).collect::<String>().into()
}

/// Whether `text` has a character that is special in a pattern. If not, it names one file.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// How a class is read where Go's two readers of it differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Classes {
    /// As `filepath.Match` does: `[:alpha:]` are six characters, a range from high to low has none.
    OfPaths,
    /// As Go's regular expressions do, to which ignore files are translated: `[:alpha:]` is a name, such a range is malformed.
    OfIgnoreFiles,
}

/// The regular expression of what starts with `first`, anything but `*`. `None` if it is malformed.
pub(super) fn one(first: char, chars: &mut Peekable<Chars<'_>>, classes: Classes) -> Option<String> {
    match first {
        '?' => Some(ANY.to_owned()),
        '[' => class(chars, classes),
        '\\' => Some(literal(chars.next()?)),
        c => Some(literal(c)),
    }
}

fn literal(c: char) -> String {
    regex::escape(c.encode_utf8(&mut [0; 4]))
}

/// The rest of a class after `[`: at least one character or range, up to `]`.
fn class(chars: &mut Peekable<Chars<'_>>, classes: Classes) -> Option<String> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = String::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            break;
        }
        if classes == Classes::OfIgnoreFiles
            && let Some(name) = named(chars)
        {
            ranges.push_str(&name?);
            continue;
        }
        let low = class_character(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_character(chars)? } else { low };
        if low > high && classes == Classes::OfIgnoreFiles {
            return None;
        }
        if low <= high {
            ranges.push_str(&format!(r"\x{{{:x}}}-\x{{{:x}}}", u32::from(low), u32::from(high)));
        } else {
            // As in Go, an inverted range matches nothing; the intersection is empty.
            ranges.push_str(r"[a&&b]");
        }
    }
    Some(if negated { format!("[^{ranges}]") } else { format!("[{ranges}]") })
}

/// The names of sets of ASCII characters.
const NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// Characters of the longest of them with what is around it, `[:^xdigit:]`.
const LONGEST: usize = 11;

/// `[:name:]` or `[:^name:]`, if that is what comes; within, `None` if no set is called so.
fn named(chars: &mut Peekable<Chars<'_>>) -> Option<Option<String>> {
    let rest: String = chars.clone().take(LONGEST).collect();
    let (name, _) = rest.strip_prefix("[:")?.split_once(":]")?;
    chars.nth(name.chars().count() + 3);
    let is_known = NAMES.contains(&name.strip_prefix('^').unwrap_or(name));
    Some(is_known.then(|| format!("[:{name}:]")))
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
        check("a??c", &["abbc"], &["a\u{fc}c"]);
        check("a[^a][^a]c", &["abbc"], &["a\u{fc}c"]);
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
        assert!(Glob::new("a??b").expect("well-formed").matches(b"a\xe2\x98b"), "half a character is two");
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
