//! A row for each difference.

use super::*;
use crate::dockerfile::parse;
use crate::plan::{Options, resolve, triggers};

/// As [`crate::plan::plan`], but also for what cannot be carried out yet.
fn planned(file: &Dockerfile) -> Plan {
    let options = Options::default();
    let start = file.instructions.iter().position(|l| matches!(l.instruction, Instruction::From(_))).expect("FROM");
    let args = crate::plan::Args::default();
    let stages = resolve::stages(&file.instructions[start..], &args, &options, file.directives.escape).expect("stages");
    let is_built = resolve::built(&stages, &[stages.len() - 1], options.unused);
    let skipped = stages.iter().filter(|stage| !is_built[stage.index]).map(crate::plan::skipped).collect();
    assert!(triggers::left_by(&stages[0]).is_empty());
    let stages = resolve::only(stages, &is_built);
    let target = stages.len() - 1;
    Plan {
        stages,
        target,
        targets: vec![target],
        skipped,
        args,
        escape: file.directives.escape,
        unused_build_args: Vec::new(),
        idle_build_args: Vec::new(),
    }
}

fn found(text: &str, compat: &Compat) -> Vec<Difference> {
    let file = parse(text.as_bytes()).expect(text);
    differences(&file, &planned(&file), compat)
}

fn check(text: &str, expected: &[(u32, &str)]) {
    let found = found(text, &Compat::default());
    assert_eq!(found.len(), expected.len(), "{text:?}: {found:?}");
    for (difference, (line, part)) in found.iter().zip(expected) {
        assert!(difference.line == *line && difference.what.contains(part), "{text:?}: {found:?}");
    }
}

#[test]
fn lines_that_differ() {
    check("FROM a\nRUN --mount=target=/x y", &[(2, "--mount is done")]);
    check("FROM a\nRUN --network=none y", &[(2, "--network")]);
    check("FROM a\nRUN --security=insecure y", &[(2, "--security")]);
    check("FROM a\nRUN <<E\nx\nE\nRUN cat <<E\nE", &[(2, "here-document"), (5, "here-document")]);
    check("FROM a\nCOPY <<E /x\nE", &[(2, "becomes a file")]);
    check("FROM a\nCOPY --parents x y", &[(2, "--parents")]);
    check("FROM a\nCOPY --exclude=b x y", &[(2, "--exclude")]);
    check("FROM a\nCOPY --link x y", &[(2, "--link")]);
    check("FROM a\nADD --checksum=sha256:0 https://x/y z", &[(2, "--checksum")]);
    check("FROM a\nADD git@h:a/b z", &[(2, "git repository")]);
    check("FROM a\nADD https://h/a.git z", &[(2, "git repository")]);
    check("FROM a\nADD --unpack=false x y", &[(2, "--unpack")]);
    check("FROM a\nADD --keep-git-dir https://x/y z", &[(2, "--keep-git-dir")]);
    check("FROM a\nVOLUME /v\nRUN x", &[(2, "stays in the image")]);
    check("FROM a\nUSER u:g\nRUN x", &[(2, "the group that is named")]);
    check("FROM a\nHEALTHCHECK --start-interval=1s CMD x", &[(2, "--start-interval")]);
    check("FROM a\nEXPOSE 80 8000-8002", &[(2, "each port of the range")]);
    check("FROM a\nCOPY --chmod=u+x x y", &[(2, "octal modes only")]);
    check("FROM a\nMAINTAINER x", &[(2, "author")]);
    check("FROM a\nENV X=1\nARG X=2", &[(3, "ENV X and wins")]);
    check("FROM a\nARG TARGETARCH", &[(2, "TARGETARCH is set")]);
    check("FROM a AS x\nRUN y\nFROM b", &[(1, "stage 0 x is not built")]);
    check("FROM a AS x\nARG V=1\nRUN y\nFROM b\nCOPY --from=x /$V /", &[(5, "$V is empty")]);
    check("# escape=`\nFROM a\nENV A=c:\\x", &[(3, "escape character")]);
}

#[test]
fn lines_that_do_not() {
    check("FROM a\nRUN x\nCOPY x y\nADD x y\nUSER u\nRUN y\nENV A=b\nARG B=c\nEXPOSE 80\nCMD x", &[]);
    check("FROM a\nRUN x\nVOLUME /v\nUSER u:g", &[]);
    check("FROM a\nHEALTHCHECK --interval=1s CMD x", &[]);
    check("FROM a\nARG X=2\nENV X=1", &[]);
    check("FROM a\nEXPOSE 80/tcp $P-x\nCOPY --chmod=755 x y\nCOPY --chmod=$M x y", &[]);
    check("FROM a AS x\nCOPY x y\nFROM b", &[]);
    check("FROM a AS x\nARG V=1\nFROM x\nCOPY $V /", &[]);
    check("FROM a AS x\nARG V=1\nFROM b\nARG V\nCOPY --from=x $V /", &[]);
    check("# escape=`\nFROM a\nRUN c:\\x", &[]);
}

#[test]
fn what_is_kanikos_way_does_not_differ() {
    let text = "FROM a AS off\nRUN y\nFROM a\nVOLUME /v\nUSER u:g\nHEALTHCHECK --start-interval=1s CMD x\nENV X=1\n\
                ARG X=2\nARG TARGETOS\nMAINTAINER m\nRUN x";
    assert_eq!(found(text, &Compat::default()).len(), 7);
    assert_eq!(found(text, &Compat::kaniko_1_24()), []);
}

#[test]
fn front_ends() {
    for ours in [
        "docker/dockerfile:1",
        "docker/dockerfile",
        "dockerfile.v0",
        "docker.io/docker/dockerfile:1.7-labs",
        "docker/dockerfile@sha256:0",
    ] {
        assert!(!is_foreign(ours), "{ours}");
    }
    for foreign in ["devthefuture/dockerfile-x", "docker/dockerfile2", "r.example/docker/dockerfile:1"] {
        assert!(is_foreign(foreign), "{foreign}");
    }
}
