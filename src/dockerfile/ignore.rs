//! `.dockerignore`: which paths of a context are left out. The rules of moby's `patternmatcher`, over bytes.
//!
//! A pattern matches a path or any directory above it; the last that matches decides, `!` brings back. `*`, `?`, classes
//! and `\` are those of [`super::glob`]; `**` is any number of directories. A `#` in the first column makes a comment.
//! Where `patternmatcher` strays from its documentation we do not follow it: `\d` is the letter d and `^` itself, though it
//! hands both to its regular expressions; and a pattern counts for what is below a directory whether or not another one had
//! decided on that directory.
//! All patterns are one automaton: a path costs one scan of its bytes, whatever the number of patterns.

use std::iter::Peekable;
use std::str::Chars;

use regex::{RegexSet, RegexSetBuilder};
use thiserror::Error;

use super::glob::{self, Classes};

/// Room for some thousands of patterns.
const MAX_AUTOMATON: usize = 64 << 20;

/// The patterns of an ignore file.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    set: RegexSet,
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    line: u32,
    effect: Effect,
    /// The leading components without special characters, each with its slash.
    fixed: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Exclude,
    Include,
}

/// A bad pattern and its line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct IgnoreError {
    /// The line, from 1; of the first pattern if the whole is too large.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

impl Ignore {
    /// Parses an ignore file.
    pub fn parse(bytes: &[u8]) -> Result<Ignore, IgnoreError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut patterns = Vec::new();
        let mut regexes = Vec::new();
        for (line, bytes) in (1..).zip(bytes.split(|b| *b == b'\n')) {
            let fail = |message: String| IgnoreError { line, message };
            if bytes.starts_with(b"#") {
                continue;
            }
            let text = std::str::from_utf8(bytes).map_err(|_| fail("the pattern is not valid UTF-8".to_owned()))?;
            let Some((effect, pattern)) = clean(text).map_err(fail)? else { continue };
            let regex = translate(&pattern).ok_or_else(|| fail(format!("malformed pattern {pattern:?}")))?;
            regexes.push(regex);
            patterns.push(Pattern { line, effect, fixed: fixed(&pattern) });
        }
        let set = RegexSetBuilder::new(&regexes).size_limit(MAX_AUTOMATON).dfa_size_limit(MAX_AUTOMATON).build();
        let set = set.map_err(|_| IgnoreError {
            line: patterns.first().map_or(1, |pattern| pattern.line),
            message: "the patterns are too large".to_owned(),
        })?;
        Ok(Ignore { set, patterns })
    }

    /// The line of the pattern that leaves `path` out, if one does. `path` is relative to the context, clean, without a
    /// slash at either end; the empty path, the context itself, is never left out.
    pub fn excluded(&self, path: &[u8]) -> Option<u32> {
        if path.is_empty() || self.patterns.is_empty() {
            return None;
        }
        let last = self.set.matches(&glob::characters(path)).iter().next_back()?;
        let pattern = &self.patterns[last];
        (pattern.effect == Effect::Exclude).then_some(pattern.line)
    }

    /// Whether something below the directory `path` may be brought back by an exception. A walk need not enter a
    /// directory that is left out and for which this is false.
    pub fn may_include_below(&self, path: &[u8]) -> bool {
        let below = [path, b"/"].concat();
        let below = if path.is_empty() { &[][..] } else { &below[..] };
        let mut exceptions = self.patterns.iter().filter(|pattern| pattern.effect == Effect::Include);
        exceptions.any(|pattern| pattern.fixed.starts_with(below) || below.starts_with(&pattern.fixed))
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}

/// A line as effect and clean pattern; `None` if nothing is left of it.
fn clean(line: &str) -> Result<Option<(Effect, String)>, String> {
    let line = line.trim();
    let (effect, pattern) = match line.strip_prefix('!') {
        Some(pattern) => (Effect::Include, pattern.trim()),
        None => (Effect::Exclude, line),
    };
    match (effect, pattern) {
        (Effect::Include, "") => Err("an exception needs a pattern after !".to_owned()),
        (_, "") => Ok(None),
        (effect, pattern) => match clean_path(pattern) {
            None if effect == Effect::Include && pattern.starts_with('/') => {
                Err("an exception needs a path after !, and this is the context itself".to_owned())
            }
            cleaned => Ok(cleaned.map(|pattern| (effect, pattern))),
        },
    }
}

/// The path without empty, `.` and `..` components; `None` for the context itself or what lies outside it.
fn clean_path(path: &str) -> Option<String> {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() && !is_absolute => return None,
            ".." => {}
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// The leading components of a pattern that stand for themselves, each with a slash after it.
fn fixed(pattern: &str) -> Vec<u8> {
    let fixed = pattern.split('/').take_while(|part| !glob::is_pattern(part));
    fixed.flat_map(|part| part.bytes().chain([b'/'])).collect()
}

/// The regular expression for a path that the pattern matches, or that has such a directory above it.
fn translate(pattern: &str) -> Option<String> {
    let mut regex = String::from(r"\A(?s)");
    let mut chars = pattern.chars().peekable();
    let mut is_first = true;
    // Only without special characters elsewhere does a leading `**` not stop at a slash: `**a` matches `xa`, `**a*` does not.
    let is_suffix = pattern.strip_prefix("**").is_some_and(|rest| !glob::is_pattern(rest) && !rest.contains(']'));
    while let Some(c) = chars.next() {
        if c == '*' && chars.next_if_eq(&'*').is_some() {
            regex.push_str(any_depth(&mut chars, is_first && is_suffix));
        } else if c == '*' {
            regex.push_str(glob::RUN);
        } else {
            regex.push_str(&glob::one(c, &mut chars, Classes::OfIgnoreFiles)?);
        }
        is_first = false;
    }
    regex.push_str(r"(?:/|\z)");
    Some(regex)
}

/// The regular expression of a `**` whose rest is `chars`; a slash after it is part of it.
fn any_depth(chars: &mut Peekable<Chars<'_>>, is_suffix: bool) -> &'static str {
    let has_slash = chars.next_if_eq(&'/').is_some();
    match chars.peek() {
        None => ".*",
        Some(_) if is_suffix && !has_slash => ".*",
        Some(_) => "(?:.*/)?",
    }
}

#[cfg(test)]
mod tests;
