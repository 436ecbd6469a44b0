//! One stage after another, one step after another: execute, ask what to look at, take the snapshot, extend the image.
//!
//! A step whose result is in the cache is not carried out, and its layer is unpacked only when a later step needs the files. So a
//! stage has a root only from the first step on that is carried out, and a stage that only such steps use is not built at all.

mod entries;
mod root;

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tracing::{info, warn};

use super::background::{Audience, Background, Haste, Way, Written};
use super::base::Bases;
use super::cached::{self, Cached, Need, Seer, changes_files, needs, of_target};
use super::current::{Current, Pending, made};
use super::draft::{Draft, Late, Made, Place};
use super::error::one_line;
use super::prefetch::Prefetch;
use super::remote::Fetcher;
use super::site::Site;
use super::standing::Standing;
use super::timings::{StepTiming, nanos};
use super::trees::Trees;
use super::{Differences, Error, LayerCache, Request, Snapshots, Timings, full, kept, platform};
use crate::cache::{Cache, Hit, Publisher, Stretcher};
use crate::context::Context;
use crate::context::digests::Digests;
use crate::dockerfile::{self, Instruction, Located, Span};
use crate::oci::{Image, Platform};
use crate::plan::{Base, Plan, Stage, Step};
use crate::rootfs::Root;
use crate::steps::{self, Caches, Sources, StageState, Touched, run};

/// What all stages share.
pub(super) struct Builder<'a, 'scope> {
    request: &'a Request,
    site: Site,
    control: &'a run::Control,
    timings: &'a Timings,
    context: &'a Context,
    trees: Trees<'a>,
    bases: Bases<'a>,
    ahead: Prefetch<'scope, 'a>,
    fetch: Fetcher<'a>,
    digests: Digests,
    cached: Option<Cached<'scope, 'a>>,
    /// By position in the plan; nothing of a stage that is not needed.
    finished: Vec<Option<Finished>>,
    isolation: Option<run::Isolation>,
    /// The root as the last stage left it, if this one goes on from it.
    standing: Option<Standing>,
    /// Whether the build began anew: then the root is not as it was found.
    is_anew: bool,
    /// The lines of which is said already what kaniko does otherwise.
    told: BTreeSet<u32>,
    /// Cache mounts.
    caches: &'a Caches<'a>,
    /// What makes blobs of layers.
    background: Background,
    /// The stages whose layers are the target's.
    of_target: BTreeSet<usize>,
    /// Whether another stage follows.
    stage_follows: bool,
}

/// A stage that later ones may need.
struct Finished {
    image: Draft,
    state: StageState,
    platform: Platform,
    tree: Option<Root>,
}

