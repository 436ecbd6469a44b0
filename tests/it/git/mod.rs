//! Git repositories: fetched from git's own servers, and hostile ones; whole builds with ADD.

mod add;
mod hostile;

use std::fs;
use std::path::{Path, PathBuf};

use silt::git::{Address, CheckedOut, Client, GitDir, Logins};
use silt::registry::{self, Authorities, Policy};

use crate::support::authority::Authority;
use crate::support::git::{Access, Daemon, GitServer, Repo, USER, git};
use crate::support::tree::{Times, assert_same, list};
use crate::support::{run, scratch};

/// A place to check out into.
pub struct Desk {
    dir: tempfile::TempDir,
    policy: Policy,
    pub logins: Logins,
}

impl Desk {
    pub fn new(authority: Option<&Authority>) -> Desk {
        let file = authority.map(Authority::certificate);
        let policy = Policy { authorities: Authorities { file, ..Authorities::default() }, ..Policy::default() };
        let dir = scratch();
        fs::create_dir(dir.path().join("packs")).unwrap();
        Desk { dir, policy, logins: Logins::default() }
    }

    /// Checks out into an empty directory; nothing of the transfer stays.
    pub fn check_out_with(&self, address: &str, git_dir: GitDir) -> Result<CheckedOut, String> {
        let network = registry::Client::new(self.policy.clone()).unwrap().network().unwrap();
        let _ = fs::remove_dir_all(self.tree());
        fs::create_dir(self.tree()).unwrap();
        let packs = self.dir.path().join("packs");
        let client = Client { network: &network, logins: &self.logins, packs: &packs };
        let done = Address::parse(address).and_then(|address| client.check_out(&address, git_dir, &self.tree()));
        assert_eq!(fs::read_dir(&packs).unwrap().count(), 0, "packs are left");
        done.map_err(|error| format!("{error:#}"))
    }

    pub fn check_out(&self, address: &str) -> CheckedOut {
        self.check_out_with(address, GitDir::Dropped).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    pub fn fails(&self, address: &str, said: &[&str]) -> String {
        let error = self.check_out_with(address, GitDir::Dropped).expect_err(address);
        assert!(said.iter().all(|part| error.contains(part)), "{address}: {said:?} is not in {error:?}");
        assert!(!error.contains(USER.1) && !error.contains(char::is_control), "{error:?}");
        error
    }

    pub fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }
}

/// A repository with all kinds of files, two commits on `main`, one on `other`, and tags.
pub fn sample(repositories: &Path) -> (Repo, Vec<String>) {
    let repo = Repo::new(repositories, "app.git");
    let blob = |content: &[u8]| repo.blob(content);
    let old = repo.tree(&[("100644", &blob(b"old"), b"a")]);
    let first = repo.commit("main", &old);
    let inner = repo.tree(&[("100755", &blob(b"#!/bin/sh\n"), b"run"), ("120000", &blob(b"../a"), b"up")]);
    let tree = repo.tree(&[
        ("100644", &blob(&[b"x".repeat(100_000), b"\xff\0".to_vec()].concat()), b"a"),
        ("100644", &blob(b""), b"b \xff\x01\n"),
        ("40000", &inner, b"d"),
        ("120000", &blob(b"/etc/passwd"), b"l"),
    ]);
    let second = repo.commit("main", &tree);
    let other = repo.commit("other", &old);
    repo.git(&["tag", "light", "main"]);
    repo.git(&["tag", "-a", "-m", "a tag", "v1", "main"]);
    repo.git(&["update-ref", "refs/pull/4/head", &other]);
    (repo, vec![first, second, other])
}

#[test]
fn a_commit_is_the_tree_that_git_archives() {
    let authority = Authority::new();
    let server = GitServer::start(Some(&authority), Access::Everybody);
    let (repo, commits) = sample(&server.repositories());
    let daemon = Daemon::start(&server.repositories());
    let desk = Desk::new(Some(&authority));
    let expected = scratch();
    let same = |address: &str, commit: &str| {
        let done = desk.check_out(address);
        assert_eq!(done, CheckedOut { commit: commit.to_owned(), time: 1_000_000_000 }, "{address}");
        let place = expected.path().join(commit);
        repo.archive(commit, &place);
        assert_same(&list(&desk.tree(), Times::Exact), &list(&place, Times::Exact), address);
    };
    let [first, second, other] = commits.as_slice() else { panic!("three commits") };
    let address = server.address("app.git");
    same(&address, second);
    for (part, commit) in [
        ("#main", second),
        ("#other", other),
        ("#light", second),
        ("#v1", second),
        ("?tag=v1", second),
        ("?branch=other", other),
        ("#refs/heads/other", other),
        ("?ref=pull/4/head", other),
        (&*format!("#{second}"), second),
        // Not at the tip of anything.
        (&*format!("#{first}"), first),
        (&*format!("?tag=v1&checksum={}", &second[..7]), second),
    ] {
        same(&format!("{address}{part}"), commit);
    }
    same(&server.address("moved/app.git"), second);
    same(&daemon.address("app.git#v1"), second);
    same(&daemon.address(&format!("app.git#{first}")), first);
}

