//! Splitting the text of an instruction into words, quotes and escapes kept for the expansion to come.

use super::Escape;

/// The words between runs of blanks; quotes mean nothing here.
pub(super) fn on_blanks(text: &str) -> Vec<String> {
    text.split(is_blank).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Cuts the text at its first run of blanks.
pub(super) fn first_blank(text: &str) -> Option<(&str, &str)> {
    let (first, rest) = text.split_once(is_blank)?;
    Some((first, rest.trim_start_matches(is_blank)))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

/// The words, where a quoted or escaped blank does not end one. Quotes and escapes stay in the words; an escape
/// character that ends the text is dropped.
pub(super) fn quoted(text: &str, escape: Escape) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        if c == escape.as_char() && quote != Some('\'') {
            let Some(escaped) = chars.next() else {
                trim_end(&mut word, escape);
                break;
            };
            word.push(c);
            word.push(escaped);
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Cuts blanks off the last word, as they are off a line that ends with them; an escape that was before one goes with it.
fn trim_end(word: &mut String, escape: Escape) {
    while word.ends_with(char::is_whitespace) {
        word.truncate(word.trim_end().len());
        let escapes = word.chars().rev().take_while(|c| *c == escape.as_char()).count();
        if escapes % 2 == 1 {
            word.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(quoted(text, Escape::Backslash), expected, "{text:?}");
    }

    #[test]
    fn quoted_words() {
        check("", &[]);
        check("  ", &[]);
        check("a  b\tc", &["a", "b", "c"]);
        check("a=\"b c\" d", &["a=\"b c\"", "d"]);
        check("a='b c'd e", &["a='b c'd", "e"]);
        check("a=b\\ c d", &["a=b\\ c", "d"]);
        check("a=\"b\\\" c\" d", &["a=\"b\\\" c\"", "d"]);
        check("a='b\\' c", &["a='b\\'", "c"]);
        check("\"\" a", &["\"\"", "a"]);
        check("a\\", &["a"]);
        check("\"a b", &["\"a b"]);
        check("a \"b  \\", &["a", "\"b"]);
        check("a b\\ \\", &["a", "b"]);
        check("\"b\\\\ \\", &["\"b\\\\"]);
        check("a=한국 b", &["a=한국", "b"]);
    }

    #[test]
    fn the_escape_character_can_be_a_backtick() {
        assert_eq!(quoted("a=c:\\ b` c", Escape::Backtick), ["a=c:\\", "b` c"]);
    }

    #[test]
    fn words_on_blanks() {
        assert_eq!(on_blanks(" a \t\"b c\" "), ["a", "\"b", "c\""]);
        assert_eq!(first_blank("RUN  \ta b"), Some(("RUN", "a b")));
        assert_eq!(first_blank("RUN"), None);
    }
}
