//! Contexts made in temporary directories.

use std::fs;

use tempfile::TempDir;

use super::*;

fn context(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, text).expect("written");
    }
    dir
}

fn open(dir: &TempDir, dockerfile: Option<&str>) -> Result<Context, Error> {
    Context::open_dir(dir.path(), dockerfile.map(Path::new))
}

fn check(files: &[(&str, &str)], dockerfile: Option<&str>, name: &str, excluded: Option<&str>) {
    let dir = context(files);
    let context = open(&dir, dockerfile).expect("a context");
    assert_eq!(context.dockerfile_name(), name);
    assert_eq!(context.dockerfile_text(), name.as_bytes(), "each file holds its own name");
    assert_eq!(context.excluded(b"x").map(|why| why.to_string()).as_deref(), excluded);
}

#[test]
fn the_dockerfile_and_its_ignore_file() {
    check(&[("Dockerfile", "Dockerfile")], None, "Dockerfile", None);
    check(
        &[("dockerfile", "dockerfile"), (".dockerignore", "x")],
        None,
        "dockerfile",
        Some("excluded by .dockerignore line 1"),
    );
    check(&[("Dockerfile", "Dockerfile"), ("dockerfile", "no")], None, "Dockerfile", None);
    check(
        &[("Dockerfile", "Dockerfile"), (".dockerignore", "y"), ("Dockerfile.dockerignore", "#\n*")],
        None,
        "Dockerfile",
        Some("excluded by Dockerfile.dockerignore line 2"),
    );
    check(
        &[("d/Prod.df", "d/Prod.df"), (".dockerignore", "y"), ("d/Prod.df.dockerignore", "x")],
        Some("d/Prod.df"),
        "d/Prod.df",
        Some("excluded by Prod.df.dockerignore line 1"),
    );
    check(&[("d/Prod.df", "d/Prod.df"), ("d/.dockerignore", "x")], Some("d/Prod.df"), "d/Prod.df", None);
    check(&[("Dockerfile", "Dockerfile"), (".dockerignore", "*\n!x")], None, "Dockerfile", None);
}

#[test]
fn the_dockerfile_can_be_elsewhere() {
    let (dir, other) = (context(&[("Dockerfile", "no")]), context(&[("f", "FROM a"), ("f.dockerignore", "x")]));
    let path = other.path().join("f");
    let context = Context::open_dir(dir.path(), Some(&path)).expect("a context");
    assert_eq!(context.dockerfile_text(), b"FROM a");
    assert_eq!(context.dockerfile_name(), path.display().to_string());
    assert_eq!(context.dockerfile(), path);
    assert_eq!(context.dir(), dir.path());
    assert_eq!(context.excluded(b"x"), Some(Exclusion { file: "f.dockerignore", line: 1 }));
}

#[test]
fn the_working_directory_comes_first_as_in_kaniko() {
    let dir = context(&[("Cargo.toml", "no")]);
    let context = open(&dir, Some("Cargo.toml")).expect("a context");
    assert!(context.dockerfile_text().starts_with(b"[workspace]"));
}

#[test]
fn errors_name_the_file() {
    let dir = context(&[("file", ""), ("sub/x", "")]);
    let message = |result: Result<Context, Error>| result.expect_err("an error").to_string();
    let at = |name: &str| dir.path().join(name).display().to_string();
    assert_eq!(
        message(open(&dir, None)),
        format!("there is no Dockerfile at {} or {}", at("Dockerfile"), at("dockerfile"))
    );
    assert_eq!(message(open(&dir, Some("no.df"))), format!("there is no Dockerfile at no.df or {}", at("no.df")));
    assert_eq!(
        message(Context::open_dir(&dir.path().join("file"), None)),
        format!("the build context {} is not a directory", at("file"))
    );
    assert_eq!(
        message(Context::open_dir(&dir.path().join("no"), None)),
        format!("the build context {} is not a directory", at("no"))
    );
    assert!(message(open(&dir, Some("sub"))).starts_with(&format!("cannot read {}: ", at("sub"))));
    let bad = context(&[("Dockerfile", "FROM a"), (".dockerignore", "a\n\n[")]);
    assert_eq!(message(open(&bad, None)), ".dockerignore:3: malformed pattern \"[\"");
}

#[test]
fn a_file_without_end_is_refused() {
    let dir = context(&[]);
    let error = open(&dir, Some("/dev/zero")).expect_err("an error");
    assert_eq!(error.to_string(), "cannot read /dev/zero: it is larger than 16 MiB");
}

#[test]
fn a_large_tree_is_matched_quickly() {
    let patterns: String = (0..200).map(|i| format!("**/cache{i}/*.o\n!keep{i}/**\n")).collect();
    let dir = context(&[("Dockerfile", ""), (".dockerignore", &patterns)]);
    let context = open(&dir, None).expect("a context");
    let count = (0..20_000).filter(|i| context.excluded(format!("a/b{i}/cache{}/c.o", i % 400).as_bytes()).is_some());
    assert_eq!(count.count(), 10_000);
}

#[test]
fn a_dockerfile_that_is_in_no_file() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join(".dockerignore"), "x\n").expect("write");
    let context = Context::open_with(dir.path(), "the standard input", b"FROM a".to_vec()).expect("opened");
    assert_eq!((context.dockerfile_name().as_str(), context.dockerfile_text()), ("the standard input", &b"FROM a"[..]));
    assert!(context.excluded(b"x").is_some() && context.excluded(b"y").is_none());
}
