//! A build with a cache gives what one without it gives: each Dockerfile of the differential cases twice, the second time out of the
//! cache, and some a third time with steps between that are carried out over what the cache has.

use super::{essence, outcome};
use crate::differential::case::Case;
use crate::differential::web::Web;
use crate::differential::{GROUPS, group, prepare};
use crate::support::executor::{Build, Built};
use crate::support::tree::{Times, list, moment};
use crate::support::{bases, image, scratch};

/// One case in so many is built a third time.
const THIRD: usize = 4;

/// A build of a case with the cache `repo`, and the instant before its context was made.
fn build(case: &Case, web: &Web, repo: &str) -> (Build, i64) {
    let started = moment();
    let build = Build::new(&case.dockerfile.replace("@WEB@", &web.address)).base("base", &bases::busybox());
    let context = build.dir().join("context");
    prepare(&context, &case.context);
    let args = case.args.iter().map(|arg| arg.replace("@CONTEXT@", &context.display().to_string()));
    let args: Vec<String> = args.map(|arg| arg.replace("@WEB@", &web.address)).collect();
    (build.args(args).args(["--cache", "--no-push"]).arg(format!("--cache-repo={repo}")), started)
}

fn succeeded(case: &Case, build: Build) -> Built {
    let built = build.run();
    assert!(built.status.success(), "{}\n{}", case.name, built.stderr());
    built
}

/// What is wrong with a case, and how many steps the cache had.
fn check(case: &Case, web: &Web, is_third: bool) -> (Option<String>, usize) {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let (first, started) = build(case, web, &repo);
    let first = succeeded(case, first.arg("--cache-copy-layers"));
    let second = succeeded(case, build(case, web, &repo).0.arg("--cache-copy-layers"));
    let (hits, runs) = outcome(&second);
    let mut wrong = None;
    if essence(&first.layout()) != essence(&second.layout()) {
        wrong = Some(format!("{}: the second image is another; carried out: {runs:?}", case.name));
    }
    if is_third {
        let third = succeeded(case, build(case, web, &repo).0);
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
    let web = Web::start();
    let cases: Vec<Case> = GROUPS.iter().flat_map(|name| group(name)).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            && let Some(case) = cases.get(number)
        {
            found.push(check(case, &web, number % THIRD == 0));
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
