//! Repositories that mean harm, written with git's own plumbing: what is refused, and that nothing outside is touched.

use std::fs;

use silt::git::GitDir;

use super::{Desk, Repo};
use crate::support::git::{Access, Daemon, GitServer};
use crate::support::scratch;

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let dir = scratch();
    let repo = Repo::new(dir.path(), "bad.git");
    let (blob, desk) = (repo.blob(b"evil"), Desk::new(None));
    let outside = desk.tree().parent().unwrap().join("canary");
    fs::write(&outside, "alive").unwrap();
    let daemon = Daemon::start(dir.path());
    let inner = repo.tree(&[("100644", &blob, b"canary")]);
    let long = [b'n'; 256];
    let names: [&[u8]; 12] = [
        b"..",
        b".",
        b".git",
        b".GIT",
        b"git~1",
        b".git ",
        b"../canary",
        b"/canary",
        b"a/b",
        b".g\xe2\x80\x8cit",
        b".git::$INDEX_ALLOCATION",
        &long,
    ];
    for (number, name) in names.iter().enumerate() {
        for (kind, mode, id) in [("file", "100644", &blob), ("tree", "40000", &inner), ("link", "120000", &blob)] {
            let tree = repo.tree(&[(mode, id, name)]);
            let branch = format!("{kind}{number}");
            repo.commit(&branch, &tree);
            let shown = String::from_utf8_lossy(name).into_owned();
            desk.fails(&daemon.address(&format!("bad.git#{branch}")), &["bad.git", "is not checked out"]);
            assert_eq!(fs::read_dir(desk.tree()).unwrap().count(), 0, "{shown:?}");
        }
    }
    assert_eq!(fs::read_to_string(&outside).unwrap(), "alive");
}

#[test]
fn nothing_is_written_through_a_link() {
    let dir = scratch();
    let repo = Repo::new(dir.path(), "bad.git");
    let desk = Desk::new(None);
    let outside = scratch();
    let target = repo.blob(outside.path().as_os_str().as_encoded_bytes());
    let inner = repo.tree(&[("100644", &repo.blob(b"evil"), b"f")]);
    let daemon = Daemon::start(dir.path());
    let cases = [
        ("link-tree", [("120000", &target), ("40000", &inner)]),
        ("link-file", [("120000", &target), ("100644", &target)]),
        ("tree-link", [("40000", &inner), ("120000", &target)]),
        ("link-module", [("120000", &target), ("160000", &target)]),
    ];
    for (name, entries) in cases {
        let entries: Vec<_> = entries.iter().map(|(mode, id)| (*mode, id.as_str(), &b"d"[..])).collect();
        repo.commit(name, &repo.tree(&entries));
        desk.fails(&daemon.address(&format!("bad.git#{name}")), &["exists", "\"d\""]);
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{name}");
    }
    repo.commit("modules", &repo.tree(&[("120000", &target, b".gitmodules")]));
    desk.fails(&daemon.address("bad.git#modules"), &[".gitmodules"]);
}

#[test]
fn what_no_file_can_be_is_refused() {
    let dir = scratch();
    let repo = Repo::new(dir.path(), "bad.git");
    let (desk, daemon) = (Desk::new(None), Daemon::start(dir.path()));
    let check = |branch: &str, entries: &[(&str, &str, &[u8])], said: &str| {
        repo.commit(branch, &repo.tree(entries));
        desk.fails(&daemon.address(&format!("bad.git#{branch}")), &["bad.git", said]);
    };
    let (blob, long) = (repo.blob(b"x\0y"), repo.blob(&[b'x'; 5000]));
    check("nul", &[("120000", &blob, b"l")], "symbolic link");
    check("long", &[("120000", &long, b"l")], "symbolic link");
    let empty = repo.blob(b"");
    check("empty", &[("120000", &empty, b"l")], "symbolic link");
    // A tree that holds so many of one below one another that no machine could write it.
    let mut bomb = repo.tree(&[("100644", &empty, b"f")]);
    for _ in 0..600 {
        bomb = repo.tree(&[("40000", &bomb, b"d")]);
    }
    check("deep", &[("40000", &bomb, b"d")], "deep");
    let tag = repo.git(&["rev-parse", "nul^{tree}"]);
    repo.git(&["update-ref", "refs/tags/tree", &tag]);
    desk.fails(&daemon.address("bad.git#tree"), &["no commit"]);
}

