//! A stage's root and the record of it: what is looked at after a step, or once at the end of the stage.
//!
//! What a step left mounted in the root does not belong to the image, and no walk enters it: such mounts are protected for
//! as long as they are there. What stood below one is looked at when it is gone.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use silt_watcher::{Inode, Nominated};
use tracing::warn;

use super::Snapshots;
use super::background::{Way, Written};
use super::base::Bases;
use super::nominator::{Answer, Nominator};
use super::site::mounts;
use super::snapshot::{self, Apart};
use super::timings::{StepTiming, nanos};
use crate::oci::Image;
use crate::rootfs::{Kind, Node, Root, RootPath};
use crate::snapshot::{Baseline, Candidates};
use crate::steps::Touched;

/// A stage's root, for as long as it has one.
pub(super) struct Disk {
    pub(super) root: Root,
    baseline: Baseline,
    nominator: Nominator,
    snapshots: Snapshots,
    /// The canonical path of the root.
    dir: PathBuf,
    /// What was protected from the start, and stays so.
    protected: Vec<RootPath>,
    /// What steps left mounted.
    mounts: BTreeSet<RootPath>,
    /// What steps wrote since the last snapshot, as far as they know it, and what else must be looked at.
    touched: Nominated,
    /// Whether a step ran since the last snapshot of which nobody knows what it wrote.
    ran: bool,
    apart: Apart,
    /// The first path below a directory of [`Disk::heed`] that changed.
    heeded: Option<RootPath>,
}

impl Disk {
    /// A root of which `baseline` is the record. If there is to be one snapshot, what nominates begins now.
    ///
    /// # Errors
    /// The root's directory has no path any more.
    pub(super) fn new(root: Root, baseline: Baseline, mut nominator: Nominator, snapshots: Snapshots) -> Result<Disk> {
        let dir = std::fs::canonicalize(root.path()).with_context(|| format!("resolve {}", root.path().display()))?;
        if snapshots == Snapshots::EachStage {
            nominator.start(&root, &baseline);
        }
        let (protected, mounts) = (root.protected().to_vec(), BTreeSet::new());
        let (touched, apart) = (Nominated::default(), Apart::default());
        Ok(Disk {
            root,
            baseline,
            nominator,
            snapshots,
            dir,
            protected,
            mounts,
            touched,
            ran: false,
            apart,
            heeded: None,
        })
    }

