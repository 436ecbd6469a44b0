//! Tables over words, form by form.

mod rows;

use super::*;
use proptest::prelude::*;

fn lookup(name: &str) -> Option<String> {
    let values = [
        ("PWD", "/home"),
        ("EMPTY", ""),
        ("TWO", "a  b"),
        ("KOREAN", "한국어"),
        ("FILE", "/a/b/c.tar.gz"),
        ("QUOTE", "x\"y'z"),
        ("STARS", "a***yy*"),
        ("LINES", "a\nb\nc"),
        ("NEEDLE", "/?/"),
        ("_x9", "under"),
    ];
    values.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
}

fn check(word: &str, expected: &str) {
    assert_eq!(expand(word, Escape::Backslash, &lookup).as_deref(), Ok(expected), "{word:?}");
}

fn check_error(word: &str, message: &str) {
    let error = expand(word, Escape::Backslash, &lookup).expect_err(word);
    assert!(error.to_string().contains(message), "{word:?}: {error}");
}

#[test]
fn plain_variables() {
    check("", "");
    check("hello", "hello");
    check("$PWD", "/home");
    check("${PWD}", "/home");
    check("a$PWD/b", "a/home/b");
    check("a${PWD}b", "a/homeb");
    check("$PWDx", "");
    check("a${UNSET}b$UNSET", "ab");
    check("$EMPTY.", ".");
    check("$_x9", "under");
    check("${KOREAN}$KOREAN.", "한국어한국어.");
    check("x $PWD  y ", "x /home  y ");
    check("$PWD$PWD", "/home/home");
    check("$PWD=$EMPTY", "/home=");
}

#[test]
fn special_and_positional_parameters_are_empty() {
    check("a$1b$10c", "abc");
    check("a$@b$*c$#d$?e$-f$$g$!h$0i", "abcdefghi");
    check("${1}${@}${#}${?}${$}${-}", "");
    check("${1:-one}", "one");
}

#[test]
fn a_dollar_that_no_name_follows() {
    check("$", "$");
    check("a$", "a$");
    check("$ $.$/", "$ $.$/");
    check("\"$\"", "$");
    check("$'a'", "$a");
}

#[test]
fn quotes_and_escapes() {
    check("'$PWD'", "$PWD");
    check("\"$PWD\"", "/home");
    check("\"'$PWD'\"", "'/home'");
    check("'\"$PWD\"'", "\"$PWD\"");
    check("he'l'\"l\"o", "hello");
    check("\\$PWD", "$PWD");
    check("\\'$PWD\\'", "'/home'");
    check("a\\ b\\c\\\\d", "a bc\\d");
    check("a\\", "a");
    check("'a\\'", "a\\");
    check("\"a\\\"b\\$PWD\\\\c\\d\"", "a\"b$PWD\\c\\d");
    check("\"${PWD}\"'${PWD}'", "/home${PWD}");
    check("$QUOTE", "x\"y'z");
    check_error("'a", "single quote");
    check_error("\"a", "double quote");
    check_error("\"a\\\"", "double quote");
    check_error("it's", "single quote");
}

#[test]
fn defaults_and_alternatives() {
    check("${PWD:-w}|${PWD-w}|${EMPTY:-w}|${EMPTY-w}|${NO:-w}|${NO-w}", "/home|/home|w||w|w");
    check("${PWD:+w}|${PWD+w}|${EMPTY:+w}|${EMPTY+w}|${NO:+w}|${NO+w}", "w|w||w||");
    check("${PWD:?m}|${PWD?m}|${EMPTY?m}", "/home|/home|");
    check("${NO:-}|${NO-}", "|");
    check("${NO:-$PWD}${NO:-${NO:-deep}}", "/homedeep");
    check("${NO:-a b}${NO:-\"}\"}${NO:-'}'}${NO:-\\}}", "a b}}}");
    check("v1-os${PWD:+-${PWD}}", "v1-os-/home");
    check("${NO:-a:-b}", "a:-b");
    check_error("${NO?}", "NO: is not set");
    check_error("${NO:?}", "NO: is not set or empty");
    check_error("${EMPTY:?}", "EMPTY: is not set or empty");
    check_error("${NO?please $PWD}", "NO: please /home");
    check_error("${EMPTY:?give it}", "EMPTY: give it");
}

