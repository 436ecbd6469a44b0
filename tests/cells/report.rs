//! What the cells came to, as a table, and what of it is not as expected.

use std::io::Write as _;

use crate::contexts::Context;
use crate::job::Outcome;
use crate::round::Outcomes;
use crate::stage::Rung;
use crate::table::expected;

/// Whether a cell is one where sequences run.
pub fn is_feasible(outcome: &Outcome) -> bool {
    outcome.verdict.starts_with("exact")
}

/// All that is not as it must be after so many sequences a cell.
pub fn wrong(outcomes: &Outcomes, sequences: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    for (context, cells) in outcomes {
        if cells.len() != 27 {
            wrong.push(format!("{}: {} cells of 27", context.name(), cells.len()));
        }
        for cell in cells {
            wrong.extend(
                judge(*context, cell, sequences)
                    .map(|what| format!("{}, {}, {}: {what}", cell.ground, context.name(), cell.rung)),
            );
        }
    }
    let unheard: usize = outcomes.iter().flat_map(|(_, cells)| cells).map(|cell| cell.unheard).sum();
    if unheard == 0 {
        wrong.push("no watch missed anything, so the settling was not tried".to_owned());
    }
    wrong
}

fn judge(context: Context, cell: &Outcome, sequences: u64) -> Option<String> {
    let rung = Rung::ALL.iter().position(|rung| rung.name() == cell.rung)?;
    let expected = expected(context.name(), &cell.ground, rung);
    if let Some(failure) = &cell.failure {
        return Some(failure.clone());
    }
    if cell.verdict != expected {
        return Some(format!("expected {expected:?}, found {:?}", cell.verdict));
    }
    let (feasible, least) = (is_feasible(cell), sequences as usize * 25);
    if feasible && (cell.sequences, cell.unpacked) != (sequences, sequences.div_ceil(20)) {
        return Some(format!("{} sequences, {} unpacked", cell.sequences, cell.unpacked));
    }
    if feasible && cell.first == 0 && cell.named < 50 {
        return Some(format!("only {} kinds of changes were done by name", cell.named));
    }
    (feasible && cell.changes < least).then(|| format!("only {} changes were made", cell.changes))
}

/// The table: the verdict, and how many sequences with how many changes (of these unheard until settled) were run.
pub fn print(outcomes: &Outcomes) {
    let mut lines = Vec::new();
    for (context, cells) in outcomes {
        lines.push(format!("\n{:<17} {:<9} {} rights", "", "", context.name()));
        let line = |cell: &Outcome| {
            let Outcome { ground, rung, verdict, sequences, changes, unheard, named, unpacked, .. } = cell;
            let counts = format!(
                "{named:>3} kinds {sequences:>6} sequences {changes:>8} changes {unheard:>6} unheard {unpacked:>5} unpacked"
            );
            format!("{ground:<17} {rung:<9} {verdict:<50} {}", if is_feasible(cell) { counts } else { String::new() })
        };
        let mut rows: Vec<&Outcome> = cells.iter().collect();
        rows.sort_by_key(|cell| (cell.ground.clone(), cell.rung.clone()));
        lines.extend(rows.into_iter().map(line));
    }
    let total: u64 = outcomes.iter().flat_map(|(_, cells)| cells).map(|cell| cell.sequences).sum();
    lines.push(format!("\n{total} sequences in all"));
    say(&lines);
}

/// Writes lines to stdout, past the rule that only `cli` and `log` of the program print.
pub fn say(lines: &[String]) {
    let mut out = std::io::stdout().lock();
    lines.iter().for_each(|line| writeln!(out, "{line}").unwrap());
}
