//! `.dockerignore`: which paths of a context are left out. The rules of moby's `patternmatcher`, over bytes.
//!
//! A pattern matches a path or any directory above it; the last that matches decides, `!` brings back. `*`, `?`, classes
//! and `\` are those of [`super::glob`]; `**` is any number of directories. A `#` in the first column makes a comment.
//! All patterns are one automaton: a path costs one scan of its bytes, whatever the number of patterns.

use std::iter::Peekable;
use std::str::Chars;

use regex::bytes::{RegexSet, RegexSetBuilder};
use thiserror::Error;

use super::glob;

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
        let last = self.set.matches(path).iter().next_back()?;
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
        (effect, pattern) => Ok(clean_path(pattern).map(|pattern| (effect, pattern))),
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
    let is_suffix = pattern.starts_with("**") && !glob::is_pattern(pattern.trim_start_matches("**"));
    while let Some(c) = chars.next() {
        if c == '*' && chars.next_if_eq(&'*').is_some() {
            regex.push_str(any_depth(&mut chars, is_first && is_suffix));
        } else if c == '*' {
            regex.push_str(glob::RUN);
        } else {
            regex.push_str(&glob::one(c, &mut chars)?);
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
        None => "(?-u:.)*",
        Some(_) if is_suffix && !has_slash => "(?-u:.)*",
        Some(_) => "(?:(?-u:.)*/)?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `yes` are left out, `no` are not.
    fn check(file: &str, yes: &[&str], no: &[&str]) {
        let ignore = Ignore::parse(file.as_bytes()).expect(file);
        for path in yes {
            assert!(ignore.excluded(path.as_bytes()).is_some(), "{file:?} should leave out {path:?}");
        }
        for path in no {
            assert_eq!(ignore.excluded(path.as_bytes()), None, "{file:?} should keep {path:?}");
        }
    }

    #[test]
    fn patterns() {
        check("", &[], &["a"]);
        check("a", &["a", "a/b", "a/b/c"], &["ab", "b/a", "A"]);
        check("a/b", &["a/b", "a/b/c"], &["a", "b", "a/bc", "x/a/b"]);
        check("*", &["a", "a/b", ".a"], &[""]);
        check("*.go", &["a.go", ".go", "d.go/x"], &["d/a.go", "a.gox"]);
        check("*/*.go", &["d/a.go"], &["a.go", "d/e/a.go"]);
        check("a?", &["ab", "ab/c"], &["a", "abc", "a/b"]);
        check("[a-c]x", &["ax", "bx/y"], &["dx", "x"]);
        check("[^a]x", &["bx"], &["ax"]);
        check("a\\*b", &["a*b"], &["axb"]);
        check("a.b", &["a.b"], &["axb"]);
        check("(a|b)+$", &["(a|b)+$"], &["a", "b"]);
        check("\u{ac00}?", &["\u{ac00}\u{b098}"], &["\u{ac00}"]);
    }

    #[test]
    fn double_stars() {
        check("**", &["a", "a/b", ".x/y"], &[]);
        check("**/a", &["a", "x/a", "x/y/a", "x/a/b"], &["xa", "x/ya", "ab"]);
        check("**/*.go", &["a.go", "x/a.go", "x/y/a.go"], &["a.gox", "go"]);
        check("a/**", &["a/b", "a/b/c"], &["a", "ab/c"]);
        check("a/**/b", &["a/b", "a/x/b", "a/x/y/b", "a/x/b/c"], &["b", "a", "a/xb", "x/a/b"]);
        check("a/**/**/b", &["a/b", "a/x/y/b"], &["a/xb"]);
        check("a**", &["a", "ab", "ab/c", "a/b"], &["b", "ba"]);
        check("**.txt", &["a.txt", "x/a.txt", ".txt"], &["a.txtx", "txt"]);
        check("**a", &["a", "xa", "x/ya"], &["ab"]);
        check("**/a/**", &["a/b", "x/a/b"], &["a", "x/a", "xa/b"]);
        check("**/a/*.b", &["a/x.b", "y/a/x.b"], &["x.b", "a/y/x.b"]);
        // With another special character, the leading `**` ends at a slash.
        check("**a*", &["ab", "x/ab"], &["xab"]);
    }

    /// The examples of Docker's documentation of `.dockerignore`, in its order.
    #[test]
    fn examples_of_the_documentation() {
        let temps = &["somedir/temporary.txt", "somedir/temp"];
        check("*/temp*", temps, &["temporary.txt", "somedir/subdir/temporary.txt"]);
        check("*/*/temp*", &["somedir/subdir/temporary.txt"], temps);
        check("temp?", &["tempa", "tempb"], &["temp", "tempab", "x/tempa"]);
        check("**/*.go", &["a.go", "x/a.go", "x/y/z/a.go"], &["a.gox"]);
        check("*.md\n!README.md", &["a.md"], &["README.md", "x/a.md"]);
        check("/foo/bar", &["foo/bar"], &["x/foo/bar"]);
        check("foo/bar", &["foo/bar"], &["x/foo/bar"]);
    }

    #[test]
    fn lines_are_cleaned() {
        check("\u{feff}a\r\n\r\n  b  \n", &["a", "b"], &["c"]);
        check("# a\n#b", &[], &["a", "b", "# a", "#b"]);
        check(" #a", &["#a"], &["a"]);
        check("/a\n//b\n./c\n./d/\ne//f\ng/../h", &["a", "b", "c", "d", "e/f", "h"], &["g", "e"]);
        check("/", &[], &["a"]);
        check(".", &[], &["a"]);
        check("./", &[], &["a"]);
        check("../a\nb/../../c", &[], &["a", "b", "c"]);
        check("/../a", &["a"], &[]);
        check("a\n!.", &["a"], &["b"]);
    }

    #[test]
    fn the_last_match_decides() {
        check("*\n!a", &["b", "b/a"], &["a", "a/b"]);
        check("*.md\n!README*.md\nREADME-secret.md", &["a.md", "README-secret.md"], &["README.md"]);
        check("*.md\nREADME-secret.md\n!README*.md", &["a.md"], &["README.md", "README-secret.md"]);
        check("a\n!a/b", &["a", "a/c", "a/bc"], &["a/b", "a/b/c"]);
        check("a\n!a/b\na/b/c", &["a", "a/b/c", "a/b/c/d"], &["a/b", "a/b/d"]);
        check("**\n!**/keep", &["a", "a/b"], &["keep", "a/keep", "a/keep/b"]);
        check("!a\na", &["a"], &[]);
        check("! a", &[], &["a"]);
        check("a\n!  /a/b/  ", &["a/c"], &["a/b"]);
    }

    #[test]
    fn the_line_that_leaves_a_path_out() {
        let ignore = Ignore::parse(b"# comment\na\n\nb/*\n!b/c\na/x\n").expect("patterns");
        for (path, line) in [("a", 2), ("a/y", 2), ("a/x", 6), ("a/x/y", 6), ("b/d", 4)] {
            assert_eq!(ignore.excluded(path.as_bytes()), Some(line), "{path}");
        }
        assert_eq!(ignore.excluded(b"b/c"), None);
    }

    #[test]
    fn names_are_bytes() {
        let ignore = Ignore::parse(b"*.a\nb?\n[^x]z\n**/c").expect("patterns");
        for path in [&b"\xff.a"[..], b"b\xff", b"\xffz", b"\xff/\xfe/c", b"\xff\n.a"] {
            assert!(ignore.excluded(path).is_some(), "{path:?}");
        }
    }

    #[test]
    fn bad_patterns() {
        for (file, line) in [("a\n!", 2), ("[", 1), ("a\n\n[a-", 3), ("a\\", 1), ("[]", 1), ("!  ", 1)] {
            let error = Ignore::parse(file.as_bytes()).expect_err(file);
            assert_eq!(error.line, line, "{file:?}");
        }
        assert_eq!(Ignore::parse(b"a\n\xff").expect_err("not UTF-8").line, 2);
        assert!(Ignore::parse(b"# \xff\na").is_ok());
    }

    #[test]
    fn thousands_of_patterns() {
        let file: String = (0..3000).map(|i| format!("dir{i}/**/*.o\n")).collect();
        let ignore = Ignore::parse(file.as_bytes()).expect("they fit");
        assert_eq!(ignore.excluded(b"dir2999/a/b/c.o"), Some(3000));
        assert_eq!(ignore.excluded(b"dir3000/a/b/c.o"), None);
    }

    #[test]
    fn walks_skip_what_no_exception_can_bring_back() {
        let ignore = Ignore::parse(b"*\n!src/lib/*.rs\n!docs").expect("patterns");
        for (dir, enter) in [
            ("", true),
            ("src", true),
            ("src/lib", true),
            ("src/lib/x", true),
            ("docs/a", true),
            ("src/bin", false),
            ("do", false),
        ] {
            assert_eq!(ignore.may_include_below(dir.as_bytes()), enter, "{dir}");
        }
        assert!(!Ignore::parse(b"*").expect("patterns").may_include_below(b"a"));
        assert!(Ignore::parse(b"*\n!**/a").expect("patterns").may_include_below(b"x/y"));
    }

    /// What the documentation says, word for word: components against components, `**` any number of them.
    fn matches_components(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], []) => true,
            // At the end `**` needs something below.
            (["**"], path) => !path.is_empty(),
            (["**", rest @ ..], _) => (0..=path.len()).any(|skipped| matches_components(rest, &path[skipped..])),
            ([first, rest @ ..], [name, below @ ..]) => {
                glob::Glob::new(first).expect("well-formed").matches(name) && matches_components(rest, below)
            }
            _ => false,
        }
    }

    fn excluded_by_definition(patterns: &[String], path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let mut excluded = false;
        for pattern in patterns {
            let (is_exception, pattern) = pattern.strip_prefix('!').map_or((false, &pattern[..]), |rest| (true, rest));
            let pattern: Vec<&str> = pattern.split('/').collect();
            if (1..=parts.len()).any(|depth| matches_components(&pattern, &parts[..depth])) {
                excluded = !is_exception;
            }
        }
        excluded
    }

    fn patterns_strategy() -> impl Strategy<Value = Vec<String>> {
        let part =
            prop_oneof![4 => "[ab*?]{1,3}".prop_filter("no **", |s| !s.contains("**")), 1 => Just("**".to_owned())];
        let pattern = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
        let line = (prop::bool::weighted(0.3), pattern).prop_map(|(not, p)| if not { format!("!{p}") } else { p });
        prop::collection::vec(line, 0..5)
    }

    proptest! {
        #[test]
        fn the_automaton_is_the_definition(
            patterns in patterns_strategy(),
            path in prop::collection::vec("[ab]{1,3}", 1..4).prop_map(|parts| parts.join("/")),
        ) {
            let ignore = Ignore::parse(patterns.join("\n").as_bytes()).expect("well-formed");
            prop_assert_eq!(ignore.excluded(path.as_bytes()).is_some(), excluded_by_definition(&patterns, &path));
        }

        #[test]
        fn what_is_brought_back_is_reachable(
            patterns in patterns_strategy(),
            path in prop::collection::vec("[ab]{1,3}", 1..4),
        ) {
            let ignore = Ignore::parse(patterns.join("\n").as_bytes()).expect("well-formed");
            if ignore.excluded(path.join("/").as_bytes()).is_none() {
                for depth in 0..path.len() {
                    let dir = path[..depth].join("/");
                    prop_assert!(ignore.excluded(dir.as_bytes()).is_none() || ignore.may_include_below(dir.as_bytes()));
                }
            }
        }

        #[test]
        fn any_file_is_patterns_or_an_error(file in r"([\[\]\\!*?/#a^\n -]|\PC){0,40}", path in any::<Vec<u8>>()) {
            if let Ok(ignore) = Ignore::parse(file.as_bytes()) {
                let _ = ignore.excluded(&path);
            }
        }
    }
}
