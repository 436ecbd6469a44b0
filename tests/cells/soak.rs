//! Many sequences, in rounds over all feasible cells. What was done is kept below the target directory after each round, and
//! a soak that was ended goes on from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::contexts::Context;
use crate::job::Outcome;
use crate::report;
use crate::round::{self, Outcomes};

/// Sequences of each cell in one round.
const ROUND: u64 = 40;

/// What was done so far.
#[derive(Default, Serialize, Deserialize)]
struct Done {
    /// The seed of the next round.
    next: u64,
    /// By the name of the context.
    contexts: Vec<(String, Vec<Outcome>)>,
}

/// Goes on until so many sequences were run in all.
pub fn run(total: u64) -> ExitCode {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak.json");
    let mut done: Done = fs::read(&path).ok().map(|text| serde_json::from_slice(&text).unwrap()).unwrap_or_default();
    while done.sequences() < total {
        let outcomes = round::run_all(done.next, ROUND, |_| true);
        let wrong = report::wrong(&outcomes, ROUND);
        report::say(&wrong);
        if !wrong.is_empty() {
            return ExitCode::FAILURE;
        }
        done.add(outcomes);
        done.next += ROUND;
        keep(&path, &done);
        report::say(&[format!("{} of {total} sequences, seeds below {}", done.sequences(), done.next)]);
    }
    report::print(&done.outcomes());
    ExitCode::SUCCESS
}

fn keep(path: &PathBuf, done: &Done) {
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(done).unwrap()).unwrap();
    fs::rename(new, path).unwrap();
}

impl Done {
    fn sequences(&self) -> u64 {
        self.contexts.iter().flat_map(|(_, cells)| cells).map(|cell| cell.sequences).sum()
    }

    fn add(&mut self, outcomes: Outcomes) {
        for (context, cells) in outcomes {
            let known = self.contexts.iter_mut().find(|(name, _)| name == context.name());
            let Some((_, known)) = known else {
                self.contexts.push((context.name().to_owned(), cells));
                continue;
            };
            for cell in cells {
                let same = |other: &&mut Outcome| (&other.ground, &other.rung) == (&cell.ground, &cell.rung);
                let sum = known.iter_mut().find(same).expect("every round has the same cells");
                sum.sequences += cell.sequences;
                sum.changes += cell.changes;
                sum.unheard += cell.unheard;
                sum.unpacked += cell.unpacked;
            }
        }
    }

    fn outcomes(self) -> Outcomes {
        let named = |name: &str| Context::ALL.into_iter().find(|context| context.name() == name).expect("a context");
        self.contexts.into_iter().map(|(name, cells)| (named(&name), cells)).collect()
    }
}
