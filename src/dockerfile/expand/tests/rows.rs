//! A row for each combination of form and value, after POSIX and the reference of the language.
//!
//! `$A` is `one`, `$B` is `two words`, `$E` is empty, `$P` is `/usr/lib/x.tar.gz`, `$N` is not set.

use super::*;

const VALUES: [(&str, &str); 4] = [("A", "one"), ("B", "two words"), ("E", ""), ("P", "/usr/lib/x.tar.gz")];

fn value(name: &str) -> Option<String> {
    VALUES.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
}

/// A word and what it becomes.
const ROWS: &[(&str, &str)] = &[
    // Plain.
    ("$A", "one"),
    ("${A}", "one"),
    ("$A$B", "onetwo words"),
    ("$A.$A", "one.one"),
    ("$A-$A", "one-one"),
    ("$A/$N/$A", "one//one"),
    ("x$A", "xone"),
    ("$Ax", ""),
    ("${A}x", "onex"),
    ("$A_", ""),
    ("${A}_", "one_"),
    ("$A1", ""),
    ("$1A", "A"),
    ("$E", ""),
    ("${E}", ""),
    ("$N", ""),
    ("${N}", ""),
    ("$", "$"),
    ("$$", ""),
    ("a$ b", "a$ b"),
    ("$/", "$/"),
    ("$.", "$."),
    ("100%", "100%"),
    ("a=b", "a=b"),
    ("~", "~"),
    ("*.txt", "*.txt"),
    ("#a", "#a"),
    // `-` and `:-`.
    ("${A-x}", "one"),
    ("${A:-x}", "one"),
    ("${E-x}", ""),
    ("${E:-x}", "x"),
    ("${N-x}", "x"),
    ("${N:-x}", "x"),
    ("${N-}", ""),
    ("${N:-}", ""),
    ("${N:-x y}", "x y"),
    ("${N:-$A}", "one"),
    ("${N:-${A}}", "one"),
    ("${N:-${N:-${A}}}", "one"),
    ("${N:-a$A}b", "aoneb"),
    ("${N:-'$A'}", "$A"),
    ("${N:-\"$A\"}", "one"),
    ("${N:-\\$A}", "$A"),
    ("${N:-a\\}b}", "a}b"),
    ("${N:-:-}", ":-"),
    ("${N--}", "-"),
    ("${N:--}", "-"),
    ("${N:-/a/b}", "/a/b"),
    ("${N:-a=b}", "a=b"),
    ("a${N:-}b", "ab"),
    // `+` and `:+`.
    ("${A+x}", "x"),
    ("${A:+x}", "x"),
    ("${E+x}", "x"),
    ("${E:+x}", ""),
    ("${N+x}", ""),
    ("${N:+x}", ""),
    ("${A:+$B}", "two words"),
    ("${A:+-${A}-}", "-one-"),
    ("${A:+}", ""),
    ("a${N:+b}c", "ac"),
    // `?` and `:?` with a value.
    ("${A?x}", "one"),
    ("${A:?x}", "one"),
    ("${E?x}", ""),
    ("${A?}", "one"),
    ("${A:?$B}", "one"),
    // `#` and `##`.
    ("${A#o}", "ne"),
    ("${A#x}", "one"),
    ("${A#?}", "ne"),
    ("${A#*}", "one"),
    ("${A##*}", ""),
    ("${A#one}", ""),
    ("${A#ones}", "one"),
    ("${P#*/}", "usr/lib/x.tar.gz"),
    ("${P##*/}", "x.tar.gz"),
    ("${P#/usr}", "/lib/x.tar.gz"),
    ("${P#/*/}", "lib/x.tar.gz"),
    ("${P##/*/}", "x.tar.gz"),
    ("${P#\\/}", "usr/lib/x.tar.gz"),
    ("${E#a}", ""),
    ("${N#a}", ""),
    ("${B#two }", "words"),
    ("${B##* }", "words"),
    // `%` and `%%`.
    ("${A%e}", "on"),
    ("${A%x}", "one"),
    ("${A%?}", "on"),
    ("${A%*}", "one"),
    ("${A%%*}", ""),
    ("${P%/*}", "/usr/lib"),
    ("${P%%/*}", ""),
    ("${P%.*}", "/usr/lib/x.tar"),
    ("${P%%.*}", "/usr/lib/x"),
    ("${P%.gz}", "/usr/lib/x.tar"),
    ("${P%.tar}", "/usr/lib/x.tar.gz"),
    ("${N%a}", ""),
    ("${B% *}", "two"),
    ("${A%$A}", ""),
    ("${A%${A#o}}", "o"),
    // `/` and `//`.
    ("${A/o/0}", "0ne"),
    ("${A/x/0}", "one"),
    ("${A/n/}", "oe"),
    ("${A/one/$B}", "two words"),
    ("${B/o/0}", "tw0 words"),
    ("${B//o/0}", "tw0 w0rds"),
    ("${B// /_}", "two_words"),
    ("${B//w/}", "to ords"),
    ("${P//\\//-}", "-usr-lib-x.tar.gz"),
    ("${P/\\//-}", "-usr/lib/x.tar.gz"),
    ("${P//./_}", "/usr/lib/x_tar_gz"),
    ("${P/*\\//}", "x.tar.gz"),
    ("${P//?/x}", "xxxxxxxxxxxxxxxxx"),
    ("${N/a/b}", ""),
    ("${E//a/b}", ""),
    // Quotes.
    ("'$A'", "$A"),
    ("\"$A\"", "one"),
    ("'a'\"b\"c", "abc"),
    ("''", ""),
    ("\"\"", ""),
    ("\"a b\"", "a b"),
    ("'a b'", "a b"),
    ("\"'\"", "'"),
    ("'\"'", "\""),
    ("\"$A'$A'\"", "one'one'"),
    ("\"${N:-a b}\"", "a b"),
    ("\"${N:-\"a\"}\"", "a"),
    ("$A'$A'$A", "one$Aone"),
    ("\"\\\"\"", "\""),
    ("\"\\$A\"", "$A"),
    ("\"\\\\\"", "\\"),
    ("\"\\n\"", "\\n"),
    ("'\\n'", "\\n"),
    ("'\\'", "\\"),
    // Escapes.
    ("\\$A", "$A"),
    ("\\${A}", "${A}"),
    ("\\\\$A", "\\one"),
    ("\\\\\\$A", "\\$A"),
    ("\\a", "a"),
    ("\\\"", "\""),
    ("\\'", "'"),
    ("a\\ b", "a b"),
    ("a\\", "a"),
    ("C:\\\\x", "C:\\x"),
    // Special and positional parameters.
    ("$0", ""),
    ("$9", ""),
    ("$10", ""),
    ("$@", ""),
    ("$*", ""),
    ("$#", ""),
    ("$?", ""),
    ("$-", ""),
    ("$!", ""),
    ("${1}", ""),
    ("${@}", ""),
    ("${1:-x}", "x"),
    ("${@:-x}", "x"),
    // Other letters.
    ("\u{e9}$A", "\u{e9}one"),
    ("${N:-\u{e9}}", "\u{e9}"),
    ("$\u{e9}", ""),
];