#[test]
fn what_is_not_there_is_said() {
    let authority = Authority::new();
    let server = GitServer::start(Some(&authority), Access::Everybody);
    let (_, commits) = sample(&server.repositories());
    Repo::new(&server.repositories(), "empty.git");
    let desk = Desk::new(Some(&authority));
    let address = server.address("app.git");
    desk.fails(&format!("{address}#nothing"), &["app.git", "no branch or tag \"nothing\""]);
    desk.fails(&format!("{address}#{}", &commits[0][..7]), &["40 digits"]);
    desk.fails(&format!("{address}#{}", "1".repeat(40)), &["no commit 1111"]);
    desk.fails(&format!("{address}?checksum=1234567"), &["checksum says 1234567", &commits[1]]);
    desk.fails(&server.address("none.git"), &["none.git", "404"]);
    desk.fails(&server.address("empty.git"), &["no default branch"]);
    Desk::new(None).fails(&address, &["certificate"]);
    Daemon::start(&server.repositories());
    desk.fails("git://127.0.0.1:1/app.git", &["connect to 127.0.0.1:1"]);
}

#[test]
fn one_commit_is_fetched_and_no_history() {
    let server = GitServer::start(None, Access::Everybody);
    let (repo, commits) = sample(&server.repositories());
    let large: Vec<u8> = (0..2_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let tree = repo.tree(&[("100644", &repo.blob(&large), b"large")]);
    repo.commit("main", &tree);
    repo.commit("main", &repo.git(&["rev-parse", &format!("{}^{{tree}}", commits[1])]));
    let desk = Desk::new(None);
    desk.check_out(&server.address("app.git"));
    let log = server.log(|lines| lines.len() == 3);
    assert_eq!(log.len(), 3, "{log:#?}");
    assert!(log[0].starts_with("GET /app.git/info/refs?service=git-upload-pack 200"), "{log:#?}");
    assert!(log[1].contains("command=ls-refs") && log[2].contains("deepen 1"), "{log:#?}");
    desk.check_out_with(&server.address("app.git"), GitDir::Kept).unwrap();
    let count = run(git(&desk.tree()).args(["rev-list", "--count", "--all"]));
    assert_eq!(count.trim(), "1");
    let packs: u64 = fs::read_dir(desk.tree().join(".git/objects/pack"))
        .unwrap()
        .map(|it| it.unwrap().metadata().unwrap().len())
        .sum();
    assert!(packs < 10_000, "{packs} bytes: history came along");
}

#[test]
fn the_git_directory_is_one_that_git_takes() {
    let authority = Authority::new();
    let server = GitServer::start(Some(&authority), Access::Password);
    let (_, commits) = sample(&server.repositories());
    let desk = Desk::new(Some(&authority));
    for (part, name) in [("", "refs/heads/main"), ("#v1", "refs/tags/v1"), (&*format!("#{}", commits[1]), "")] {
        let address = server.address("app.git").replace("://", &format!("://{}:{}@", USER.0, USER.1));
        desk.check_out_with(&format!("{address}{part}"), GitDir::Kept).unwrap();
        let git = |args: &[&str]| run(git(&desk.tree()).args(args)).trim().to_owned();
        assert_eq!(git(&["rev-parse", "HEAD"]), commits[1]);
        assert_eq!(git(&["status", "--porcelain"]), "");
        git(&["fsck", "--strict", "--no-dangling"]);
        assert_eq!(git(&["for-each-ref", "--format=%(refname)"]), name, "{part}");
        assert_eq!(git(&["remote", "get-url", "origin"]), server.address("app.git"));
        let grep = std::process::Command::new("grep").args(["-r", USER.1]).arg(desk.tree()).output().unwrap();
        assert_eq!(grep.status.code(), Some(1), "the password stays: {grep:?}");
        assert!(!desk.tree().join(".git/hooks").exists());
    }
}

#[test]
fn a_login_goes_to_its_host_alone() {
    let authority = Authority::new();
    let server = GitServer::start(Some(&authority), Access::Password);
    sample(&server.repositories());
    let mut desk = Desk::new(Some(&authority));
    let address = server.address("app.git");
    let said = desk.fails(&address, &["401", "without a credential", "GIT_AUTH_TOKEN"]);
    assert!(said.contains("app.git"), "{said}");
    desk.logins.add("elsewhere.test", silt::git::Login::token(USER.1));
    desk.fails(&address, &["without a credential"]);
    desk.logins.add(&server.host(), silt::git::Login::token(USER.1));
    desk.check_out(&address);
    desk.check_out(&server.address("moved/app.git"));
    let mut wrong = Desk::new(Some(&authority));
    wrong.logins.add(&server.host(), silt::git::Login::token("wrong"));
    wrong.fails(&address, &["401", "with the credential"]);
    let before = server.log(|_| true).len();
    let other = GitServer::start(Some(&authority), Access::Everybody);
    sample(&other.repositories());
    desk.check_out(&other.address("app.git"));
    let log = other.log(|lines| lines.len() == 3);
    assert!(log.iter().all(|line| line.contains("\"-\"")), "a credential went along: {log:#?}");
    assert_eq!(server.log(|_| true).len(), before);
    desk.fails("http://u:hunter2@git.invalid/a.git", &["over https only"]);
}
