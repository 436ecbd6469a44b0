//! ADD of git repositories, as whole builds.

use std::fs;

use super::sample;
use crate::support::authority::Authority;
use crate::support::executor::Build;
use crate::support::git::{Access, GitServer, USER, git};
use crate::support::tree::{Times, assert_same, list};
use crate::support::{run, scratch};

fn trusting(authority: &Authority, dockerfile: &str) -> Build {
    let file = format!("SSL_CERT_FILE={}", authority.certificate().display());
    Build::new(dockerfile).through(&["env", &file])
}

#[test]
fn a_repository_is_added_with_every_flag() {
    let authority = Authority::new();
    let server = GitServer::start(Some(&authority), Access::Everybody);
    let (repo, commits) = sample(&server.repositories());
    let address = server.address("app.git");
    let dockerfile = format!(
        "FROM scratch AS base\nADD {address} /plain\nADD --link {address}#v1:d /sub/\n\
         ADD --keep-git-dir --checksum={} {address}#v1 /kept\n\
         ADD --chown=3:4 --chmod=700 --exclude=b* --exclude=d/up {address}?branch=main /some\n",
        &commits[1][..12]
    );
    let built = trusting(&authority, &dockerfile).arg("--no-push").succeed();
    let (root, expected) = (built.root(), scratch());
    repo.archive(&commits[1], &expected.path().join("all"));
    let all = list(&expected.path().join("all"), Times::Exact);
    assert_same(&list(&root.join("plain"), Times::Exact), &all, "plain");
    assert_same(&list(&root.join("sub"), Times::Exact), &list(&expected.path().join("all/d"), Times::Exact), "sub");
    assert_eq!(run(git(&root.join("kept")).args(["-c", "safe.directory=*", "status", "--porcelain"])), "");
    fs::remove_dir_all(root.join("kept/.git")).unwrap();
    assert_same(&list(&root.join("kept"), Times::Exact), &all, "kept");
    let found = run(std::process::Command::new("find").arg(root.join("some")).args([
        "-mindepth",
        "1",
        "-printf",
        "%P %m %U:%G\n",
    ]));
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, ["a 700 3:4", "d 700 3:4", "d/run 700 3:4", "l 777 3:4"]);
}

#[test]
fn a_secret_is_for_the_host_and_is_nowhere_else() {
    let authority = Authority::new();
    let server = GitServer::start(Some(&authority), Access::Password);
    sample(&server.repositories());
    let dockerfile = format!("FROM scratch\nADD --keep-git-dir {}#:d /d\nADD {0} /all\n", server.address("app.git"));
    let (secret, basic) = (scratch(), "eC1hY2Nlc3MtdG9rZW46aHVudGVyMg==");
    fs::write(secret.path().join("token"), format!("{}\n", USER.1)).unwrap();
    fs::write(secret.path().join("header"), format!("Basic {basic}")).unwrap();
    let host = server.host();
    for (id, file) in [
        ("GIT_AUTH_TOKEN".to_owned(), "token"),
        ("GIT_AUTH_HEADER".to_owned(), "header"),
        (format!("GIT_AUTH_TOKEN.{host}"), "token"),
        (format!("GIT_AUTH_HEADER.{host}"), "header"),
    ] {
        let argument = format!("--secret=id={id},src={}", secret.path().join(file).display());
        let built = trusting(&authority, &dockerfile).args(["--no-push", "-v=trace"]).arg(argument).succeed();
        let said = built.stderr();
        assert!(!said.contains(USER.1) && !said.contains(basic), "{said}");
        assert!(built.root().join("all/d/run").exists() && built.root().join("d/run").exists());
        let grep = std::process::Command::new("grep").args(["-r", USER.1]).arg(built.root()).output().unwrap();
        assert_eq!(grep.status.code(), Some(1), "{grep:?}");
    }
    let refused = |build: Build, said: &[&str]| {
        let error = build.arg("--no-push").fail(1, said).stderr();
        assert!(!error.contains(USER.1), "{error}");
    };
    refused(trusting(&authority, &dockerfile), &["Dockerfile:2", "401", "GIT_AUTH_TOKEN"]);
    let elsewhere = format!("--secret=id=GIT_AUTH_TOKEN.elsewhere.test,src={}/token", secret.path().display());
    refused(trusting(&authority, &dockerfile).arg(elsewhere), &["Dockerfile:2", "401", "without a credential"]);
    // What a context's repository is fetched with is not for those of a Dockerfile.
    let variables = trusting(&authority, &dockerfile).env("GIT_TOKEN", USER.1).env("GIT_PASSWORD", USER.1);
    refused(variables.env("GIT_USERNAME", USER.0), &["401", "without a credential"]);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let server = GitServer::start(None, Access::Everybody);
    let (_, commits) = sample(&server.repositories());
    let address = server.address("app.git");
    let check = |line: &str, said: &[&str]| {
        let build = Build::new(&format!("FROM scratch\nADD {line}\n")).arg("--no-push");
        build.fail(1, &[&["Dockerfile:2"], said].concat());
    };
    check(&format!("--checksum=1234567 {address} /a"), &["checksum says 1234567", &commits[1]]);
    check(&format!("--checksum=sha256:12 {address} /a"), &["--checksum", "no commit"]);
    check(&format!("{address}#:nowhere /a"), &["nowhere"]);
    check(&format!("{address}#:l /a"), &["\"l\"", "symbolic link"]);
    check(&format!("{address}#:d/up /a"), &["\"d/up\"", "symbolic link"]);
    check(&format!("{address}#:a /a"), &["no directory"]);
    check(&format!("--keep-git-dir {address}?keep-git-dir=false /a"), &["contradict"]);
    check(&format!("{address}?depth=2 /a"), &["\"depth\""]);
    check("ssh://git@h/a.git /a", &["SSH", "GIT_AUTH_TOKEN"]);
}