#[test]
fn trimming() {
    check("${FILE#/}|${FILE#/*/}|${FILE##*/}|${FILE##/*/}", "a/b/c.tar.gz|b/c.tar.gz|c.tar.gz|c.tar.gz");
    check("${FILE%.gz}|${FILE%.*}|${FILE%%.*}|${FILE%/*}", "/a/b/c.tar|/a/b/c.tar|/a/b/c|/a/b");
    check("${FILE#x}|${FILE%x}", "/a/b/c.tar.gz|/a/b/c.tar.gz");
    check("${FILE#*}|${FILE##*}|${FILE%*}|${FILE%%*}", "/a/b/c.tar.gz||/a/b/c.tar.gz|");
    check("${FILE#}|${FILE##}|${FILE%}|${FILE%%}", ["/a/b/c.tar.gz"; 4].join("|").as_str());
    check("${FILE#??}|${FILE%???}", "/b/c.tar.gz|/a/b/c.tar");
    check("${PWD#$PWD}|${PWD%me}", "|/ho");
    check("${NO#a}|${EMPTY%a}", "|");
    check("${STARS%%\\**}|${STARS%\\*}|${STARS#a\\*}", "a|a***yy|**yy*");
    check("${LINES#*b}|${LINES##*?}", "\nc|");
    check("${KOREAN#?}|${KOREAN%?}", "국어|한국");
    check("${FILE%'.gz'}|${FILE%\".gz\"}", "/a/b/c.tar|/a/b/c.tar");
    check("${FILE#[/]}", "/a/b/c.tar.gz");
    check_error("${FILE#\\x}", "invalid pattern");
    check_error("${FILE:#x}", "unsupported form ${FILE:#…}");
    check_error("${FILE:%x}", "unsupported form ${FILE:%…}");
}

#[test]
fn shell_patterns_take_the_shortest_or_the_longest_match() {
    let values = |v: &'static str| move |_: &str| Some(v.to_owned());
    for (word, value, expected) in [
        ("${v#*x*y}", "xxyy", "y"),
        ("${v##*x*y}", "xxyyz", "z"),
        ("${v%x*y}", "axbxcy", "axb"),
        ("${v%%x*y}", "axbxcy", "a"),
        ("${v%%\\**\\*}", "a***yy*", "a"),
        ("${v#()[]{\\}^$.\\*\\?|\\\\}", "()[]{}^$.*?|\\x", "x"),
        ("${v##*aab}", "aaaabaab-", "-"),
    ] {
        assert_eq!(expand(word, Escape::Backslash, &values(value)).as_deref(), Ok(expected), "{word} {value}");
    }
}

#[test]
fn replacing() {
    check("${FILE/a/X}|${FILE//a/X}", "/X/b/c.tar.gz|/X/b/c.tXr.gz");
    check("${FILE/\\//:}|${FILE//\\//:}", ":a/b/c.tar.gz|:a:b:c.tar.gz");
    check("${FILE//.*/}", "/a/b/c");
    check("${FILE/x/y}", "/a/b/c.tar.gz");
    check("${FILE//?/x}", "xxxxxxxxxxxxx");
    check("${FILE/$NEEDLE/-}", "-b/c.tar.gz");
    check("${FILE/b/$PWD}", "/a//home/c.tar.gz");
    check("${FILE//a/$$1}", "/1/b/c.t1r.gz");
    check("${NO/a/b}|${EMPTY//a/b}", "|");
    check("${STARS//\\*/.}", "a...yy.");
    // The escape of a replacement stays.
    check("${PWD//\\//\\/}", "\\/home");
    check_error("${PWD/a}", "missing '/'");
    check_error("${PWD//a}", "missing '/'");
    check_error("${PWD/a/b", "missing '}'");
    check_error("${PWD/\\d/b}", "invalid pattern");
}

