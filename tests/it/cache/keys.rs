//! What makes another key, and what does not: each known fault of caches of this kind would fail here.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{cached, done, ran};
use crate::support::executor::Build;
use crate::support::{run, scratch};

/// Builds `one`, then `other`, and expects that of the second just `expected` is carried out.
fn second(one: impl Fn(&str) -> Build, other: impl Fn(&str) -> Build, expected: &[&str]) {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    done(one(&repo));
    ran(&done(other(&repo)), expected);
}

#[test]
fn a_file_that_is_renamed_is_another() {
    let file = "FROM base\nCOPY d /d/\n";
    let with = |name: &'static str| move |repo: &str| cached(file, repo).file(name, "same");
    second(with("d/a"), with("d/a"), &[]);
    second(with("d/a"), with("d/b"), &["COPY d /d/"]);
    second(with("d/ab/c"), with("d/a/bc"), &["COPY d /d/"]);
}

#[test]
fn times_and_places_do_not_count_and_modes_do() {
    let file = "FROM base\nCOPY d /d/\nRUN cat /d/a\n";
    let plain = |repo: &str| cached(file, repo).file("d/a", "x");
    let old = |repo: &str| {
        let build = plain(repo);
        run(Command::new("touch").args(["-d", "@1"]).arg(build.dir().join("context/d/a")));
        build
    };
    second(plain, old, &[]);
    let mode = |repo: &str| {
        let build = plain(repo);
        std::fs::set_permissions(build.dir().join("context/d/a"), std::fs::Permissions::from_mode(0o711)).unwrap();
        build
    };
    second(plain, mode, &["COPY d /d/", "RUN cat /d/a"]);
}

#[test]
fn bodies_of_here_documents_count() {
    let run = |body: &str| format!("FROM base\nRUN <<EOF\necho {body} > /x\nEOF\n");
    let copy = |body: &str| format!("FROM base\nARG V\nCOPY <<EOF /x\n{body} $V\nEOF\n");
    second(|repo| cached(&run("1"), repo), |repo| cached(&run("2"), repo), &["RUN <<EOF"]);
    second(|repo| cached(&copy("1"), repo), |repo| cached(&copy("2"), repo), &["COPY <<EOF /x"]);
    let with = |value: &'static str| move |repo: &str| cached(&copy("1"), repo).arg(format!("--build-arg=V={value}"));
    second(with("a"), with("a"), &[]);
    second(with("a"), with("b"), &["COPY <<EOF /x"]);
}

#[test]
fn arguments_count_where_they_are_used() {
    let file = "FROM base\nRUN true\nARG V\nCOPY $V /x\nARG W\nRUN echo $W\n";
    let with = |v: &'static str, w: &'static str| {
        move |repo: &str| {
            let args = [format!("--build-arg=V={v}"), format!("--build-arg=W={w}"), "--build-arg=HTTP_PROXY=x".into()];
            cached(file, repo).file("a", "same").file("b", "same").args(args)
        }
    };
    second(with("a", "1"), with("a", "1"), &[]);
    second(with("a", "1"), with("a", "2"), &["RUN echo $W"]);
    second(with("a", "1"), with("b", "1"), &["COPY $V /x", "RUN echo $W"]);
    // One that no ARG names, or that a builder sees to, is in no key.
    let unused = |repo: &str| {
        with("a", "1")(repo).args(["--build-arg=HTTP_PROXY=y", "--build-arg=no_proxy=z", "--build-arg=OTHER=1"])
    };
    second(with("a", "1"), unused, &[]);
}

#[test]
fn the_environment_of_a_run_counts_and_labels_do_not() {
    let file = |before: &str| format!("FROM base\n{before}\nRUN echo x\n");
    let of = |before: &'static str| move |repo: &str| cached(&file(before), repo);
    let again = &["RUN echo x"];
    second(of("LABEL a=1"), of("LABEL a=2"), &[]);
    second(of("LABEL a=1"), of("CMD x"), &[]);
    second(of("ENV A=1"), of("ENV A=2"), again);
    second(of("USER root"), of("USER 7"), again);
    second(of("SHELL [\"/bin/sh\", \"-c\"]"), of("SHELL [\"/bin/sh\", \"-ec\"]"), again);
    second(of("ENV A=1 B=2"), of("ENV A=\"1 B=2\""), again);
}

#[test]
fn what_mounts_show_counts_and_secrets_do_not() {
    let file = "FROM base\nRUN --mount=target=/m,source=d --mount=type=secret,id=s --mount=type=cache,id=c,target=/c cat /m/a > /x\n";
    let with = |content: &'static str, secret: &'static str| {
        move |repo: &str| {
            let build =
                cached(file, repo).file("d/a", content).file(".dockerignore", "secret\n").file("secret", secret);
            let path = build.dir().join("context/secret");
            build.arg(format!("--secret=id=s,src={}", path.display()))
        }
    };
    let run = file.lines().nth(1).unwrap();
    second(with("1", "a"), with("1", "b"), &[]);
    second(with("1", "a"), with("2", "a"), &[run]);
}

#[test]
fn which_names_are_one_file_counts() {
    let file = "FROM base\nCOPY d /d/\n";
    let two = |repo: &str| cached(file, repo).file("d/a", "same").file("d/b", "same");
    let one = |repo: &str| {
        let build = cached(file, repo).file("d/a", "same");
        let context = build.dir().join("context/d");
        std::fs::hard_link(context.join("a"), context.join("b")).unwrap();
        build
    };
    second(two, two, &[]);
    second(one, one, &[]);
    second(two, one, &["COPY d /d/"]);
}

#[test]
fn what_is_ignored_does_not_count_and_stages_know_no_ignore_rules() {
    let file = "FROM base AS one\nARG V\nRUN mkdir /skipped && echo $V > /skipped/x\nFROM base\nCOPY . /c/\n\
                COPY --from=one /skipped /s/\n";
    let with = |ignored: &'static str, value: &'static str| {
        move |repo: &str| {
            let build = cached(file, repo).file("kept", "k").file("skipped/x", ignored);
            let build = build.file(".dockerignore", "skipped\nDockerfile\n.dockerignore\nexplained\n");
            build.arg(format!("--build-arg=V={value}"))
        }
    };
    second(with("1", "a"), with("2", "a"), &[]);
    let run = "RUN mkdir /skipped && echo $V > /skipped/x";
    second(with("1", "a"), with("1", "b"), &[run, "COPY --from=one /skipped /s/"]);
}

#[test]
fn a_volume_has_no_time_in_a_key() {
    // With kaniko's ways it makes a directory, which has another time in each build.
    let file = "FROM base\nRUN mkdir /v && echo x > /v/x\nVOLUME /v /made\nRUN echo y > /y\n";
    for way in [&["--compat=kaniko-1.24", "--image-format=docker"][..], &[]] {
        let with = |file: String| move |repo: &str| cached(&file, repo).args(way.iter().copied());
        second(with(file.to_owned()), with(file.to_owned()), &[]);
        // What kaniko drops below one is a reason for another key.
        let other = file.replace("VOLUME /v /made", "VOLUME /made");
        let expected: &[&str] = if way.len() > 1 { &["RUN echo y > /y"] } else { &[] };
        second(with(file.to_owned()), with(other), expected);
    }
}
