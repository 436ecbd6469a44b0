//! Tables of what patterns leave out, and the same by definition.

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

/// Rows of what moby's matcher says of patterns that look alike; each was shown to it.
#[test]
fn rows_of_the_matcher() {
    check("**/", &["a", "a/b"], &[]);
    check("**/**", &["a", "a/b"], &[]);
    check("***", &["a", "a/b"], &[]);
    check("****.b", &[".b", "x/.b", "x/y/.b/z"], &["a.b", "x/a.b"]);
    check("**]b", &["]b", "x/]b"], &["x]b"]);
    check("**/**/*.txt", &["a.txt", "x/y/a.txt"], &["a.txt2"]);
    check("a**/*.txt", &["a/b.txt", "a/x/b.txt", "a/x/y/b.txt"], &["b.txt"]);
    check("a/*.txt**", &["a/b.txt", "a/b.txtx/c"], &["a/x/b.txt"]);
    check("**/d/*", &["d/a", "x/d/a", "x/d/a/b"], &["d", "x/d"]);
    check("**/foo/bar", &["foo/bar", "x/foo/bar", "x/y/foo/bar"], &["xfoo/bar", "foo/barx"]);
    check("**/.foo", &[".foo", "x/.foo"], &["bar.foo"]);
    check(".*", &[".foo", ".a/b"], &["foo"]);
    check("a[b-d]e", &["ace"], &["ae", "aae"]);
    check("a[^b]c", &["axc", "a/c"], &["abc", "ac"]);
    check("a[[:alpha:]]", &["ax", "aZ/b"], &["a1", "a:", "a[]"]);
    check("a[[:digit:]x-z]", &["a1", "ay"], &["aw", "a:"]);
    check("a[^[:digit:]]", &["ax"], &["a1"]);
    check("a[[:^digit:]]", &["ax"], &["a1"]);
    check("a[[:]", &["a[", "a:"], &["a", "a]"]);
    check("a\\\\", &["a\\"], &["a", "a\\\\"]);
    check("[\\]a]", &["]", "a"], &["\\"]);
    check("a.|)$(}+{bc", &["a.|)$(}+{bc"], &["a.|)$(}+{b"]);
    check("a???b", &["axyzb"], &["a\u{263a}b"]);
    check("[a-\u{3b6}]*", &["\u{3b1}"], &["A"]);
    check("!!a", &[], &["!a", "a"]);
    check("*\n!!a", &["a"], &["!a"]);
    check("!a\n\\!b", &["!b"], &["b"]);
    check("docs/\n!docs/README.md", &["docs", "docs/x"], &["docs/README.md"]);
    check("docs/*\n!docs/README.md", &["docs/x"], &["docs", "docs/README.md"]);
    check("**\n!util/web\nutil/web/foo", &["util", "util/x", "util/web/foo"], &["util/web", "util/web/bar"]);
    check("/a/b\n! /a/b/c", &["a/b", "a/b/d"], &["a/b/c", "a"]);
    check("\u{a0}a\u{2003}", &["a"], &["\u{a0}a"]);
}

/// Where the matcher leaves its documentation, the documentation holds.
#[test]
fn rows_of_the_documentation_alone() {
    // It hands these to a regular expression, for which they are a digit, an anchor and a mistake.
    check("\\d", &["d"], &["1", "\\d"]);
    check("^*", &["^a"], &["a"]);
    check("\\y", &["y"], &["\\y"]);
    // The exception matches the directory. A walk of it forgets that, since nothing had left the directory out.
    check("*/*.txt\n!d", &["e/a.txt"], &["d/a.txt"]);
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
    for (file, line) in [
        ("a\n!", 2),
        ("[", 1),
        ("a\n\n[a-", 3),
        ("a\\", 1),
        ("[]", 1),
        ("!  ", 1),
        ("a\n! //", 2),
        ("!/.", 1),
        ("[z-a]", 1),
        ("a[[:no:]]", 1),
        ("a[[:alpha:]", 1),
    ] {
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
    let part = prop_oneof![4 => "[ab*?]{1,3}".prop_filter("no **", |s| !s.contains("**")), 1 => Just("**".to_owned())];
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