#[test]
fn nothing_of_the_other_side_is_executed_or_honoured() {
    let server = GitServer::start(None, Access::Everybody);
    let repo = Repo::new(&server.repositories(), "app.git");
    let marker = scratch();
    let evil = format!(
        "[core]\n\tfsmonitor = touch {0}/ran\n\thooksPath = .\n[filter \"x\"]\n\tsmudge = touch {0}/ran\n",
        marker.path().display()
    );
    let attributes = repo.blob(b"* filter=x eol=crlf ident working-tree-encoding=UTF-16\n");
    let hook = repo.blob(format!("#!/bin/sh\ntouch {}/ran\n", marker.path().display()).as_bytes());
    let tree = repo.tree(&[
        ("100644", &attributes, b".gitattributes"),
        ("100644", &repo.blob(evil.as_bytes()), b".gitconfig"),
        ("100644", &repo.blob(b"$Id$\nline\n"), b"f"),
        ("100755", &hook, b"post-checkout"),
    ]);
    repo.commit("main", &tree);
    let desk = Desk::new(None);
    desk.check_out_with(&server.address("app.git"), GitDir::Kept).unwrap();
    assert_eq!(fs::read(desk.tree().join("f")).unwrap(), b"$Id$\nline\n");
    assert_eq!(fs::read_dir(marker.path()).unwrap().count(), 0);
    assert!(!fs::read_to_string(desk.tree().join(".git/config")).unwrap().contains("filter"));
}

#[test]
fn submodules_come_from_servers_alone() {
    let server = GitServer::start(None, Access::Everybody);
    let library = Repo::new(&server.repositories(), "lib.git");
    let commit = library.commit("main", &library.tree(&[("100644", &library.blob(b"library"), b"l")]));
    let app = Repo::new(&server.repositories(), "app.git");
    let desk = Desk::new(None);
    let make = |branch: &str, url: &str, path: &str| {
        let modules = app.blob(format!("[submodule \"x\"]\n\tpath = {path}\n\turl = {url}\n").as_bytes());
        let inner = app.tree(&[("160000", &commit, b"lib")]);
        app.commit(branch, &app.tree(&[("100644", &modules, b".gitmodules"), ("40000", &inner, b"d")]));
        server.address(&format!("app.git#{branch}"))
    };
    for (branch, url) in [("relative", "../lib.git"), ("absolute", &*server.address("lib.git"))] {
        desk.check_out(&make(branch, url, "d/lib"));
        assert_eq!(fs::read_to_string(desk.tree().join("d/lib/l")).unwrap(), "library", "{url}");
        assert!(!desk.tree().join("d/lib/.git").exists());
    }
    desk.check_out(&server.address("app.git?branch=relative&submodules=false"));
    assert_eq!(fs::read_dir(desk.tree().join("d/lib")).unwrap().count(), 0);
    let local = server.repositories().join("lib.git").display().to_string();
    for (branch, url) in
        [("path", &*local), ("file", &*format!("file://{local}")), ("ext", "ext::sh -c id"), ("option", "-u./x")]
    {
        desk.fails(&make(branch, url, "d/lib"), &["submodule \"d/lib\""]);
    }
    desk.fails(&make("unnamed", "../lib.git", "elsewhere"), &["no submodule \"d/lib\"", "submodules=false"]);
    desk.fails(&make("ssh", "git@h:x/y", "d/lib"), &["SSH"]);
}
