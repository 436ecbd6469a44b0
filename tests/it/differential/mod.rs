//! Dockerfiles that both silt and buildah build, compared by the tree and the configuration that come out.
//!
//! `cases/GROUP/NAME` is one Dockerfile with all that belongs to it; [`case::Case`] says how it is written down. A difference
//! that is known stands in its case with the reason; one that is not there any more fails too. What buildah 1.28 cannot build
//! is compared with the result written down in the case.

pub mod around;
pub mod buildah;
pub mod case;
mod everywhere;
mod outcome;
mod web;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::executor::Build;
use crate::support::tree::{Listing, Times, list, moment};
use crate::support::{image, repository, run, scratch};
use around::{Around, System, Triggers};
use buildah::Buildah;
use case::Case;
use outcome::Outcome;

/// The time of every file of a context that the case gives no other: 2001-02-03 04:05:06.
const OLD: &str = "@981173106";

/// Each directory of `cases`.
pub const GROUPS: [&str; 9] = ["add", "args", "config", "copy", "from", "ignore", "layers", "mounts", "run"];

fn cases() -> PathBuf {
    repository().join("tests/it/differential/cases")
}

/// Those over Debian's minimal system, which take longer: `make soak` builds them.
fn debian_cases() -> PathBuf {
    repository().join("tests/it/differential/debian")
}

/// The cases of a group by name.
pub fn group(name: &str) -> Vec<Case> {
    read(&cases().join(name))
}

fn read(dir: &Path) -> Vec<Case> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| Case::read(file)).collect()
}

/// Builds every case of a group with both, and fails with all that is not as the cases say.
fn compare(name: &str) {
    let wrong = wrong(&group(name), System::Busybox);
    assert!(wrong.is_empty(), "{} of {name}\n{}", wrong.len(), wrong.join("\n"));
}

fn wrong(cases: &[Case], system: System) -> Vec<String> {
    let mut around = Around::start(system);
    around.triggers = cases.iter().any(|case| case.dockerfile.contains("FROM triggers")).then(Triggers::build);
    let buildah = Buildah::new(&around);
    cases.iter().flat_map(|case| check(case, &buildah, &around)).collect()
}

/// Builds the cases over Debian. How many there are, and what is wrong with them.
pub fn over_debian() -> (usize, Vec<String>) {
    let cases = read(&debian_cases());
    (cases.len(), wrong(&cases, System::Debian))
}

/// What is wrong with a case, if anything.
fn check(case: &Case, buildah: &Buildah, around: &Around) -> Option<String> {
    let started = moment();
    let build = Build::new(&around.fill(&case.dockerfile, Path::new("")));
    let context = build.dir().join("context");
    prepare(&context, &case.context);
    let args: Vec<_> = case.args.iter().map(|arg| around.fill(arg, &context)).collect();
    let theirs = buildah.build(&case.name, &context, &args, Times::NewSince(started));
    let ours = match silt(build, around, &args, Times::NewSince(started)) {
        Ok(outcome) => outcome,
        Err(said) => return Some(format!("== {}: silt failed\n{said}", case.name)),
    };
    let (general, found) = match (&case.cannot, theirs) {
        (None, Ok(theirs)) => (everywhere::expected(&case.dockerfile, around.system), ours.differences(&theirs)),
        (Some(_), Err(_)) => (Vec::new(), base(&case.dockerfile, around.system).differences(&ours)),
        (None, Err(said)) => return Some(format!("== {}: buildah failed\n{said}", case.name)),
        (Some(_), Ok(_)) => return Some(format!("== {}: buildah builds it, which it should not", case.name)),
    };
    case.complaint(&general, &found)
}

/// Runs a case's script in its context, and makes all files there old but those that the script gave a time.
pub fn prepare(context: &Path, script: &str) {
    run(Command::new("sh").args(["-euc", &format!("umask 022\n{script}")]).current_dir(context));
    let year = moment() - 365 * 24 * 3600;
    let mut waiting = vec![context.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        if meta.mtime() > year {
            run(Command::new("touch").args(["-h", "-d", OLD]).arg(&path));
        }
    }
}

