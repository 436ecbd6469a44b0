//! The root of a stage: made when a step first needs it, with the layers that the image has by then, the cache's among them.

use anyhow::{Context as _, Result};
use silt_watcher::Options;
use tracing::{debug, warn};

use super::{Builder, is_run};
use crate::build::current::Current;
use crate::build::disk::Disk;
use crate::build::draft::{Draft, Late};
use crate::build::nominator::{Nominator, Wanted};
use crate::build::site::Place;
use crate::build::standing::Standing;
use crate::plan::Stage;
use crate::snapshot::Baseline;
use crate::steps::run;

impl Builder<'_, '_> {
    /// Sees to it that the stage has a root, and that all layers of its image are in it.
    pub(super) fn bring(&mut self, stage: &Stage, current: &mut Current) -> Result<()> {
        let brought = self.try_bring(stage, current);
        if let (Err(why), Some(cached)) = (&brought, &mut self.cached)
            && !why.is::<Late>()
        {
            cached.give_up(current.image.whole_layers(), why);
        }
        brought
    }

    fn try_bring(&mut self, stage: &Stage, current: &mut Current) -> Result<()> {
        let disk = match current.disk.take() {
            Some(disk) => disk,
            None => {
                let (mut disk, applied) = self.disk(stage, &mut current.image)?;
                current.applied = applied;
                if self.names_volumes() {
                    disk.heed(current.volumes.iter().map(String::as_str))?;
                }
                disk
            }
        };
        let disk = current.disk.insert(disk);
        if current.applied < current.image.layers() {
            debug!("Unpacking what the cache has of the steps so far");
            disk.apply(&self.bases, current.image.whole()?, current.applied)?;
            current.applied = current.image.layers();
        }
        Ok(())
    }

    /// A root, and how many layers of `image` are in it. Where it stands already, none of them need be whole.
    fn disk(&mut self, stage: &Stage, image: &mut Draft) -> Result<(Disk, usize)> {
        let position = self.finished.len();
        let (root, baseline, applied) = match self.standing.take().filter(|standing| standing.stage == position) {
            Some(Standing { root, baseline, applied, .. }) => {
                debug!("The root stands as this stage needs it");
                (root, baseline, applied)
            }
            None => {
                let image = image.whole()?;
                let mut root = self.site.open_root(self.finished.is_empty() && !self.is_anew)?;
                let tree = self.bases.unpack(image, &mut root, &self.site.spared).context("unpack the base image")?;
                self.ahead.begin(position);
                (root, Baseline::new(tree), image.layers().len())
            }
        };
        let runs = stage
            .steps
            .iter()
            .enumerate()
            .filter(|(number, step)| is_run(step) && self.hit(position, *number).is_none());
        let runs = runs.count();
        if runs > 0 && self.isolation.is_none() {
            self.isolation = Some(self.detect()?);
        }
        let nominator = if runs > 0 {
            Nominator::open(&self.wanted(runs), &root, self.site.own_dir("scratch")?, &baseline)?
        } else {
            Nominator::none()
        };
        Ok((Disk::new(root, baseline, nominator, self.request.snapshots)?, applied))
    }

    fn wanted(&self, runs: usize) -> Wanted {
        let request = self.request;
        let options = Options { watches: request.max_watches, ..Options::default() };
        let (mode, choice) = (request.snapshot_mode, request.recorder);
        Wanted { mode, choice, verify: request.verify, snapshots: request.snapshots, runs, options }
    }

    /// Tried on an empty directory: what a base image puts in the way of a mount must fail its steps, and never have them
    /// run with less around them.
    fn detect(&self) -> Result<run::Isolation> {
        if self.site.place == Place::InPlace {
            return Ok(run::Isolation::InPlace);
        }
        let detected = run::detect(&self.site.own_dir("probe")?, self.control)?;
        if let Some(why) = &detected.refused {
            warn!("RUN is confined by chroot alone: {why}");
        }
        Ok(detected.isolation)
    }
}