/// A word and a part of the error.
const ERRORS: &[(&str, &str)] = &[
    ("${N?}", "N: is not set"),
    ("${N:?}", "N: is not set or empty"),
    ("${E:?}", "E: is not set or empty"),
    ("${N?m}", "N: m"),
    ("${N:?m n}", "N: m n"),
    ("${N:?$A}", "N: one"),
    ("${N:-${N?deep}}", "N: deep"),
    ("${A:=x}", "unsupported form ${A:=…}; ${A:-…} is a default"),
    ("${A=x}", "unsupported form"),
    ("${A:0:1}", "unsupported form"),
    ("${A^^}", "unsupported form"),
    ("${A,,}", "unsupported form"),
    ("${A@Q}", "unsupported form"),
    ("${A[0]}", "unsupported form"),
    ("${A:#x}", "unsupported form"),
    ("${A:%x}", "unsupported form"),
    ("${A:/x/y}", "unsupported form"),
    ("${!A}", "unsupported form"),
    ("${A", "missing '}'"),
    ("${A:", "missing '}'"),
    ("${A:-", "missing '}'"),
    ("${A:-x", "missing '}'"),
    ("${A#x", "missing '}'"),
    ("${A/x", "missing '/'"),
    ("${A/x/y", "missing '}'"),
    ("${}", "bad substitution"),
    ("${ A}", "bad substitution"),
    ("${/}", "bad substitution"),
    ("${A#\\q}", "invalid pattern"),
    ("${A%\\}", "missing '}'"),
    ("'a", "single quote"),
    ("\"a", "double quote"),
    ("$A'", "single quote"),
    ("${N:-'}", "single quote"),
];

#[test]
fn every_form_with_every_kind_of_value() {
    for (word, expected) in ROWS {
        assert_eq!(expand(word, Escape::Backslash, &value).as_deref(), Ok(*expected), "{word:?}");
    }
    assert!(ROWS.len() + ERRORS.len() > 150, "{}", ROWS.len() + ERRORS.len());
}

#[test]
fn every_error() {
    for (word, part) in ERRORS {
        let error = expand(word, Escape::Backslash, &value).expect_err(word).to_string();
        assert!(error.contains(part), "{word:?}: {error}");
    }
}

#[test]
fn bodies_of_here_documents() {
    for (body, expected) in [
        ("", ""),
        ("a\nb\n", "a\nb\n"),
        ("$A\n${A}\n", "one\none\n"),
        ("'$A'\n", "'one'\n"),
        ("\"$A\"\n", "\"one\"\n"),
        ("it's $A\n", "it's one\n"),
        ("say \"$N\"\n", "say \"\"\n"),
        ("\\$A\n", "$A\n"),
        ("\\\\\n", "\\\n"),
        ("a\\n\n", "an\n"),
        ("${N:-'x'}\n", "'x'\n"),
        ("${N:-\"$A\"}\n", "\"one\"\n"),
        ("${P##*/}\n", "x.tar.gz\n"),
        ("`$A`\n", "`one`\n"),
        ("$(date)\n", "$(date)\n"),
        ("100%\t#\n", "100%\t#\n"),
    ] {
        assert_eq!(expand_body(body, &value).as_deref(), Ok(expected), "{body:?}");
    }
    assert!(expand_body("${N?m}", &value).is_err());
    assert!(expand_body("${A", &value).is_err());
}

#[test]
fn what_is_undefined() {
    for (word, expected) in [
        ("$A $N", &["N"][..]),
        ("${N}${M}", &["N", "M"]),
        ("$N$N", &["N", "N"]),
        ("${N:-x}${N-x}${N:+x}${N+x}", &[]),
        ("${N:-$M}", &["M"]),
        ("'$N'", &[]),
        ("\"$N\"", &["N"]),
        ("\\$N", &[]),
        ("$1$@$#", &[]),
        ("$E", &[]),
        ("${N", &[]),
    ] {
        assert_eq!(undefined_in(word, Escape::Backslash, &value), expected, "{word:?}");
    }
}
