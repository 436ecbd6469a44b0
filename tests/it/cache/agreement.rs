//! A build with a cache gives what one without it gives: each Dockerfile of the differential cases twice, the second time out of the
//! cache, and some a third time with steps between that are carried out over what the cache has.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{essence, outcome};
use crate::differential::around::{Around, System, Triggers};
use crate::differential::case::Case;
use crate::differential::{GROUPS, group, prepare};
use crate::support::executor::{Build, Built};
use crate::support::tree::{Times, list, moment};
use crate::support::{bases, image, run, scratch};

/// One case in so many is built a third time.
const THIRD: usize = 5;

/// The bases of all cases, and where their addresses lead.
struct Stage {
    base: PathBuf,
    triggers: PathBuf,
    around: Around,
}

impl Stage {
    fn new() -> Stage {
        let mut around = Around::start(System::Busybox);
        let triggers = around.triggers.insert(Triggers::build()).layout();
        Stage { base: bases::busybox(), triggers, around }
    }

    /// A build of a case with the cache `repo`, whose context is that of `former` where there was one.
    fn build(&self, case: &Case, repo: &str, former: Option<&Path>) -> Build {
        let build = Build::new(&self.around.fill(&case.dockerfile, Path::new("")));
        let build = build.base("base", &self.base).base("triggers", &self.triggers);
        let context = build.dir().join("context");
        match former {
            Some(former) => drop(run(Command::new("cp").arg("-a").arg(former.join(".")).arg(&context))),
            None => prepare(&context, &case.context),
        }
        let args: Vec<String> = case.args.iter().map(|arg| self.around.fill(arg, &context)).collect();
        build.args(args).args(["--cache", "--no-push"]).arg(format!("--cache-repo={repo}"))
    }
}

fn succeeded(case: &Case, build: Build) -> Built {
    let built = build.run();
    assert!(built.status.success(), "{}\n{}", case.name, built.stderr());
    built
}

/// What is wrong with a case, and how many steps the cache had.
fn check(case: &Case, stage: &Stage, is_third: bool) -> (Option<String>, usize) {
    let dir = scratch();
    let (repo, started) = (format!("oci:{}", dir.path().display()), moment());
    let first = succeeded(case, stage.build(case, &repo, None).arg("--cache-copy-layers"));
    let context = first.dir().join("context");
    let second = succeeded(case, stage.build(case, &repo, Some(&context)).arg("--cache-copy-layers"));
    let (hits, runs) = outcome(&second);
    let mut wrong = None;
    if essence(&first.layout()) != essence(&second.layout()) {
        wrong = Some(format!("{}: the second image is another; carried out: {runs:?}", case.name));
    }
    if is_third {
        let third = succeeded(case, stage.build(case, &repo, Some(&context)));
        let tree = |built: &Built| {
            let unpacked = image::unpack(&format!("oci:{}", built.layout().display()));
            std::fs::create_dir_all(unpacked.tree()).unwrap();
            list(&unpacked.tree(), Times::NewSince(started))
        };
        let differences = tree(&first).differences(&tree(&third));
        if !differences.is_empty() {
            wrong = Some(format!("{}: with its copies carried out: {differences:?}", case.name));
        }
    }
    (wrong, hits.len())
}

#[test]
fn the_cases_come_out_of_the_cache_as_they_went_in() {
    let stage = Stage::new();
    let cases: Vec<Case> = GROUPS.iter().flat_map(|name| group(name)).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            && let Some(case) = cases.get(number)
        {
            found.push(check(case, &stage, number % THIRD == 0));
        }
        found
    };
    let found: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let wrong: Vec<_> = found.iter().filter_map(|(wrong, _)| wrong.clone()).collect();
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), found.len(), wrong.join("\n"));
    let hits: usize = found.iter().map(|(_, hits)| hits).sum();
    assert!(hits > cases.len(), "only {hits} steps came from the cache");
}