    /// From now on what changes below `directories`, paths of the image, is put into no layer.
    pub(super) fn drop_below<'a>(&mut self, directories: impl Iterator<Item = &'a str>) -> Result<()> {
        self.apart.dropped = self.exact(directories)?;
        Ok(())
    }

    /// From now on [`Disk::take_heeded`] tells what changes below `directories`, paths of the image.
    pub(super) fn heed<'a>(&mut self, directories: impl Iterator<Item = &'a str>) -> Result<()> {
        self.apart.heeded = self.exact(directories)?;
        Ok(())
    }

    /// What the snapshots since the last call found changed below the directories that are heeded.
    pub(super) fn take_heeded(&mut self) -> Option<RootPath> {
        self.heeded.take()
    }

    fn exact<'a>(&self, directories: impl Iterator<Item = &'a str>) -> Result<Vec<RootPath>> {
        let exact = directories.map(|dir| self.root.resolve(dir.as_bytes()));
        exact.collect::<std::result::Result<_, _>>().context("the path of a volume")
    }

    /// Begins a RUN that has a snapshot of its own.
    pub(super) fn before_run(&mut self, timing: &mut StepTiming) {
        let began = Instant::now();
        let guard = self.nominator.start(&self.root, &self.baseline);
        timing.wait_ns = nanos(guard.waited);
        timing.record_ns = nanos(began.elapsed());
    }

    /// Notes what a step wrote. Whether it can have changed the image's files.
    ///
    /// # Errors
    /// It left a mount over what steps before it may have written, and nobody looked at that yet.
    pub(super) fn after(&mut self, touched: Touched) -> Result<bool> {
        match touched {
            Touched::Nothing => return Ok(false),
            Touched::Directory(path) if !self.baseline.claim(&path) => return Ok(false),
            Touched::Directory(path) => drop(self.touched.paths.insert(path.into())),
            Touched::Paths(paths) => self.touched.paths.extend(paths.into_iter().map(Arc::from)),
            Touched::Unknown => {
                let hides = self.snapshots == Snapshots::EachStage && self.is_touched();
                self.ran = true;
                self.protect_mounts(hides)?;
            }
        }
        Ok(true)
    }

    /// Protects what is mounted now, and has what was hidden by a mount that is gone looked at. `hides` refuses new ones.
    fn protect_mounts(&mut self, hides: bool) -> Result<()> {
        let now: BTreeSet<RootPath> =
            mounts(&self.dir)?.into_iter().filter(|path| !self.protected.contains(path)).collect();
        if now == self.mounts {
            return Ok(());
        }
        for path in now.difference(&self.mounts) {
            ensure!(
                !hides,
                "the step left {path} mounted, and --single-snapshot could not see what the steps before it wrote there: unmount it \
                 in the same RUN, or build without --single-snapshot"
            );
            warn!("{path} is a mount that a step left behind; what is in it is not part of the image");
        }
        self.touched.trees.extend(self.mounts.difference(&now).cloned().map(Arc::from));
        self.root.set_protected(self.protected.iter().chain(&now).cloned());
        self.mounts = now;
        Ok(())
    }

    /// Unpacks the layers of `image` from the one numbered `from` on: steps that the cache had the result of. All that stands here
    /// must be in a layer by now. After an error nothing of it can be used.
    pub(super) fn apply(&mut self, bases: &Bases<'_>, image: &Image, from: usize) -> Result<()> {
        let directory =
            |(path, node): (&RootPath, &Node)| node.entry.is_directory().then(|| (path.clone(), node.inode));
        let before: HashSet<(RootPath, Inode)> = self.baseline.tree().iter().filter_map(directory).collect();
        let tree = bases.unpack_rest(image, from, &self.root, std::mem::take(&mut self.baseline).into_tree())?;
        let new = tree.iter().filter_map(directory).filter(|directory| !before.contains(directory)).collect();
        self.baseline = Baseline::new(tree);
        self.nominator.follow(&self.root, new);
        Ok(())
    }

    /// The root and its record, if layers have all that stands in it.
    pub(super) fn into_carried(self) -> Option<(Root, Baseline)> {
        let mut below_root = self.baseline.tree().iter().filter(|(path, _)| !path.is_root());
        let is_carried = below_root.all(|(_, node)| !node.foreign && node.entry.kind != Kind::Socket);
        (is_carried && self.mounts.is_empty() && !self.is_touched()).then_some((self.root, self.baseline))
    }

    /// Whether anything was written since the last snapshot.
    pub(super) fn is_touched(&self) -> bool {
        self.ran || self.touched != Nominated::default()
    }

    /// The snapshot of a step.
    pub(super) fn snapshot(&mut self, way: &Way<'_>, timing: &mut StepTiming) -> Result<Option<Written>> {
        self.take(way, timing, |nominator, root, baseline| Some(nominator.take(root, baseline)))
    }

    /// The only snapshot of a stage.
    pub(super) fn snapshot_all(&mut self, way: &Way<'_>, timing: &mut StepTiming) -> Result<Option<Written>> {
        self.take(way, timing, |nominator, root, baseline| Some(nominator.take_settled(root, baseline)))
    }

    /// Whether every step was answered with all that it changed.
    pub(super) fn is_settled(&self) -> bool {
        self.nominator.is_settled()
    }

    /// Looks once more where a recording may have missed something, before anything of the stage is used.
    pub(super) fn settle(&mut self, way: &Way<'_>, timing: &mut StepTiming) -> Result<Option<Written>> {
        self.ran = true;
        self.take(way, timing, |nominator, root, baseline| nominator.settle(root, baseline))
    }

    fn take(
        &mut self,
        way: &Way<'_>,
        timing: &mut StepTiming,
        ask: impl FnOnce(&mut Nominator, &Root, &Baseline) -> Option<Answer>,
    ) -> Result<Option<Written>> {
        let (began, cpu) = (Instant::now(), snapshot::cpu_ns());
        let ran = std::mem::take(&mut self.ran);
        let answer = if ran { ask(&mut self.nominator, &self.root, &self.baseline) } else { None };
        let touched = std::mem::take(&mut self.touched);
        if answer.is_none() && touched == Nominated::default() {
            return Ok(None);
        }
        let (candidates, lost) = answered(answer, touched, timing);
        timing.record_ns += nanos(began.elapsed());
        let taken = snapshot::take(way, &self.root, &mut self.baseline, candidates, &self.apart, timing);
        timing.snapshot_cpu_ns = snapshot::cpu_ns().saturating_sub(cpu);
        if let Some(lost) = lost {
            tell(&lost, timing);
        }
        let taken = taken?;
        self.heeded = taken.heeded.or(self.heeded.take());
        self.nominator.follow(&self.root, taken.directories);
        Ok(taken.layer)
    }
}

/// Notes who answered, and adds what is known besides.
fn answered(answer: Option<Answer>, touched: Nominated, timing: &mut StepTiming) -> (Candidates, Option<String>) {
    let Some(Answer { candidates, recorder, why, lost, events, stats }) = answer else {
        return (Candidates::Only(touched), None);
    };
    timing.recorder = Some(recorder);
    timing.recorder_why = why;
    timing.events = events;
    timing.stats = stats;
    let candidates = match candidates {
        Candidates::Everything => Candidates::Everything,
        Candidates::Only(mut nominated) => {
            nominated.paths.extend(touched.paths);
            nominated.trees.extend(touched.trees);
            Candidates::Only(nominated)
        }
    };
    (candidates, lost)
}

/// Says what a loss cost, once that is known.
fn tell(lost: &str, timing: &StepTiming) {
    let what =
        if timing.recorder == Some("full") { "the content of every file" } else { "the attributes of every path" };
    let why = match timing.recorder_why.as_deref() {
        Some(why) if why.contains(lost) => why.to_owned(),
        Some(why) => format!("{lost}; {why}"),
        None => lost.to_owned(),
    };
    let (paths, millis) = (timing.stats, (timing.record_ns + timing.diff_ns) / 1_000_000);
    warn!("Compared {what} instead, {paths} paths in {millis} ms: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::scan;

    #[test]
    fn a_directory_that_no_layer_brought_is_looked_at_once_a_step_wants_it() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["there", "brought"] {
            std::fs::create_dir(dir.path().join(name)).expect("mkdir");
        }
        let path = |name: &str| RootPath::clean(name).expect("a path");
        let root = Root::open(dir.path()).expect("root");
        let mut tree = scan(&root).expect("a scan");
        tree.get_mut(&path("brought")).expect("recorded").foreign = false;
        let mut disk = Disk::new(root, Baseline::new(tree), Nominator::none(), Snapshots::EachStep).expect("a disk");
        for touched in [Touched::Nothing, Touched::Directory(path("brought")), Touched::Directory(path(""))] {
            assert!(!disk.after(touched).expect("noted") && !disk.is_touched());
        }
        assert!(disk.after(Touched::Directory(path("there"))).expect("noted") && disk.is_touched());
        assert!(disk.into_carried().is_none(), "it is in no layer yet");
    }
}
