//! From bytes to logical lines: byte order mark, CRLF, parser directives, comments, continuations.
//!
//! A line continues where its last character, trailing blanks aside, is the escape character and the one before is not.
//! Comment lines and blank lines between continued lines vanish, the latter with a warning. The bodies of here-documents
//! follow the line that begins them and are kept byte for byte.

use super::{Directives, Error, Escape, Heredoc, Problem, Span, Warning, heredoc, parse};

/// A whole file in logical lines.
pub(super) struct Lines {
    pub directives: Directives,
    pub lines: Vec<Line>,
    pub warnings: Vec<Warning>,
}

/// A logical line, not blank, without blanks around it.
pub(super) struct Line {
    pub span: Span,
    pub text: String,
    /// The here-documents that it begins, in order.
    pub documents: Vec<Heredoc>,
}

/// Splits `bytes` into logical lines.
pub(super) fn read(bytes: &[u8]) -> Result<Lines, Error> {
    let physical = physical_lines(bytes);
    let (directives, mut next) = read_directives(&physical)?;
    let mut read = Lines { directives, lines: Vec::new(), warnings: Vec::new() };
    while next < physical.len() {
        let first = trim_start(physical[next]);
        if first.is_empty() || first[0] == b'#' {
            next += 1;
            continue;
        }
        let (joined, last) = join(&physical, next, read.directives.escape, &mut read.warnings);
        let mut span = Span { first: number(next), last: number(last) };
        next = last + 1;
        let text = String::from_utf8(joined).map_err(|_| Error::new(span.first, Problem::NotUtf8))?;
        let text = text.trim().to_owned();
        if text.is_empty() {
            continue;
        }
        let mut documents = parse::heredoc_text(&text).map(heredoc::marks).unwrap_or_default();
        for document in &mut documents {
            next = body(document, &physical, next).map_err(|problem| Error::new(span.first, problem))?;
        }
        span.last = number(next - 1);
        read.lines.push(Line { span, text, documents });
    }
    Ok(read)
}

/// The lines with their ends; a leading byte order mark is dropped.
fn physical_lines(bytes: &[u8]) -> Vec<&[u8]> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.split_inclusive(|b| *b == b'\n').collect()
}

/// The line without its end, `\n` or `\r\n`.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Reads the body of `document`, which begins at `first`, and tells at which line the file goes on.
fn body(document: &mut Heredoc, lines: &[&[u8]], first: usize) -> Result<usize, Problem> {
    for (index, line) in lines.iter().enumerate().skip(first) {
        let line = std::str::from_utf8(line).map_err(|_| Problem::NotUtf8)?;
        if document.is_end(line.trim_end_matches(['\r', '\n'])) {
            return Ok(index + 1);
        }
        document.body.push_str(line);
    }
    Err(Problem::Unterminated(document.name.clone()))
}

/// Reads the directives and tells at which line they end.
fn read_directives(lines: &[&[u8]]) -> Result<(Directives, usize), Error> {
    let mut directives = Directives::default();
    let mut seen = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((key, value)) = directive(trim_start(without_end(line))) else { return Ok((directives, index)) };
        let fail = |message| Error::new(number(index), Problem::Directive(message));
        if !matches!(key.as_str(), "escape" | "syntax" | "check") {
            return Ok((directives, index));
        }
        if seen.contains(&key) {
            return Err(fail(format!("the directive {key} is given twice")));
        }
        match key.as_str() {
            "escape" => directives.escape = escape(&value).ok_or_else(|| fail(bad_escape(&value)))?,
            "syntax" => directives.syntax = Some(value),
            _ => directives.check = Some(value),
        }
        seen.push(key);
    }
    Ok((directives, lines.len()))
}

fn bad_escape(value: &str) -> String {
    format!("the directive escape must be \\ or `, not {value:?}")
}

fn escape(value: &str) -> Option<Escape> {
    [Escape::Backslash, Escape::Backtick].into_iter().find(|escape| value.chars().eq([escape.as_char()]))
}

/// `# key = value`, the key in lower case.
fn directive(line: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(line.strip_prefix(b"#")?);
    let (key, value) = text.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(|c| c.is_ascii_alphanumeric());
    (is_key && !value.is_empty()).then(|| (key.to_ascii_lowercase(), value.to_owned()))
}

/// Joins the line at `first` with those that continue it, and tells which is the last.
fn join(lines: &[&[u8]], first: usize, escape: Escape, warnings: &mut Vec<Warning>) -> (Vec<u8>, usize) {
    let (start, mut continues) = strip_continuation(trim_start(without_end(lines[first])), escape);
    let mut joined = start.to_vec();
    let mut last = first;
    let mut blank = None;
    while continues && last + 1 < lines.len() {
        last += 1;
        match trim_start(lines[last]) {
            [] => blank = blank.or(Some(last)),
            [b'#', ..] => {}
            _ => {
                let (part, more) = strip_continuation(without_end(lines[last]), escape);
                joined.extend_from_slice(part);
                continues = more;
            }
        }
    }
    if let Some(line) = blank {
        let message = "a blank line inside a continued instruction; it will become an error".to_owned();
        warnings.push(Warning { line: number(line), message });
    }
    (joined, last)
}

