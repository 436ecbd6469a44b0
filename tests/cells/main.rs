//! The table of where which recorder is exact: {ext4, xfs, btrfs, tmpfs, overlay on each, nested overlay} by {a mark on the
//! superblock, directory watches, sweep} by {all rights, Docker's capabilities, the same in a container with its filter, root
//! of a user namespace}. A cell runs random sequences through the nominator of a stage, or is refused as `table.rs` says.
//!
//! `cargo test --release --test cells` checks the table with 100 sequences a cell; `… -- check N [RIGHTS…]` checks it with N,
//! or a part of it; `… -- soak N` runs N in all, and `… -- debian` builds the Dockerfiles over Debian of the differential tests
//! (`make soak` does both).
//! The program runs itself again with other rights. It needs root and what scripts/install-deps.sh installs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

// Shared with the other tests, which use the rest of these modules.
#[allow(dead_code)]
#[path = "../../watcher/tests/it/changes.rs"]
mod changes;
#[allow(dead_code)]
#[path = "../it/differential/mod.rs"]
mod differential;
#[allow(dead_code)]
#[path = "../it/mapper.rs"]
mod mapper;
#[allow(dead_code)]
#[path = "../it/mounted.rs"]
mod mounted;
#[path = "../it/operations.rs"]
mod operations;
#[allow(dead_code)]
#[path = "../it/replay.rs"]
mod replay;
#[allow(dead_code)]
#[path = "../it/stage.rs"]
mod stage;
#[allow(dead_code)]
#[path = "../it/support/mod.rs"]
mod support;
#[allow(dead_code)]
#[path = "../it/world.rs"]
mod world;

mod contexts;
mod grounds;
mod job;
mod named;
mod report;
mod round;
mod soak;
mod table;
mod unpacked;

use std::process::ExitCode;

/// Sequences of each cell where nothing else is asked for.
const SEQUENCES: u64 = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["job", job] => {
            serde_json::from_str::<job::Job>(job).expect("a job").run(std::io::stdout().lock());
            ExitCode::SUCCESS
        }
        ["check", sequences, ref contexts @ ..] => check(sequences.parse().expect("a number"), contexts),
        ["debian"] => debian(),
        ["soak", total] => soak::run(total.parse().expect("a number")),
        // What the harness of other tests is told: only they have names to choose from.
        ["--list", ..] => ExitCode::SUCCESS,
        _ => check(SEQUENCES, &[]),
    }
}

/// The Dockerfiles over Debian, by silt and by buildah.
fn debian() -> ExitCode {
    let started = std::time::Instant::now();
    let (count, wrong) = differential::over_debian();
    report::say(&wrong);
    report::say(&[format!(
        "{count} Dockerfiles over Debian, {} wrong, {} s",
        wrong.len(),
        started.elapsed().as_secs()
    )]);
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every cell once, or those of some contexts.
fn check(sequences: u64, contexts: &[&str]) -> ExitCode {
    let wanted = |context: &contexts::Context| contexts.is_empty() || contexts.contains(&context.name());
    let outcomes = round::run_all(0, sequences, wanted);
    let wrong = report::wrong(&outcomes, sequences);
    report::print(&outcomes);
    report::say(&wrong);
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
