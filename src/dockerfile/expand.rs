//! Expansion of variables, quotes and escapes in a word, as BuildKit's `shell/lex.go` does it.
//!
//! Forms: `$v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?m} ${v?m} ${v#p} ${v##p} ${v%p} ${v%%p} ${v/p/r} ${v//p/r}`. Words,
//! messages, patterns and replacements are themselves expanded, also where they are not used. Single quotes keep all,
//! double quotes keep blanks and expand; special and positional parameters are empty unless `lookup` knows them.
//! A result is at most 1 MiB and forms nest at most 100 deep, so that no Dockerfile exhausts memory or the stack.

use std::iter::Peekable;
use std::str::Chars;

use thiserror::Error;

use super::Escape;
use super::shell_pattern::{self, Extent, Occurrences};

/// More than any use needs: `execve(2)` takes no string of 128 KiB.
const MAX_RESULT: usize = 1 << 20;
const MAX_DEPTH: usize = 100;

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExpandError {
    /// The text breaks the grammar.
    #[error("{0}")]
    Syntax(String),
    /// `${v?message}` and the variable is not set, or is empty with `:?`.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The message given, or one of ours.
        message: String,
    },
    /// A pattern with an escape that it does not know.
    #[error("invalid pattern {0:?}")]
    Pattern(String),
    /// The result would be over 1 MiB.
    #[error("it expands to more than 1 MiB")]
    TooLong,
    /// Forms nested over 100 deep.
    #[error("variables are nested too deep")]
    TooDeep,
}

/// Values of variables: `None` is unset.
type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Expands `word` to one string; blanks stay as they are.
pub fn expand(word: &str, escape: Escape, lookup: &Lookup<'_>) -> Result<String, ExpandError> {
    Ok(process(word, escape, lookup)?.text)
}

/// Expands `word` and splits the result on blanks that are neither quoted nor escaped, those from variables included.
pub fn expand_words(word: &str, escape: Escape, lookup: &Lookup<'_>) -> Result<Vec<String>, ExpandError> {
    let mut expanded = process(word, escape, lookup)?;
    expanded.end_word();
    Ok(expanded.words)
}

/// Expands the body of a here-document: variables are replaced, quotes stay and hide nothing. A backslash takes the special
/// meaning of the next character and goes, whatever the escape directive says.
pub fn expand_body(body: &str, lookup: &Lookup<'_>) -> Result<String, ExpandError> {
    let mut lexer = Lexer { quotes: Quotes::Keep, ..Lexer::new(body, Escape::Backslash, lookup) };
    Ok(lexer.until(None, Escapes::Resolve)?.text)
}

/// The variables that `word` uses as `$v` or `${v}` and that `lookup` does not know, in order. Forms that say what an unset
/// variable stands for, such as `${v:-w}`, do not count. None if the word breaks the grammar.
pub fn undefined_in(word: &str, escape: Escape, lookup: &Lookup<'_>) -> Vec<String> {
    let mut lexer = Lexer::new(word, escape, lookup);
    match lexer.until(None, Escapes::Resolve) {
        Ok(_) => lexer.undefined,
        Err(_) => Vec::new(),
    }
}

fn process(word: &str, escape: Escape, lookup: &Lookup<'_>) -> Result<Expanded, ExpandError> {
    Lexer::new(word, escape, lookup).until(None, Escapes::Resolve)
}

/// What has been expanded so far: the whole text, and the same in words.
#[derive(Default)]
struct Expanded {
    text: String,
    words: Vec<String>,
    word: String,
}

impl Expanded {
    /// Appends text whose blanks separate words.
    fn push_bare(&mut self, text: &str) -> Result<(), ExpandError> {
        for c in text.chars() {
            if c.is_whitespace() { self.end_word() } else { self.word.push(c) }
        }
        self.push_text(text)
    }

    /// Appends text that is part of a word whatever is in it.
    fn push_quoted(&mut self, text: &str) -> Result<(), ExpandError> {
        self.word.push_str(text);
        self.push_text(text)
    }