/// The line without a continuation mark at its end, and whether it had one.
fn strip_continuation(line: &[u8], escape: Escape) -> (&[u8], bool) {
    let mark = escape.as_char() as u8;
    let blanks = line.iter().rev().take_while(|b| matches!(b, b' ' | b'\t')).count();
    match line[..line.len() - blanks].split_last() {
        Some((last, rest)) if *last == mark && rest.last() != Some(&mark) => (rest, true),
        _ => (line, false),
    }
}

fn trim_start(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|b| b.is_ascii_whitespace() || **b == 0x0b).count();
    &line[blanks..]
}

/// The number, from 1, of the line at `index`.
fn number(index: usize) -> u32 {
    u32::try_from(index).map_or(u32::MAX, |index| index.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(u32, u32, &str)]) {
        let read = read(text.as_bytes()).expect("readable");
        let lines: Vec<_> = read.lines.iter().map(|l| (l.span.first, l.span.last, l.text.as_str())).collect();
        assert_eq!(lines, expected, "{text:?}");
    }

    #[test]
    fn logical_lines() {
        check("FROM a", &[(1, 1, "FROM a")]);
        check("\u{feff}FROM a\r\nRUN b\r\n", &[(1, 1, "FROM a"), (2, 2, "RUN b")]);
        check("\n\n  \n# c\n\tFROM a  \n", &[(5, 5, "FROM a")]);
        check("RUN a \\\n  b\nRUN c", &[(1, 2, "RUN a   b"), (3, 3, "RUN c")]);
        check("RUN a \\  \t\r\n&& b", &[(1, 2, "RUN a && b")]);
        check("RUN a \\\n # comment \\\n#\n b \\\n\n\n c\nRUN d", &[(1, 7, "RUN a  b  c"), (8, 8, "RUN d")]);
        check("RUN echo a#b \\\n # c\n", &[(1, 2, "RUN echo a#b")]);
        check("RUN a \\\\\nRUN b", &[(1, 1, "RUN a \\\\"), (2, 2, "RUN b")]);
        check("RUN a \\", &[(1, 1, "RUN a")]);
        check("RUN a \\\n\\\nb", &[(1, 3, "RUN a b")]);
        check("\\\nRUN a", &[(1, 2, "RUN a")]);
        check("\\\n\\\n", &[]);
        check("RUN a `\nRUN b", &[(1, 1, "RUN a `"), (2, 2, "RUN b")]);
        check("# escape=`\nRUN a `\n b\\\nRUN c", &[(2, 3, "RUN a  b\\"), (4, 4, "RUN c")]);
        check("", &[]);
    }

    #[test]
    fn a_blank_continuation_line_warns_once_for_each_instruction() {
        let warnings = read(b"RUN a \\\n\n\n b\nRUN c \\\n\n d").expect("readable").warnings;
        assert_eq!(warnings.iter().map(|w| w.line).collect::<Vec<_>>(), [2, 6]);
    }

    #[test]
    fn bytes_that_are_not_utf8_may_stand_in_comments_only() {
        assert_eq!(read(b"# \xff\nRUN a \\\n# \xe9\n b").expect("comments").lines.len(), 1);
        let error = read(b"FROM a\nRUN a \\\n \xff").err().expect("an error");
        assert_eq!(error, Error::new(2, Problem::NotUtf8));
    }

    fn check_directives(text: &str, escape: Escape, syntax: Option<&str>, check: Option<&str>) {
        let directives = read(text.as_bytes()).expect("readable").directives;
        let expected = Directives { escape, syntax: syntax.map(str::to_owned), check: check.map(str::to_owned) };
        assert_eq!(directives, expected, "{text:?}");
    }

    #[test]
    fn directives() {
        check_directives("FROM a", Escape::Backslash, None, None);
        check_directives("#escape=`", Escape::Backtick, None, None);
        check_directives("# ESCAPE = ` \r\n", Escape::Backtick, None, None);
        check_directives(
            "# syntax=docker/dockerfile:1\n# escape=\\",
            Escape::Backslash,
            Some("docker/dockerfile:1"),
            None,
        );
        check_directives("# check=skip=all;error=true\n#escape=`", Escape::Backtick, None, Some("skip=all;error=true"));
        check_directives("# a comment\n# escape=`", Escape::Backslash, None, None);
        check_directives("# unknown=1\n# escape=`", Escape::Backslash, None, None);
        check_directives("\n# escape=`", Escape::Backslash, None, None);
        check_directives("FROM a\n# escape=`", Escape::Backslash, None, None);
        check_directives("# escape=\n", Escape::Backslash, None, None);
        check_directives("\u{feff}  # escape=`", Escape::Backtick, None, None);
    }

    #[test]
    fn bad_directives() {
        for (text, line) in [("# escape=x", 1), ("# syntax=a\n# escape=``", 2), ("# escape=`\n#Escape=`", 2)] {
            let error = read(text.as_bytes()).err().expect("an error");
            assert_eq!(error.line(), line, "{text:?}");
            assert!(matches!(error.problem(), Problem::Directive(_)), "{text:?}");
        }
    }
}
