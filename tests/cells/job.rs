//! The part of the table that one process with one set of rights works off: every rung on every file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::contexts::Context;
use crate::grounds::{Ground, Grounds, lower_place, place, sequence};
use crate::named;
use crate::operations::{Operation, minimised};
use crate::replay::Replay;
use crate::stage::{Counted, Links, Rung, Setting};
use crate::unpacked;

/// One sequence of this many is also unpacked by umoci.
const UNPACKED: u64 = 20;

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// The directory of all file systems.
    pub top: PathBuf,
    /// The name of the rights that this process must have.
    pub context: String,
    /// The seed of the first sequence of each cell.
    pub first: u64,
    /// How many sequences a cell runs.
    pub sequences: u64,
}

/// What a cell came to.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    pub ground: String,
    pub rung: String,
    /// How the rung stands here.
    pub verdict: String,
    pub sequences: u64,
    /// Changed paths in all, and those of them that watches did not hear of.
    pub changes: usize,
    pub unheard: usize,
    /// The seed of the first sequence.
    pub first: u64,
    /// Kinds of changes that were done by name, where the first seed is 0.
    pub named: u64,
    /// Images that umoci unpacked.
    pub unpacked: u64,
    /// The first sequence that went wrong, and how.
    pub failure: Option<String>,
}

impl Job {
    /// Works it off and writes an outcome a line.
    pub fn run(&self, mut output: impl std::io::Write) {
        let context = Context::of_this_process().expect("rights of the table");
        assert_eq!(context.name(), self.context, "this process has other rights");
        let _mounted = (context == Context::UserNamespace).then(|| Grounds::of_a_user_namespace(&self.top, self.first));
        let cells = Ground::ALL.into_iter().flat_map(|ground| Rung::ALL.into_iter().map(move |rung| (ground, rung)));
        let (cells, outcomes) = (Mutex::new(cells), Mutex::new(Vec::new()));
        let work = || {
            loop {
                let next = cells.lock().unwrap().next();
                let Some((ground, rung)) = next else { return };
                outcomes.lock().unwrap().push(self.cell(context, ground, rung));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        for outcome in outcomes.into_inner().unwrap() {
            writeln!(output, "{}", serde_json::to_string(&outcome).unwrap()).unwrap();
        }
    }

    fn cell(&self, context: Context, ground: Ground, rung: Rung) -> Outcome {
        let place = place(&ground.path(&self.top, context), context, rung);
        let copies = self.top.join("copies").join(format!("{}-{}-{}", context.name(), ground.name(), rung.name()));
        for dir in [place.join("scratch"), copies.join("copy")] {
            fs::create_dir_all(dir).unwrap();
        }
        let links = if ground.hides_links(context) { Links::Hidden } else { Links::Shown };
        let mut cell = Cell {
            ground,
            setting: Setting { links, ..Setting::new(rung, &place.join("scratch")) },
            replay: Replay::new(&place, &copies.join("copy")),
            place,
            copies,
        };
        let mut outcome =
            Outcome { ground: ground.name(), rung: rung.name().into(), first: self.first, ..Outcome::default() };
        outcome.verdict = cell.setting.verdict(&mut cell.replay);
        if outcome.verdict.starts_with("exact") {
            if self.first == 0 {
                match named::run(&cell.setting, &mut cell.replay, &cell.place, context, ground) {
                    Ok(count) => outcome.named = count,
                    Err(failure) => return Outcome { failure: Some(failure), ..outcome },
                }
            }
            for number in 0..self.sequences {
                if let Err(failure) = cell.sequence(self.first, number, &mut outcome) {
                    outcome.failure = Some(failure);
                    break;
                }
            }
        }
        outcome
    }
}

/// A cell at work.
struct Cell {
    ground: Ground,
    setting: Setting,
    replay: Replay,
    place: PathBuf,
    copies: PathBuf,
}

impl Cell {
    fn sequence(&mut self, first: u64, number: u64, outcome: &mut Outcome) -> Result<(), String> {
        let (base, steps) = sequence(first + number);
        let lower = lower_place(self.ground, &self.place, number);
        let counted = match &lower {
            Some(dir) => {
                self.replay.enter(dir);
                self.replay.begin_as_it_is();
                self.setting.run(&mut self.replay, &steps)
            }
            None => {
                self.replay.enter(&self.place);
                self.run(&base, &steps)
            }
        };
        let counted = counted.map_err(|error| match lower {
            Some(_) => format!("{error}\nafter\n{}", self.replay.world.log()),
            None => self.shortest(&base, &steps),
        });
        let counted = counted.map_err(|how| format!("seed {}: {how}", first + number))?;
        outcome.sequences += 1;
        outcome.changes += counted.changes;
        outcome.unheard += counted.unheard;
        if number.is_multiple_of(UNPACKED) {
            let unpacked = unpacked::compare(&self.replay, &self.copies);
            unpacked
                .map_err(|how| format!("seed {}: umoci: {how}\nafter\n{}", first + number, self.replay.world.log()))?;
            outcome.unpacked += 1;
        }
        Ok(())
    }

    fn run(&mut self, base: &[Operation], steps: &[Operation]) -> Result<Counted, String> {
        self.replay.begin(base);
        self.setting.run(&mut self.replay, steps)
    }

    /// How the shortest part of a sequence that fails does.
    fn shortest(&mut self, base: &[Operation], steps: &[Operation]) -> String {
        let steps = minimised(steps, &mut |steps| self.run(base, steps).is_err());
        let error = self.run(base, &steps).err().unwrap_or_else(|| "it failed, and again it did not".into());
        format!("{error}\nafter\n{}", self.replay.world.log())
    }
}

/// An empty directory of this name in `dir`.
pub fn emptied(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    fs::create_dir(&path).unwrap();
    path
}