    fn push_text(&mut self, text: &str) -> Result<(), ExpandError> {
        push_limited(&mut self.text, text)
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }
}

fn push_limited(out: &mut String, text: &str) -> Result<(), ExpandError> {
    if out.len() + text.len() > MAX_RESULT {
        return Err(ExpandError::TooLong);
    }
    out.push_str(text);
    Ok(())
}

/// What becomes of escape characters: in patterns they stay, for the pattern to read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Resolve,
    Keep,
}

/// What becomes of quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Resolve,
    Keep,
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    escape: char,
    quotes: Quotes,
    lookup: &'a Lookup<'a>,
    depth: usize,
    /// Used in a form that gives nothing for an unset variable, and unset.
    undefined: Vec<String>,
}

fn syntax(message: impl Into<String>) -> ExpandError {
    ExpandError::Syntax(message.into())
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, escape: Escape, lookup: &'a Lookup<'a>) -> Self {
        let (chars, escape) = (text.chars().peekable(), escape.as_char());
        Lexer { chars, escape, quotes: Quotes::Resolve, lookup, depth: 0, undefined: Vec::new() }
    }

    /// Expands up to `stop`, which is consumed, or to the end where there is no stop.
    fn until(&mut self, stop: Option<char>, escapes: Escapes) -> Result<Expanded, ExpandError> {
        let mut out = Expanded::default();
        while let Some(c) = self.chars.next() {
            match c {
                _ if Some(c) == stop => return Ok(out),
                '\'' if self.quotes == Quotes::Resolve => out.push_quoted(&self.single_quoted()?)?,
                '"' if self.quotes == Quotes::Resolve => out.push_quoted(&self.double_quoted(escapes)?)?,
                '$' => out.push_bare(&self.dollar()?)?,
                _ if c == self.escape => self.escaped(&mut out, escapes)?,
                _ => out.push_bare(c.encode_utf8(&mut [0; 4]))?,
            }
        }
        match stop {
            None => Ok(out),
            Some(stop) => Err(syntax(format!("missing {stop:?} in ${{}}"))),
        }
    }

    fn escaped(&mut self, out: &mut Expanded, escapes: Escapes) -> Result<(), ExpandError> {
        if escapes == Escapes::Keep {
            out.push_quoted(self.escape.encode_utf8(&mut [0; 4]))?;
        }
        match self.chars.next() {
            Some(c) => out.push_quoted(c.encode_utf8(&mut [0; 4])),
            None => Ok(()),
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let mut out = String::new();
        loop {
            match self.chars.next() {
                None => return Err(syntax("a single quote is not closed")),
                Some('\'') => return Ok(out),
                Some(c) => out.push(c),
            }
        }
    }

    /// The escape character escapes `"`, `$` and itself here; before anything else it stands for itself.
    fn double_quoted(&mut self, escapes: Escapes) -> Result<String, ExpandError> {
        let mut out = String::new();
        loop {
            match self.chars.next() {
                None => return Err(syntax("a double quote is not closed")),
                Some('"') => return Ok(out),
                Some('$') => push_limited(&mut out, &self.dollar()?)?,
                Some(c) if c == self.escape => {
                    let escape = self.escape;
                    let escaped = self.chars.next_if(|next| matches!(next, '"' | '$') || *next == escape);
                    if escapes == Escapes::Keep && escaped.is_some() {
                        out.push(c);
                    }
                    out.push(escaped.unwrap_or(c));
                }
                Some(c) => out.push(c),
            }
        }
    }

    /// What follows a `$`. One that no name follows stands for itself.
    fn dollar(&mut self) -> Result<String, ExpandError> {
        if self.chars.next_if_eq(&'{').is_some() {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(ExpandError::TooDeep);
            }
            let value = self.braced();
            self.depth -= 1;
            return value;
        }
        let name = self.name();
        if name.is_empty() { Ok("$".to_owned()) } else { Ok(self.plain(&name)) }
    }

    /// The value of a variable for which nothing else is given. A special or positional parameter is never undefined.
    fn plain(&mut self, name: &str) -> String {
        let value = (self.lookup)(name);
        if value.is_none() && name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            self.undefined.push(name.to_owned());
        }
        value.unwrap_or_default()
    }

    /// A name, a positional parameter (digits), a special parameter (one character), or nothing.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek() {
            Some(c) if c.is_ascii_digit() => {
                while let Some(digit) = self.chars.next_if(char::is_ascii_digit) {
                    name.push(digit);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.chars.next()),
            _ => {
                while let Some(c) = self.chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    name.push(c);
                }
            }
        }
        name
    }

    /// The rest of `${`.
    fn braced(&mut self) -> Result<String, ExpandError> {
        let name = self.name();
        if name.is_empty() && self.chars.peek().is_some() {
            return Err(syntax("bad substitution: ${ needs a name"));
        }
        let value = (self.lookup)(&name);
        match self.chars.next() {
            None => Err(syntax("missing '}' in ${}")),
            Some('}') => Ok(self.plain(&name)),
            Some(':') => self.conditional(&name, value.filter(|value| !value.is_empty())),
            Some(c @ ('-' | '+' | '?')) => self.alternative(c, &name, value, "is not set"),
            Some('#') => self.trimmed('#', &value.unwrap_or_default()),
            Some('%') => self.trimmed('%', &value.unwrap_or_default()),
            Some('/') => self.replaced(&value.unwrap_or_default()),
            Some(c) => Err(unsupported(&name, &c.to_string())),
        }
    }

    /// The rest of `${v:`, where an empty value counts as unset.
    fn conditional(&mut self, name: &str, value: Option<String>) -> Result<String, ExpandError> {
        match self.chars.next() {
            None => Err(syntax("missing '}' in ${}")),
            Some(c @ ('-' | '+' | '?')) => self.alternative(c, name, value, "is not set or empty"),
            Some(c) => Err(unsupported(name, &format!(":{c}"))),
        }
    }

    /// The rest of `${v-`, `${v+` or `${v?`.
    fn alternative(&mut self, form: char, name: &str, value: Option<String>, why: &str) -> Result<String, ExpandError> {
        let word = self.until(Some('}'), Escapes::Resolve)?.text;
        match (form, value) {
            ('-', value) => Ok(value.unwrap_or(word)),
            ('+', value) => Ok(value.map(|_| word).unwrap_or_default()),
            (_, Some(value)) => Ok(value),
            (_, None) => {
                let message = if word.is_empty() { why.to_owned() } else { word };
                Err(ExpandError::Required { name: name.to_owned(), message })
            }
        }
    }

    /// The rest of `${v#` or `${v%`: the value without the shortest match at its start or end; doubled, the longest.
    fn trimmed(&mut self, form: char, value: &str) -> Result<String, ExpandError> {
        let extent = if self.chars.next_if_eq(&form).is_some() { Extent::Longest } else { Extent::Shortest };
        let pattern = self.until(Some('}'), Escapes::Keep)?.text;
        let trim = if form == '#' { shell_pattern::without_prefix } else { shell_pattern::without_suffix };
        trim(value, &pattern, extent).ok_or(ExpandError::Pattern(pattern))
    }

    /// The rest of `${v/`: the value with the first match replaced; with `//`, all.
    fn replaced(&mut self, value: &str) -> Result<String, ExpandError> {
        let which = if self.chars.next_if_eq(&'/').is_some() { Occurrences::All } else { Occurrences::First };
        let pattern = self.until(Some('/'), Escapes::Keep)?.text;
        let replacement = self.until(Some('}'), Escapes::Keep)?.text;
        let replaced = shell_pattern::replace(value, &pattern, &replacement, which, MAX_RESULT);
        replaced.ok_or(ExpandError::Pattern(pattern))
    }
}

fn unsupported(name: &str, form: &str) -> ExpandError {
    let instead = if form == ":=" { format!("; ${{{name}:-…}} is a default") } else { String::new() };
    syntax(format!("unsupported form ${{{name}{form}…}}{instead}"))
}

#[cfg(test)]
mod tests;
