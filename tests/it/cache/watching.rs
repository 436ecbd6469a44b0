//! Caches where recordings are not complete before the end of a stage, and where the build is in `/`.

use std::fs;

use super::{cached, done, ran};
use crate::support::executor::{Build, Built};
use crate::support::trial::trial;
use crate::support::{image, scratch, tree};

/// A build in which directory watches record.
fn watched(file: &str, repo: &str) -> Build {
    let build = cached(file, repo).arg("--recorder=dirwatch");
    let explained = build.dir().join("explained");
    build.arg(format!("--cache-explain={}", explained.display()))
}

/// Removes the entry of a build's step of this number.
fn forget(dir: &std::path::Path, built: &Built, step: usize) {
    let explained = fs::read(built.dir().join("explained")).unwrap();
    let explained: serde_json::Value = serde_json::from_slice(&explained).unwrap();
    fs::remove_dir_all(dir.join(explained["steps"][step]["key"].as_str().unwrap())).unwrap();
}

#[test]
fn no_step_is_cached_of_a_stage_in_which_a_change_was_not_heard() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let hidden = "mkdir /n && ln /etc/passwd /n/p && echo x:x:7:7::/: >> /n/p && rm -r /n";
    let file = format!("FROM base\nRUN {hidden}\nRUN echo 2 > /two\nFROM base\nRUN echo 3 > /three\n");
    let all = ["--skip-unused-stages=false"];
    let first = done(watched(&file, &repo).args(all));
    assert!(first.stderr().contains("in a layer of their own"), "then this test shows nothing: {}", first.stderr());
    ran(&done(watched(&file, &repo).args(all)), &[&format!("RUN {hidden}"), "RUN echo 2 > /two"]);
}

#[test]
fn what_comes_out_of_the_cache_between_two_steps_is_watched() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let file = "FROM base\nRUN mkdir /a && echo 1 > /a/1\nRUN mkdir -p /b/c && echo 2 > /b/2 && rm /a/1\n\
                RUN echo 3 > /b/c/3 && echo 4 >> /b/2 && rmdir /a\n";
    let first = done(watched(file, &repo));
    forget(dir.path(), &first, 0);
    forget(dir.path(), &first, 2);
    let second = done(watched(file, &repo));
    ran(&second, &["RUN mkdir /a && echo 1 > /a/1", "RUN echo 3 > /b/c/3 && echo 4 >> /b/2 && rmdir /a"]);
    assert!(!second.stderr().contains("in a layer of their own"), "{}", second.stderr());
    let unpacked = image::unpack(&format!("oci:{}", second.layout().display()));
    let (read, left) =
        (tree::list(&unpacked.tree(), tree::Times::Exact), tree::list(&second.root(), tree::Times::Exact));
    tree::assert_same(&read, &left, "image, root");
    assert_eq!(fs::read(unpacked.tree().join("b/2")).unwrap(), b"2\n4\n");
}

#[test]
fn in_the_root_of_a_container_a_cache_serves_too() {
    let trial = trial(
        "FROM base AS one\nRUN echo 1 > /one && rm /etc/motd\nFROM base\nCOPY --from=one /one /uno\nWORKDIR /srv\nRUN cat /uno > two\n",
    );
    let started = tree::moment();
    let name = |tag: &str| trial.registry.name(&format!("app:{tag}"));
    let cache = format!("--cache-repo={}", trial.registry.name("app/cache"));
    let build = |tag: &str, more: &[&str]| {
        let args = ["--build-context=base=oci-layout:///base:latest", "--cache", "--cache-copy-layers", &cache];
        let done = trial.command(&args).args(more).arg(format!("--destination={}", name(tag))).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}");
        said
    };
    assert!(build("1", &[]).contains("0 of 4 steps found"));
    let said = build("2", &[]);
    assert!(said.contains("4 of 4 steps found"), "{said}");
    // COPY is carried out, so its stage is needed, whose RUN is found.
    let said = build("3", &["--cache-copy-layers=false"]);
    assert!(said.contains("3 of 4 steps found"), "{said}");
    let trees = ["1", "2", "3"].map(|tag| image::unpack(&format!("docker://{}", name(tag))));
    for unpacked in &trees {
        assert_eq!(fs::read(unpacked.tree().join("srv/two")).unwrap(), b"1\n");
        let list = |unpacked: &image::Unpacked| tree::list(&unpacked.tree(), tree::Times::NewSince(started));
        tree::assert_same(&list(&trees[0]), &list(unpacked), "the first build, a later one");
    }
}
