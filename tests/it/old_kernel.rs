//! Builds on kernels that lack what came later, played by a seccomp filter that `old_kernel.c` sets before the executor
//! starts. Every build comes out as on the kernel that is there.
//!
//! What the filter leaves in, since no kernel that runs containers today lacks it: statx (4.11), memfd_create (3.17),
//! copy_file_range (4.5), getrandom (3.17), signalfd, pivot_root and setns as they are. rseq (4.18) is libc's affair.

use std::path::PathBuf;
use std::process::Command;

use crate::support::executor::{Build, Built};
use crate::support::tree::{Times, assert_same, list, moment};
use crate::support::{bases, repository, run};

const DOCKERFILE: &str = "FROM base AS one\n\
    RUN mkdir -p /d/e && echo 1 > /d/one && ln /d/one /d/e/x && ln -s one /d/link && mkfifo /d/fifo\n\
    RUN (setsid sleep 1007 > /dev/null 2>&1 &) ; rm /etc/motd; mv /opt/old /opt/new; chown -R 7:8 /d\n\
    FROM base\n\
    COPY --from=one /d /copied\n\
    COPY file /deep/er/file\n\
    WORKDIR /made/here\n\
    RUN echo 2 > two; mkdir /n && ln /etc/passwd /n/p && echo x:x:7:7::/: >> /n/p && rm -r /n\n\
    RUN rm -r /copied/e; chmod 4711 /deep/er/file; echo 3 > two\n\
    FROM one\n\
    COPY --from=1 /made /made\n\
    RUN cat /made/here/two > /three && rm /made/here/two\n";

/// Compiles the program that sets the filter.
fn old_kernel() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("old_kernel-{}", std::process::id()));
    static COMPILED: std::sync::Once = std::sync::Once::new();
    COMPILED.call_once(|| {
        run(Command::new("cc")
            .args(["-static", "-O1", "-o"])
            .arg(&program)
            .arg(repository().join("tests/it/old_kernel.c")));
    });
    program
}

/// Builds through `program`.
fn build(program: &[&str], arguments: &[&str]) -> Built {
    let build = Build::new(DOCKERFILE).base("base", &bases::busybox()).file("file", "content");
    let build = build.args(arguments.iter().copied()).arg("--no-push");
    if program.is_empty() { build.succeed() } else { build.through(program).succeed() }
}

#[test]
fn every_recorder_builds_the_same_on_old_kernels() {
    let since = moment();
    let built = build(&[], &[]);
    assert_eq!(built.steps("RUN")[0]["recorder"], "fanotify", "then this test shows nothing");
    let expected = list(&built.root(), Times::NewSince(since));
    let program = old_kernel();
    let program = program.to_str().unwrap();
    let check = |program: &[&str], arguments: &[&str], recorder: &str| {
        let built = build(program, arguments);
        assert!(built.steps("RUN").iter().all(|step| step["recorder"] == recorder), "{program:?} {arguments:?}");
        assert_same(&list(&built.root(), Times::NewSince(since)), &expected, "old kernel, this kernel");
    };
    for age in ["4.19", "5.10"] {
        check(&[program, age], &[], "sweep");
        check(&[program, age], &["--recorder=dirwatch"], "dirwatch");
        check(&[program, age], &["--recorder=sweep", "--verify-snapshot"], "sweep");
        check(&[program, age], &["--snapshot-mode=full"], "full");
    }
    // Without the right to mount as well, and in a chroot then.
    let unprivileged = [program, "4.19", "setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"];
    check(&unprivileged, &[], "sweep");
}

#[test]
fn an_old_kernel_is_named_as_the_reason() {
    let program = old_kernel();
    let program = program.to_str().unwrap();
    let build = || Build::new("FROM base\nRUN echo 1 > /new\n").base("base", &bases::busybox()).arg("--no-push");
    let step = build().through(&[program, "4.19"]).succeed().steps("RUN").remove(0);
    assert!(step["recorder_why"].as_str().unwrap().contains("this kernel is older than 5.17"), "{step}");
    let refused = ["fanotify cannot be used here", "this kernel is older than 5.17"];
    build().arg("--recorder=fanotify").through(&[program, "5.10"]).fail(1, &refused);
}