/// What a build makes ready for its stages.
type Shared<'a, 'scope> = (Bases<'a>, BTreeSet<u32>, &'a Caches<'a>, Prefetch<'scope, 'a>, Background);

impl<'a, 'scope> Builder<'a, 'scope> {
    pub(super) fn new(
        request: &'a Request,
        site: Site,
        control: &'a run::Control,
        timings: &'a Timings,
        context: &'a Context,
        (bases, told, caches, ahead, background): Shared<'a, 'scope>,
    ) -> Result<Self> {
        let fetch = Fetcher::new(&request.registry, site.work.clone(), &request.vault);
        let trees = Trees::new(request, context)?;
        let (cached, finished, isolation, standing, is_anew) = (None, Vec::new(), None, None, false);
        Ok(Builder {
            request,
            site,
            control,
            timings,
            context,
            trees,
            bases,
            ahead,
            fetch,
            digests: Digests::new(None),
            cached,
            finished,
            isolation,
            standing,
            is_anew,
            told,
            caches,
            background,
            of_target: BTreeSet::new(),
            stage_follows: false,
        })
    }

    /// The same with a cache, which is asked at once for all that `plan` needs.
    pub(super) fn with_cache(
        mut self,
        plan: &Plan,
        cache: &'a Cache<'a>,
        wanted: &'a LayerCache,
        publisher: Option<Publisher<'scope>>,
    ) -> Result<Self> {
        self.digests = cached::digests(wanted);
        let cached = Cached::new(self.seer(wanted), plan, (cache, wanted), publisher)?;
        self.cached = Some(cached);
        Ok(self)
    }

    fn seer(&mut self, wanted: &LayerCache) -> Seer<'_, 'a> {
        Seer {
            request: self.request,
            file: self.context.dockerfile_name(),
            layers: wanted.layers,
            ignored: &self.site.ignored,
            bases: &mut self.bases,
            trees: &mut self.trees,
            fetch: &self.fetch,
            digests: &self.digests,
            stretcher: Stretcher::default(),
        }
    }

    /// Builds the stages of `plan` that are needed and returns the image of its target.
    pub(super) fn stages(mut self, plan: &Plan) -> Result<Image, Error> {
        self.of_target = of_target(plan);
        let (needs, outcome) = loop {
            let known = |stage, step| self.cached.as_ref().is_some_and(|cached| cached.hit(stage, step).is_some());
            let needs = needs(plan, &known);
            let outcome = self.all(plan, &needs).and_then(|()| self.wait(plan.target));
            let is_anew = outcome.is_err() && self.cached.as_mut().is_some_and(Cached::must_begin_anew);
            if !is_anew {
                break (needs, outcome);
            }
            self.begin_anew()?;
        };
        let target = self.finished.into_iter().nth(plan.target).flatten();
        let mut image = target.and_then(|target| target.image.into_image());
        if let Some(cached) = self.cached {
            self.digests.save();
            cached.finish(image.as_mut(), plan, &needs, &self.context.dockerfile_name());
        }
        outcome?;
        Ok(image.context("the plan has no target")?)
    }

    /// Waits until all layers of a finished stage are whole.
    fn wait(&mut self, position: usize) -> Result<(), Error> {
        let Some(Some(finished)) = self.finished.get_mut(position) else { return Ok(()) };
        let waited = finished.image.whole().map(drop);
        waited.map_err(|cause| self.late(cause))
    }

    /// Forgets what was built on what the cache had and cannot be used.
    fn begin_anew(&mut self) -> Result<()> {
        self.finished.clear();
        self.standing = None;
        self.is_anew = true;
        let kept = self.site.work.join("stages");
        match std::fs::remove_dir_all(&kept) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", kept.display()))
            }
            _ => Ok(()),
        }
    }

    fn all(&mut self, plan: &Plan, needs: &[Need]) -> Result<(), Error> {
        let cached = self.cached.as_ref();
        let is_carried_out = |stage: usize, step: usize| cached.is_none_or(|cached| cached.hit(stage, step).is_none());
        let compat = &self.request.reading.compat;
        let has_root = |position: usize| {
            let mut steps = plan.stages[position].steps.iter().enumerate();
            steps.any(|(number, step)| is_carried_out(position, number) && changes_files(step, compat))
        };
        self.ahead.foresee(plan, needs, has_root, &mut self.bases);
        for (position, stage) in plan.stages.iter().enumerate() {
            let need = needs.get(position).copied().unwrap_or_default();
            if !need.image {
                info!("{} is not built: the cache has all that is made of it", one_line(&stage.from.text));
                self.finished.push(None);
                continue;
            }
            self.stage_follows = needs.iter().skip(position + 1).any(|need| need.image);
            let current = self.stage(stage, plan, need)?;
            let (finished, standing) = self.finish(stage, current, need)?;
            let unused = self.standing.take().filter(|unused| unused.stage == position);
            self.standing = standing.or_else(|| unused.and_then(|unused| unused.passed_on(stage)));
            self.finished.push(Some(finished));
        }
        Ok(())
    }

    fn stage(&mut self, stage: &Stage, plan: &Plan, need: Need) -> Result<Current, Error> {
        info!("{}", one_line(&stage.from.text));
        if let Some(cached) = &mut self.cached {
            cached.expect(self.finished.len());
        }
        let mut current = self.begin(stage, plan).map_err(|cause| self.at(&stage.from, cause))?;
        for (number, step) in stage.steps.iter().enumerate() {
            current.image.check().map_err(|late| self.late(late.into()))?;
            let is_carried_out = self.hit(current.position, number).is_none();
            if is_carried_out && changes_files(step, &self.request.reading.compat) {
                self.bring(stage, &mut current).map_err(|cause| self.at(&stage.from, cause))?;
            }
            self.step(stage, (number, step), &mut current).map_err(|cause| self.at(&step.located, cause))?;
        }
        let ended = current.end(stage, &self.way(stage, &current, None), self.timings).map(|is_whole| {
            self.remember_single(&mut current);
            self.release(is_whole, &mut current);
        });
        let brought = if need.tree { ended.and_then(|()| self.bring(stage, &mut current)) } else { ended };
        brought.map_err(|cause| self.at(&stage.from, cause))?;
        self.tell_differences(stage.from.span.first, &mut current.state);
        Ok(current)
    }

    /// Places what went wrong at an instruction, or at the one that left the layer which was not made.
    fn at(&self, located: &Located, cause: anyhow::Error) -> Error {
        match cause.is::<Late>() {
            true => self.late(cause),
            false => self.error(located.span, &located.text, cause),
        }
    }

    fn error(&self, span: Span, text: &str, cause: anyhow::Error) -> Error {
        let cause = full::explained(cause, &self.site);
        Error::at((&self.context.dockerfile_name(), self.context.dockerfile_text()), span, text, cause)
    }

    fn late(&self, cause: anyhow::Error) -> Error {
        match cause.downcast_ref::<Late>().map(|late| late.place.clone()) {
            Some(Place { span, text }) => self.error(span, &text, cause),
            None => Error::Other(cause),
        }
    }

    /// How a layer leaves: that of the step with this number, or one of the stage's end.
    fn way(&self, stage: &Stage, current: &Current, number: Option<usize>) -> Way<'_> {
        let is_work =
            |(later, step): (usize, &Step)| self.hit(current.position, later).is_none() && self.changes_files(step);
        let step_follows = number.is_some_and(|number| stage.steps.iter().enumerate().skip(number + 1).any(is_work));
        let haste = if step_follows || self.stage_follows { Haste::StepFollows } else { Haste::None };
        let cached = self.cached.as_ref();
        let of_entry = number.or_else(|| cached?.single(current.position));
        let cache = of_entry.and_then(|number| cached?.gets(current.position, number));
        let audience = match self.of_target.contains(&current.position) {
            true => Audience::Listener(cache.cloned()),
            false => Audience::Nobody,
        };
        Way { request: self.request, background: &self.background, haste, audience }
    }

    fn begin(&mut self, stage: &Stage, plan: &Plan) -> Result<Current> {
        let wanted = platform::of_base(stage, &self.request.platform)?;
        let position = self.finished.len();
        let (image, mut state, platform) = match &stage.base {
            Base::Stage(base) => {
                let base = self.finished.get(*base).and_then(Option::as_ref);
                let base = base.context("a stage is built before its base")?;
                (base.image.clone(), base.state.inherit(), base.platform.clone())
            }
            base => {
                let image = self.bases.fetch(base, &wanted)?;
                let state = StageState::new(image.config.clone(), plan.args.clone(), plan.escape);
                (Draft::new(image), state.following(self.request.reading.compat), wanted)
            }
        };
        let is_carried_out = |(number, step): &(usize, &Step)| is_run(step) && self.hit(position, *number).is_none();
        if let Some((_, run)) = stage.steps.iter().enumerate().find(is_carried_out) {
            platform::check_run(&platform).with_context(|| format!("line {}", run.located.span.first))?;
        }
        // They are steps of the plan by now.
        state.config.config.on_build.clear();
        Ok(Current::new(position, image, state, platform))
    }

    /// What the cache has for a step.
    fn hit(&self, position: usize, number: usize) -> Option<&Hit> {
        self.cached.as_ref()?.hit(position, number)
    }

    fn step(&mut self, stage: &Stage, (number, step): (usize, &Step), current: &mut Current) -> Result<()> {
        let located = &step.located;
        info!("{}", one_line(&located.text));
        if let Some(signal) = self.control.cancelled() {
            return Err(run::Error::Cancelled { signal }.into());
        }
        let mut timing = StepTiming {
            stage: stage.index,
            line: located.span.first,
            instruction: dockerfile::shown(&located.text),
            ..StepTiming::default()
        };
        let text = self.history(step, &current.state)?;
        if let Some(hit) = self.hit(current.position, number).cloned() {
            timing.cached = true;
            self.timings.step(timing);
            return self.replay(stage, step, hit, &text, current);
        }
        let outcome = self.execute_and_snapshot(stage, (number, step), current, &mut timing);
        self.timings.step(timing);
        self.tell_differences(located.span.first, &mut current.state);
        let layer = outcome?;
        match self.request.snapshots {
            Snapshots::EachStage => {
                current.pending.push(Pending { text, writes: self.changes_files(step) });
                self.check(number, step, current)?;
            }
            Snapshots::EachStep => {
                let layer = layer.as_ref();
                current.extend(self.request, layer.map(|layer| made(layer, Place::of(located))), &text)?;
                if layer.is_some() {
                    current.applied = current.image.layers();
                }
                self.remember(number, step, layer.map(|layer| layer.pending.clone()), current)?;
            }
        }
        Ok(())
    }

    /// Does without a step whose result is known. What watches may have missed so far belongs below it.
    fn replay(&mut self, stage: &Stage, step: &Step, hit: Hit, text: &str, current: &mut Current) -> Result<()> {
        info!("It is in the cache since {}", hit.created.strftime("%Y-%m-%d %H:%M:%S"));
        let is_whole = current.settle(stage, &self.way(stage, current, None), self.timings)?;
        self.release(is_whole, current);
        steps::foresee(&step.located.instruction, &mut current.state)?;
        self.tell_differences(step.located.span.first, &mut current.state);
        let layer = hit.layer.map(|layer| Made::Whole(Box::new(layer)));
        if self.request.snapshots == Snapshots::EachStage {
            current.single = layer;
            current.pending.push(Pending { text: text.to_owned(), writes: true });
            return Ok(());
        }
        current.extend(self.request, layer, text)
    }

    fn changes_files(&self, step: &Step) -> bool {
        changes_files(step, &self.request.reading.compat)
    }

    /// The text of the step's row in the history.
    fn history(&self, step: &Step, state: &StageState) -> Result<String> {
        match self.request.reading.compat.history_of_layers {
            true => Ok(dockerfile::without_logins(&step.located.text)),
            false => steps::history(&step.located.instruction, state),
        }
    }

    /// Whether it is said where kaniko 1.24 would drop what is written below a volume of the base.
    fn names_volumes(&self) -> bool {
        let reading = &self.request.reading;
        reading.differences == Differences::Warn && !reading.compat.volume_drops_changes
    }

    /// Says what only a step could find out of kaniko's other ways, if nothing was said of its line.
    fn tell_differences(&mut self, line: u32, state: &mut StageState) {
        let found = state.take_differences();
        if let (Differences::Warn, Some(what)) = (self.request.reading.differences, found.first())
            && self.told.insert(line)
        {
            warn!("{}:{line}: {what}", self.context.dockerfile_name());
        }
    }

    /// The step's layer, if it has a snapshot of its own and changed anything.
    fn execute_and_snapshot(
        &mut self,
        stage: &Stage,
        (number, step): (usize, &Step),
        current: &mut Current,
        timing: &mut StepTiming,
    ) -> Result<Option<Written>> {
        let each_step = self.request.snapshots == Snapshots::EachStep;
        if let (Some(disk), Instruction::Run(_), true) = (&mut current.disk, &step.located.instruction, each_step) {
            disk.before_run(timing);
        }
        let began = Instant::now();
        let touched = self.execute(step, current)?;
        timing.execute_ns = nanos(began.elapsed());
        let way = self.way(stage, current, Some(number));
        let Some(disk) = &mut current.disk else { return Ok(None) };
        disk.after(touched)?;
        if self.request.reading.compat.volume_drops_changes {
            disk.drop_below(current.state.config.config.volumes.keys().map(String::as_str))?;
        }
        let layer = if each_step && disk.is_touched() { disk.snapshot(&way, timing)? } else { None };
        if let Some(path) = disk.take_heeded() {
            current.state.wrote_below_volume(&path);
        }
        if let (Instruction::Volume(_), true) = (&step.located.instruction, self.names_volumes()) {
            current.state.lacks_volumes(&disk.root)?;
        }
        Ok(layer)
    }

    fn execute(&mut self, step: &Step, current: &mut Current) -> Result<Touched> {
        for source in step.sources() {
            self.trees.open(source, &mut self.bases, &self.site)?;
        }
        let of_stage = |position: usize| self.finished.get(position)?.as_ref()?.tree.as_ref();
        let context = self.trees.context();
        let tree = step.source.as_ref().map_or(Ok(context), |source| self.trees.find(source, &of_stage))?;
        let mounts = step
            .mounts
            .iter()
            .map(|source| source.as_ref().map(|source| self.trees.find(source, &of_stage)).transpose());
        let mounts = mounts.collect::<Result<Vec<_>>>()?;
        let isolation = self.isolation.unwrap_or(run::Isolation::InPlace);
        let sources = Sources {
            tree,
            control: self.control,
            isolation,
            context,
            mounts: &mounts,
            vault: &self.request.vault,
            fetch: &self.fetch,
            own: &self.site.work.join("mounts"),
            caches: self.caches,
            rights: self.request.rights,
        };
        let instruction = &step.located.instruction;
        let root = current.disk.as_ref().map_or(&self.trees.context_root, |disk| &disk.root);
        Ok(steps::execute(instruction, &mut current.state, root, &sources)?)
    }

    fn finish(&self, stage: &Stage, current: Current, need: Need) -> Result<(Finished, Option<Standing>)> {
        let Current { mut image, state, platform, disk, applied, .. } = current;
        image.configure(state.config.config.clone(), state.config.author.clone());
        let (mut tree, mut standing) = (None, None);
        match disk {
            Some(disk) if need.tree => {
                tree = Some(kept::keep(&self.site, disk.root, stage.index)?);
            }
            Some(disk) => standing = Standing::after(stage, disk, applied, self.request),
            None => {}
        }
        Ok((Finished { image, state, platform, tree }, standing))
    }
}

fn is_run(step: &Step) -> bool {
    matches!(step.located.instruction, Instruction::Run(_))
}