/// What silt makes of it, or what it said.
fn silt(build: Build, around: &Around, args: &[String], times: Times) -> Result<Outcome, String> {
    let dir = scratch();
    let layout = dir.path().join("image");
    let mut build = build.base("base", &around.system.layout()).args(args).arg("--no-push");
    if let Some(triggers) = &around.triggers {
        build = build.base("triggers", &triggers.layout());
    }
    let built = build.arg(format!("--oci-layout-path={}", layout.display())).run();
    if !built.status.success() {
        return Err(built.stderr());
    }
    image::check_layers(&layout);
    let unpacked = image::unpack(&format!("oci:{}", layout.display()));
    Ok(Outcome::new(tree(&unpacked.tree(), times), &unpacked.config()))
}

/// A tree, or an empty one where an image has no layer.
fn tree(root: &Path, times: Times) -> Listing {
    fs::create_dir_all(root).unwrap();
    list(root, times)
}

/// What the last stage stands on, as far as the cases go.
fn base(dockerfile: &str, system: System) -> Outcome {
    if everywhere::last_stage(dockerfile).0 == "scratch" {
        return Outcome::new(tree(&scratch().path().join("none"), Times::Exact), &serde_json::Value::Null);
    }
    let unpacked = image::unpack(&format!("oci:{}:latest", system.layout().display()));
    Outcome::new(tree(&unpacked.tree(), Times::Exact), &unpacked.config())
}

#[test]
fn add() {
    compare("add");
}

#[test]
fn args() {
    compare("args");
}

#[test]
fn config() {
    compare("config");
}

#[test]
fn copy() {
    compare("copy");
}

#[test]
fn from() {
    compare("from");
}

#[test]
fn ignore() {
    compare("ignore");
}

#[test]
fn layers() {
    compare("layers");
}

#[test]
fn mounts() {
    compare("mounts");
}

#[test]
fn run_() {
    compare("run");
}

/// What some case must have: each instruction and each flag.
const WANTED: [&str; 79] = [
    ",sharing=",
    ",from=",
    ",readonly",
    ",rw",
    ",required",
    ",size=",
    ",dst=",
    "--network=host",
    "COPY --link=false",
    "ADD --unpack=true",
    "ARG TARGET",
    "ADD --keep-git-dir",
    "RUN --mount=type=ssh",
    "--ssh=",
    "--secret=",
    "ONBUILD COPY --from=",
    "FROM triggers",
    "ADD @GIT@",
    "ADD @WEB@",
    "COPY [",
    "HEALTHCHECK --",
    "--start-interval=",
    "--security=",
    ",env=",
    "FROM scratch",
    "FROM --platform=",
    " AS ",
    "ARG ",
    "ENV ",
    "COPY ",
    "ADD ",
    "RUN ",
    "USER ",
    "WORKDIR ",
    "SHELL ",
    "VOLUME ",
    "EXPOSE ",
    "STOPSIGNAL ",
    "HEALTHCHECK ",
    "ONBUILD ",
    "LABEL ",
    "MAINTAINER ",
    "CMD ",
    "ENTRYPOINT ",
    "COPY --from=",
    "COPY --chown=",
    "COPY --chmod=",
    "COPY --link",
    "COPY --parents",
    "COPY --exclude=",
    "ADD --chown=",
    "ADD --chmod=",
    "ADD --checksum=",
    "ADD --unpack=",
    "ADD --exclude=",
    "ADD --link",
    "RUN --mount=type=bind",
    "RUN --mount=type=cache",
    "RUN --mount=type=tmpfs",
    "RUN --mount=type=secret",
    "RUN --network=",
    "--interval=",
    "--timeout=",
    "--start-period=",
    "--retries=",
    "HEALTHCHECK NONE",
    "<<EOF",
    "<<-EOF",
    "<<'EOF'",
    "RUN [",
    "CMD [",
    "ENTRYPOINT [",
    "SHELL [",
    "VOLUME [",
    "# escape=",
    "# syntax=",
    "# check=",
    "--target=",
    "--build-context=",
];

#[test]
fn every_instruction_and_flag_has_a_case_and_there_are_120() {
    let cases: Vec<_> = GROUPS.iter().flat_map(|name| group(name)).collect();
    assert!(cases.len() >= 120, "{} cases", cases.len());
    let text: String = cases.iter().map(|case| format!("{}\n{}\n", case.dockerfile, case.args.join("\n"))).collect();
    let missing: Vec<_> = WANTED.iter().filter(|wanted| !text.contains(**wanted)).collect();
    assert!(missing.is_empty(), "in no case: {missing:?}");
    let folders = fs::read_dir(self::cases()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strays: Vec<_> = folders.filter(|folder| !GROUPS.contains(&folder.as_str())).collect();
    assert!(strays.is_empty(), "directories that no test builds: {strays:?}");
}
