//! Fuzzes what reads hostile text, on a stable tool chain: a seeded generator mutates a corpus, and each input must leave
//! what is promised of the target true.
//!
//! `cargo run --release --package silt-bench --example fuzz -- parser|expander|ignore SECONDS [SEED]` prints how many inputs
//! were executed, or the first that breaks a promise, and ends with 1.
#![allow(clippy::expect_used, clippy::disallowed_macros)]

mod corpus;
mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mutate::Mutator;

/// Inputs between two looks at the clock.
const BATCH: u64 = 256;
/// Inputs that were accepted and are mutated further, besides the corpus.
const MOST_KEPT: usize = 4096;

/// What a target says of an input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has a meaning: worth mutating further.
    Accepted,
    /// It is refused.
    Refused,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: fuzz parser|expander|ignore SECONDS [SEED]";
    let (name, seconds) = (args.first().expect(usage).as_str(), args.get(1).expect(usage));
    let time = Duration::from_secs(seconds.parse().expect(usage));
    let seed = args.get(2).map_or(1, |seed| seed.parse().expect(usage));
    let (target, corpus): (fn(&[u8]) -> Verdict, _) = match name {
        "parser" => (targets::parser, corpus::DOCKERFILES),
        "expander" => (targets::expander, corpus::WORDS),
        "ignore" => (targets::ignore, corpus::IGNORE_FILES),
        _ => panic!("{usage}"),
    };
    run(name, target, corpus, time, seed)
}

fn run(name: &str, target: fn(&[u8]) -> Verdict, corpus: &[&str], time: Duration, seed: u64) -> ExitCode {
    let mut inputs: Vec<Vec<u8>> = corpus.iter().map(|text| text.as_bytes().to_vec()).collect();
    let own = inputs.len();
    let mut mutator = Mutator::new(seed);
    let (began, mut executed, mut accepted) = (Instant::now(), 0, 0u64);
    while began.elapsed() < time {
        for _ in 0..BATCH {
            let input = mutator.mutate(&inputs);
            executed += 1;
            match catch_unwind(AssertUnwindSafe(|| target(&input))) {
                Ok(Verdict::Refused) => {}
                Ok(Verdict::Accepted) => {
                    accepted += 1;
                    keep(&mut inputs, own, input, &mut mutator);
                }
                Err(_) => {
                    println!("{name}: input {executed} of seed {seed}: {:?}", String::from_utf8_lossy(&input));
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    println!("{name}: {executed} inputs of seed {seed} in {:.0?}, {accepted} accepted", began.elapsed());
    ExitCode::SUCCESS
}

/// Takes an accepted input among those to mutate, in the place of another one once there are many. The corpus stays.
fn keep(inputs: &mut Vec<Vec<u8>>, own: usize, input: Vec<u8>, mutator: &mut Mutator) {
    if inputs.len() < own + MOST_KEPT {
        inputs.push(input);
    } else {
        let place = own + mutator.below(MOST_KEPT);
        inputs[place] = input;
    }
}
