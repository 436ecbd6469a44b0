//! What is promised of each target, beside that nothing panics.

use silt::dockerfile::ignore::Ignore;
use silt::dockerfile::{Escape, expand, expand_body, expand_words, glob::Glob, parse, quote, undefined_in};
use silt::plan::{Compat, Options, differences, lint, plan};

use super::Verdict;

/// More than any expansion gives.
const LIMIT: usize = 1 << 20;

/// A file that parses prints as one that parses to the same, and prints so again. Spans lie inside the file, in order. What
/// can be planned can be shown, checked and compared.
pub fn parser(input: &[u8]) -> Verdict {
    let lines = input.split(|b| *b == b'\n').count() as u32;
    let file = match parse(input) {
        Ok(file) => file,
        Err(error) => {
            assert!((1..=lines).contains(&error.line()), "{error}");
            return Verdict::Refused;
        }
    };
    let mut last = 0;
    for located in &file.instructions {
        assert!(last < located.span.first && located.span.first <= located.span.last);
        last = located.span.last;
        let _ = quote(input, located.span, &located.text);
    }
    assert!(last <= lines);
    let printed = file.to_string();
    let again = parse(printed.as_bytes()).unwrap_or_else(|error| panic!("{printed:?}: {error}"));
    assert_eq!(again.instructions.len(), file.instructions.len(), "{printed:?}");
    for (again, first) in again.instructions.iter().zip(&file.instructions) {
        assert_eq!(again.instruction, first.instruction, "{printed:?}");
    }
    assert_eq!(again.to_string(), printed);
    let options = Options::default();
    let _ = lint::lint(input, &file, &options, &Ignore::default());
    if let Ok(plan) = plan(&file, &options) {
        let _ = (plan.to_string(), differences(&file, &plan, &Compat::default()));
    }
    Verdict::Accepted
}

/// The first line is the value of `$a`, the rest is the word. A result is bounded, and its words are the whole without
/// blanks. Where nothing is undefined, the value of what is not asked for does not matter.
pub fn expander(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let (value, word) = text.split_once('\n').unwrap_or(("x y", &text));
    let lookup = |name: &str| (name == "a" || name == "b").then(|| value.to_owned());
    for escape in [Escape::Backslash, Escape::Backtick] {
        let whole = expand(word, escape, &lookup);
        let words = expand_words(word, escape, &lookup);
        assert_eq!(whole.is_ok(), words.is_ok());
        if let (Ok(whole), Ok(words)) = (&whole, words) {
            assert!(whole.len() <= LIMIT);
            let without = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(without(whole), words.iter().map(|word| without(word)).collect::<String>());
        }
        let _ = undefined_in(word, escape, &lookup);
    }
    match expand_body(word, &lookup) {
        Ok(body) => {
            assert!(body.len() <= LIMIT);
            assert!(word.contains(['$', '\\']) || body == word);
            Verdict::Accepted
        }
        Err(_) => Verdict::Refused,
    }
}

/// The first line is a path, the rest an ignore file. What is excluded is so by a line of the file; what is not can be
/// reached through its parents.
pub fn ignore(input: &[u8]) -> Verdict {
    let split = input.iter().position(|b| *b == b'\n').unwrap_or(input.len());
    let (path, file) = (&input[..split], input.get(split + 1..).unwrap_or_default());
    if let Ok(text) = std::str::from_utf8(path)
        && let Ok(glob) = Glob::new(text)
    {
        let _ = glob.matches(file);
    }
    let Ok(ignore) = Ignore::parse(file) else { return Verdict::Refused };
    let parts = path.split(|b| *b == b'/').filter(|part| !matches!(part, &b"" | &b"." | &b".."));
    let parts: Vec<&[u8]> = parts.collect();
    let path = parts.join(&b'/');
    let lines = file.split(|b| *b == b'\n').count() as u32;
    match ignore.excluded(&path) {
        Some(line) => assert!((1..=lines).contains(&line)),
        None => {
            for depth in 0..parts.len() {
                let above = parts[..depth].join(&b'/');
                assert!(ignore.excluded(&above).is_none() || ignore.may_include_below(&above));
            }
        }
    }
    Verdict::Accepted
}
