//! COPY and the rules of an ignore file.

use super::Fixture;

fn context(rules: &str) -> Fixture {
    let rules = format!("f .dockerignore {rules}");
    let tree = ["d a", "f a/x 1", "f a/y 2", "d b", "d b/c", "f b/c/z 3", "f top 4", "l to-b b"];
    Fixture::new().context(&[rules.as_str()]).context(&tree)
}

fn check(rules: &str, text: &str, expected: &[&str]) {
    let mut fixture = context(rules);
    fixture.run(text);
    let names: Vec<String> =
        fixture.tree().iter().map(|line| line.split(' ').nth(2).unwrap_or_default().to_owned()).collect();
    let names: Vec<&str> = names.iter().map(|name| name.trim_end_matches('=')).collect();
    assert_eq!(names, expected, "{rules:?} {text}");
}

#[test]
fn what_is_excluded_is_not_copied() {
    check(".dockerignore\\na/x\\nb", "COPY . /", &["a/", "a/y", "to-b", "top"]);
    check("*\\n!a/y", "COPY . /", &["a/", "a/y"]);
    check("b\\n!b/c/z", "COPY b /t", &["t/", "t/c/", "t/c/z"]);
    check("a/x", "COPY a/* /t/", &["t/", "t/y"]);
    check("**/z", "COPY b /t", &["t/", "t/c/"]);
    check("*", "COPY . /", &[]);
    check("*", "COPY a* /t/", &[]);
}

#[test]
fn an_excluded_source_is_an_error_that_names_the_rule() {
    let cases = [
        ("a\\n", "COPY a /t", "\"a\" is not in the build context (excluded by .dockerignore line 1)"),
        ("#\\n\\na/x", "COPY /a/x /t", "\"/a/x\" is not in the build context (excluded by .dockerignore line 3)"),
        ("b", "COPY to-b /t", "\"to-b\" is not in the build context (excluded by .dockerignore line 1)"),
        ("to-b", "COPY to-b /t", "\"to-b\" is not in the build context (excluded by .dockerignore line 1)"),
        ("b\\n!b/nothing", "COPY b /t", "\"b\" is not in the build context (excluded by .dockerignore line 1)"),
        ("a", "COPY none /t", "\"none\" is not in the build context"),
        ("none", "COPY TOP /t", "\"TOP\" is not in the build context (did you mean top?)"),
        ("top", "COPY TOP /t", "\"TOP\" is not in the build context"),
        ("none", "COPY b/c/Z2 /t", "\"b/c/Z2\" is not in the build context (did you mean z?)"),
        (
            "none",
            "COPY ../../etc/x /t",
            "\"../../etc/x\" is not in the build context (`..` stops at its top, so this is /etc/x)",
        ),
    ];
    for (rules, text, expected) in cases {
        assert_eq!(context(rules).refused(text), expected);
    }
}

#[test]
fn the_rules_are_not_for_stages() {
    let mut fixture = context("x").stage(&["f x 1"]);
    fixture.run_from_stage("COPY --from=0 x /y");
    fixture.check(&["644 0:0 y 1="]);
}