#[test]
fn malformed() {
    for word in ["${", "${PWD", "${PWD:", "${PWD:-", "${PWD-a", "${PWD#a", "a${PWD:-$"] {
        check_error(word, "missing '}'");
    }
    for word in ["${}", "${:}", "${:-a}", "${{a}}", "${ PWD}", "${/a/b}", "${%a}"] {
        check_error(word, "bad substitution");
    }
    for word in
        ["${PWD=a}", "${PWD:=a}", "${PWD^}", "${PWD,}", "${PWD@Q}", "${PWD:1:2}", "${#PWD}", "${!PWD}", "${PWD.x}"]
    {
        check_error(word, "unsupported form");
    }
}

#[test]
fn the_escape_character_can_be_a_backtick() {
    for (word, expected) in [("`$PWD", "$PWD"), ("c:\\$PWD", "c:\\/home"), ("\"`\"\"", "\""), ("a` b", "a b")] {
        assert_eq!(expand(word, Escape::Backtick, &lookup).as_deref(), Ok(expected), "{word}");
    }
}

#[test]
fn hostile_words_are_refused() {
    assert_eq!(expand(&"${a:-".repeat(1 << 16), Escape::Backslash, &lookup), Err(ExpandError::TooDeep));
    let long = |_: &str| Some("x".repeat(1 << 16));
    assert_eq!(expand(&"$a".repeat(17), Escape::Backslash, &long), Err(ExpandError::TooLong));
    assert_eq!(expand("${a//x/${a}}", Escape::Backslash, &long), Err(ExpandError::TooLong));
    let deep = format!("{}x{}", "${a:-".repeat(MAX_DEPTH), "}".repeat(MAX_DEPTH));
    assert_eq!(expand(&deep, Escape::Backslash, &lookup).as_deref(), Ok("x"));
    let slow = format!("${{a##{}b}}", "*x".repeat(20));
    assert!(expand(&slow, Escape::Backslash, &long).is_ok());
}

fn check_words(word: &str, expected: &[&str]) {
    let words = expand_words(word, Escape::Backslash, &lookup).expect(word);
    assert_eq!(words, expected, "{word:?}");
}

#[test]
fn words() {
    check_words("", &[]);
    check_words("  a  b ", &["a", "b"]);
    check_words("$TWO", &["a", "b"]);
    check_words("x$TWO.y", &["xa", "b.y"]);
    check_words("\"$TWO\"", &["a  b"]);
    check_words("'a b' c\\ d", &["a b", "c d"]);
    check_words("${NO:-80 81}", &["80", "81"]);
    check_words("$NO $EMPTY", &[]);
    check_words("$KOREAN 80/tcp", &["한국어", "80/tcp"]);
    assert!(expand_words("'a", Escape::Backslash, &lookup).is_err());
}

proptest! {
    #[test]
    fn any_word_expands_or_is_refused(word in r#"([$\{\}:?+#%/*"'\\`@ab1_ -]|\PC){0,40}"#) {
        let _ = expand(&word, Escape::Backslash, &lookup);
        let _ = expand_words(&word, Escape::Backtick, &lookup);
    }

    #[test]
    fn words_are_the_text_split_where_nothing_is_quoted(word in "[a-c $]{0,20}") {
        let values = |name: &str| Some(format!(" {name} x"));
        let text = expand(&word, Escape::Backslash, &values).expect("no braces");
        let words = expand_words(&word, Escape::Backslash, &values).expect("no braces");
        prop_assert_eq!(text.split_whitespace().collect::<Vec<_>>(), words);
    }

    #[test]
    fn a_single_quoted_word_is_itself(word in "[^']{0,20}") {
        prop_assert_eq!(expand(&format!("'{word}'"), Escape::Backslash, &lookup), Ok(word));
    }
}
