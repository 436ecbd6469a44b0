//! Random sequences through a whole stage as a build records it: the nominator is opened on a base, asked after each step,
//! told of new directories, and settled at the end. After a step with an exact rung, and after the settling with directory
//! watches, nothing may be missed. What a watch may miss until then is what was written through a second name.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use silt::build::{Answer, Nominator, RecorderChoice, SnapshotMode, Snapshots, Verify, Wanted};
use silt::rootfs::RootPath;
use silt::snapshot::{Candidates, ChangeSet};
use silt_watcher::{Inode, Options};

use crate::operations::Operation;
use crate::replay::Replay;
use crate::world;

/// How many steps a sequence is cut into.
const STEPS: usize = 3;

/// Who nominates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    Mark,
    Dirwatch,
    Sweep,
}

/// Whether the stage is settled, as it must be. Leaving it out shows that it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    Done,
    LeftOut,
}

/// What stat(2) says of two names of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// That they have one inode.
    Shown,
    /// Not always: on a nested overlay, and on one that was mounted in a user namespace, a file that is copied up for a link
    /// keeps its old number under its old name for a while. A link of an earlier step may not be in the record then.
    Hidden,
}

/// What is opened for each sequence.
#[derive(Clone, Debug)]
pub struct Setting {
    pub rung: Rung,
    pub settling: Settling,
    pub links: Links,
    /// A directory for the nominator, on the file system of the root.
    pub scratch: PathBuf,
}

/// What a sequence came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Changed paths.
    pub changes: usize,
    /// Of these, what watches did not hear of.
    pub unheard: usize,
}

impl Rung {
    pub const ALL: [Rung; 3] = [Rung::Mark, Rung::Dirwatch, Rung::Sweep];

    /// The name that `--recorder` and the timings have for it.
    pub fn name(self) -> &'static str {
        match self {
            Rung::Mark => "fanotify",
            Rung::Dirwatch => "dirwatch",
            Rung::Sweep => "sweep",
        }
    }

    fn choice(self) -> RecorderChoice {
        match self {
            Rung::Mark => RecorderChoice::Fanotify,
            Rung::Dirwatch => RecorderChoice::Dirwatch,
            Rung::Sweep => RecorderChoice::Sweep,
        }
    }
}

impl Setting {
    pub fn new(rung: Rung, scratch: &Path) -> Setting {
        Setting { rung, settling: Settling::Done, links: Links::Shown, scratch: scratch.to_owned() }
    }

    /// The nominator of a stage with the root and the record of `replay`.
    pub fn open(&self, replay: &Replay) -> anyhow::Result<Nominator> {
        let wanted = Wanted {
            mode: SnapshotMode::Events,
            choice: self.rung.choice(),
            verify: Verify::Off,
            snapshots: Snapshots::EachStep,
            runs: STEPS,
            options: Options::default(),
        };
        Nominator::open(&wanted, &replay.root, self.scratch.clone(), &replay.baseline)
    }

    /// How the rung stands here: "exact", "exact with a sweep" where the stage is settled by one, or why it cannot be used.
    pub fn verdict(&self, replay: &mut Replay) -> String {
        replay.begin(&[]);
        let mut nominator = match self.open(replay) {
            Ok(nominator) => nominator,
            Err(refused) => return refusal(&format!("{refused:#}")),
        };
        nominator.start(&replay.root, &replay.baseline);
        let answer = nominator.take(&replay.root, &replay.baseline);
        match (self.rung, nominator.settle(&replay.root, &replay.baseline)) {
            (Rung::Dirwatch, Some(settled)) if answer.recorder == "dirwatch" => {
                format!("exact with a {}", settled.recorder)
            }
            (rung, None) if answer.recorder == rung.name() => "exact".to_owned(),
            _ => distrust(&answer),
        }
    }

    /// A stage on what `replay` was begun with.
    ///
    /// # Errors
    /// What was missed, or how the layers or the record are not as the disk is.
    pub fn run(&self, replay: &mut Replay, steps: &[Operation]) -> Result<Counted, String> {
        let mut nominator = self.open(replay).map_err(|refused| format!("{refused:#}"))?;
        let (mut counted, mut excused) = (Counted::default(), HashSet::new());
        replay.world.take_linked();
        for step in steps.chunks(steps.len().div_ceil(STEPS).max(1)) {
            nominator.start(&replay.root, &replay.baseline);
            replay.world.run(step);
            replay.world.note("-- step");
            let answer = nominator.take(&replay.root, &replay.baseline);
            if answer.recorder != self.rung.name() {
                return Err(format!("{} in place of {}: {:?}", answer.recorder, self.rung.name(), answer.why));
            }
            excused.extend(replay.world.take_linked());
            self.step(replay, &mut nominator, &answer, &mut excused, &mut counted)?;
        }
        if let Some(answer) = nominator.settle(&replay.root, &replay.baseline)
            && self.settling == Settling::Done
        {
            let (all, some) = (replay.diff(&Candidates::Everything), replay.diff(&answer.candidates));
            missed(&answer, &some.changes, &all.changes)?;
            replay.put(some)?;
        }
        replay.is_faithful()?;
        Ok(counted)
    }

