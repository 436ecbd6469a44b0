//! What a stage leaves in the cache: an entry for each step that was carried out, once nothing more can be found out about it.

use anyhow::{Result, ensure};

use super::Builder;
use crate::build::Snapshots;
use crate::build::cached::Cached;
use crate::build::current::Current;
use crate::build::disk::Disk;
use crate::build::draft::Made;
use crate::layer;
use crate::plan::Step;

impl Builder<'_, '_> {
    /// Checks that a step that was carried out saw the files that its key is of.
    ///
    /// # Errors
    /// It did not: the build must begin anew without the cache.
    pub(super) fn check(&mut self, number: usize, step: &Step, current: &Current) -> Result<()> {
        let Some(mut cached) = self.cached.take() else { return Ok(()) };
        let wanted = cached.wanted();
        cached.check((current.position, number), |before| self.seer(wanted).again(step, before));
        let cached = self.cached.insert(cached);
        ensure!(!cached.is_broken(), "the context changed during the build");
        Ok(())
    }

    /// Makes an entry for the cache of a step that was carried out.
    ///
    /// # Errors
    /// Those of [`Builder::check`].
    pub(super) fn remember(
        &mut self,
        number: usize,
        step: &Step,
        layer: Option<layer::Pending>,
        current: &mut Current,
    ) -> Result<()> {
        self.check(number, step, current)?;
        let entry = |cached: &Cached<'_, '_>| cached.entry((current.position, number), layer, &current.image);
        current.held.extend(self.cached.as_ref().and_then(entry));
        if current.disk.as_ref().is_none_or(Disk::is_settled) {
            self.release(true, current);
        }
        Ok(())
    }

    /// Makes an entry of a stage with one layer, if it was carried out.
    pub(super) fn remember_single(&self, current: &mut Current) {
        let position = current.position;
        let Some(cached) = self.cached.as_ref().filter(|_| self.request.snapshots == Snapshots::EachStage) else {
            return;
        };
        if let Some(number) = cached.single(position).filter(|number| cached.hit(position, *number).is_none()) {
            let layer = current.single.as_ref().and_then(Made::pending);
            current.held.extend(cached.entry((position, number), layer, &current.image));
        }
    }

    /// Lets the entries go of which nothing more can be found out; `is_whole` says that nothing was.
    pub(super) fn release(&mut self, is_whole: bool, current: &mut Current) {
        let held = current.held.drain(..);
        match &mut self.cached {
            Some(cached) if is_whole => cached.send(held),
            _ => drop(held),
        }
    }
}
