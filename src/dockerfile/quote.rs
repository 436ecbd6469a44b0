//! Shows where in a Dockerfile a message belongs: the line, and a caret under what the message names.
//!
//! What to point at is found in the message itself: what it has in quotes or parentheses, or a flag that it names, if it
//! stands in the instruction. Otherwise the instruction's name is marked.

use super::{Span, shown_of};

/// The longest part of a line that is shown, in characters.
const WIDTH: usize = 160;

/// Two lines, ` 3 | COPY --form=b c d` and ` … ^^^^^^`, for an instruction of `source` and a message about it. Empty if the
/// source has no such line.
pub fn quote(source: &[u8], span: Span, message: &str) -> String {
    let source = String::from_utf8_lossy(source);
    let source = source.strip_prefix('\u{feff}').unwrap_or(&source);
    let lines: Vec<&str> = source.lines().collect();
    let first = span.first.max(1) as usize - 1;
    let last = (span.last as usize).min(lines.len());
    let Some(own) = lines.get(first..last).filter(|own| !own.is_empty()) else { return String::new() };
    let lines: Vec<String> = own.iter().map(|line| shown_of(own[0], line)).collect();
    let (index, at, length) = place(&lines, &shown_of(own[0], message));
    draw(first + index + 1, &lines[index], at, length)
}

/// The line, the byte and the number of bytes to mark.
fn place(lines: &[String], message: &str) -> (usize, usize, usize) {
    for word in candidates(message) {
        for (index, line) in lines.iter().enumerate() {
            if let Some(at) = find(line, word) {
                return (index, at, word.len());
            }
        }
    }
    let indent = lines[0].len() - lines[0].trim_start().len();
    let name = lines[0].split_whitespace().next().unwrap_or_default();
    (0, indent, name.len())
}

/// What a message may be about, the surest first.
fn candidates(message: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (open, close) in [('"', '"'), ('`', '`'), ('(', ')'), ('\'', '\'')] {
        let mut rest = message;
        while let Some((_, after)) = rest.split_once(open) {
            let Some((inside, after)) = after.split_once(close) else { break };
            found.extend(Some(inside).filter(|inside| !inside.is_empty() && !inside.starts_with("did you mean")));
            rest = after;
        }
    }
    let words = message.split_whitespace().map(|word| word.trim_end_matches([':', ',', ';']));
    found.extend(words.filter(|word| word.starts_with("--") && word.len() > 2));
    found
}

/// Where `word` stands by itself: not inside a longer run of letters and digits.
fn find(line: &str, word: &str) -> Option<usize> {
    let is_inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
    line.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = line[..*at].chars().next_back().filter(|_| word.starts_with(char::is_alphanumeric));
        let after = line[at + word.len()..].chars().next().filter(|_| word.ends_with(char::is_alphanumeric));
        !is_inner(before) && !is_inner(after)
    })
}

fn draw(number: usize, line: &str, at: usize, length: usize) -> String {
    let before = line[..at].chars().count();
    let cut = before.saturating_sub(WIDTH / 2);
    let shown: String = line.chars().skip(cut).take(WIDTH).map(visible).collect();
    let width = line[at..at + length].chars().count().clamp(1, WIDTH.saturating_sub(before - cut).max(1));
    let number = number.to_string();
    let margin = " ".repeat(number.len());
    format!(" {number} | {}\n {margin} | {}{}", shown.trim_end(), " ".repeat(before - cut), "^".repeat(width))
}

/// A character that takes one column and does nothing to a terminal.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, (first, last): (u32, u32), message: &str, expected: &str) {
        assert_eq!(quote(source.as_bytes(), Span { first, last }, message), expected, "{source:?} {message}");
    }

    #[test]
    fn what_the_message_names_is_marked() {
        let source = "FROM a\nCOPY --form=b c d\n";
        check(
            source,
            (2, 2),
            "unknown flag: --form for COPY (did you mean --from?)",
            " 2 | COPY --form=b c d\n   |      ^^^^^^",
        );
        check(source, (2, 2), "\"c\" is not in the build context", " 2 | COPY --form=b c d\n   |               ^");
        check(source, (1, 1), "no idea", " 1 | FROM a\n   | ^^^^");
        check(source, (2, 2), "\"orm\" is in the middle", " 2 | COPY --form=b c d\n   | ^^^^");
        check("  RUN x", (1, 1), "no idea", " 1 |   RUN x\n   |   ^^^");
    }

    #[test]
    fn the_line_of_several_that_has_it() {
        check("RUN a \\\n  && \"b c\" \\\n  d", (1, 3), "(d)", " 3 |   d\n   |   ^");
        check("\u{feff}\tCOPY a\u{e9} b", (1, 1), "\"b\"", " 1 |  COPY a\u{e9} b\n   |          ^");
    }

    #[test]
    fn lines_that_are_long_or_missing() {
        check("RUN a", (7, 9), "x", "");
        check("", (1, 1), "x", "");
        check("\n", (1, 1), "x", " 1 | \n   | ^");
        let source = format!("RUN {} --bad {}", "x".repeat(1000), "y".repeat(1000));
        let shown = quote(source.as_bytes(), Span { first: 1, last: 1 }, "--bad");
        let rows: Vec<&str> = shown.lines().collect();
        assert!(rows[0].chars().count() <= WIDTH + 6, "{shown}");
        let at = rows[1].chars().position(|c| c == '^').expect("a caret");
        assert!(rows[0].chars().skip(at).collect::<String>().starts_with("--bad"), "{shown}");
        assert!(!quote(b"RUN \x1b[2J", Span { first: 1, last: 1 }, "x").contains('\x1b'));
    }

    proptest::proptest! {
        #[test]
        fn any_message_for_any_source(source in r"(\PC|[\n\t\r]){0,60}", first in 0u32..5, last in 0u32..5, message in r#"(\PC|["()`]){0,30}"#) {
            let _ = quote(source.as_bytes(), Span { first, last }, &message);
        }
    }
}