    /// A stage of one step on what stands in the root, which does `act`; the paths that are missed until it is settled.
    ///
    /// # Errors
    /// What was missed after all, or how the layers or the record are not as the disk is.
    pub fn change(&self, replay: &mut Replay, act: impl FnOnce()) -> Result<BTreeSet<RootPath>, String> {
        replay.begin_as_it_is();
        let mut nominator = self.open(replay).map_err(|refused| format!("{refused:#}"))?;
        nominator.start(&replay.root, &replay.baseline);
        act();
        let answer = nominator.take(&replay.root, &replay.baseline);
        let (all, some) = (replay.diff(&Candidates::Everything), replay.diff(&answer.candidates));
        let unheard = differing(&some.changes, &all.changes).into_iter().collect();
        replay.put(some)?;
        if let Some(answer) = nominator.settle(&replay.root, &replay.baseline) {
            let settled = replay.diff(&answer.candidates);
            replay.put(settled)?;
        }
        replay.is_faithful()?;
        Ok(unheard)
    }

    /// Compares what was nominated with everything, and goes on from there.
    fn step(
        &self,
        replay: &mut Replay,
        nominator: &mut Nominator,
        answer: &Answer,
        excused: &mut HashSet<Inode>,
        counted: &mut Counted,
    ) -> Result<(), String> {
        let (all, some) = (replay.diff(&Candidates::Everything), replay.diff(&answer.candidates));
        if self.rung == Rung::Dirwatch {
            let differing = differing(&some.changes, &all.changes);
            let unexplained: Vec<_> =
                differing.iter().filter(|path| inodes(replay, path).is_disjoint(excused)).collect();
            if !unexplained.is_empty() {
                let shown =
                    |set: &ChangeSet| unexplained.iter().map(|path| format!("{:?}", set.get(path))).collect::<Vec<_>>();
                let (some, all) = (shown(&some.changes), shown(&all.changes));
                return Err(format!(
                    "nobody wrote {unexplained:?} through another name, but watches give {some:?}, all {all:?}"
                ));
            }
            counted.unheard += differing.len();
            if self.links == Links::Shown {
                excused.clear();
            }
            // What is missed once is missed until the stage is settled.
            excused.extend(differing.iter().flat_map(|path| inodes(replay, path)));
        } else {
            missed(answer, &some.changes, &all.changes)?;
        }
        counted.changes += all.changes.len();
        let directories = some.directories().map(|(path, inode)| (path.clone(), inode)).collect();
        if self.rung == Rung::Dirwatch {
            replay.put(some)?
        } else {
            replay.follow(some)?
        }
        nominator.follow(&replay.root, directories);
        Ok(())
    }
}

/// Fails if the two are not the same.
fn missed(answer: &Answer, some: &ChangeSet, all: &ChangeSet) -> Result<(), String> {
    if some == all {
        return Ok(());
    }
    Err(format!("{:?} of {} gives\n{some:?}\neverything gives\n{all:?}", answer.candidates, answer.recorder))
}

fn differing(some: &ChangeSet, all: &ChangeSet) -> HashSet<RootPath> {
    let paths = some.iter().chain(all.iter()).map(|(path, _)| path);
    paths.filter(|path| some.get(path) != all.get(path)).cloned().collect()
}

/// What `path` was and is.
fn inodes(replay: &Replay, path: &RootPath) -> HashSet<Inode> {
    let recorded = replay.baseline.tree().get(path).map(|node| node.inode);
    let there = world::inode(&replay.world.root().join(path.relative())).ok();
    recorded.into_iter().chain(there).collect()
}

/// The call and the errno of a refusal.
fn refusal(text: &str) -> String {
    let call = text.split(": ").nth(1).unwrap_or_default();
    let number = text.split_once("(os error ").and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
    match number {
        Some(number) => format!("{call}: {:?}", nix::errno::Errno::from_raw(number)),
        None => text.to_owned(),
    }
}

/// Why `ctime` is not relied upon.
fn distrust(answer: &Answer) -> String {
    let why = answer.why.as_deref().unwrap_or("nothing was said");
    match why.split_once(" ctime ") {
        Some((place, _)) if answer.recorder == "full" => format!("not trusted: {}", place.trim_end_matches(", where")),
        _ => format!("{}: {why}", answer.recorder),
    }
}
