//! One stage after another, one step after another: execute, ask what to look at, take the snapshot, extend the image.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context as _, Result};
use silt_watcher::Options;
use tracing::{debug, info, warn};

use super::base::Bases;
use super::disk::Disk;
use super::error::one_line;
use super::nominator::{Nominator, Wanted};
use super::remote::Fetcher;
use super::site::{Place, Site};
use super::standing::Standing;
use super::timings::{StepTiming, nanos};
use super::{Differences, Error, NamedContext, Request, Snapshots, Times, Timings, kept, platform};
use crate::context::Context;
use crate::dockerfile::{Instruction, Located};
use crate::layer::Layer;
use crate::oci::{History, Image, Platform};
use crate::plan::{Base, Compat, Plan, Source, Stage, Step};
use crate::rootfs::Root;
use crate::snapshot::Baseline;
use crate::steps::{self, Caches, Sources, StageState, Touched, run};

/// What all stages share.
pub(super) struct Builder<'a> {
    request: &'a Request,
    site: Site,
    control: &'a run::Control,
    timings: &'a Timings,
    context: &'a Context,
    context_root: Root,
    bases: Bases<'a>,
    /// By position in the plan.
    finished: Vec<Finished>,
    /// The trees of `COPY --from` an image, by the name that the Dockerfile gives it.
    images: BTreeMap<String, Root>,
    /// Named contexts that are directories, opened.
    directories: BTreeMap<String, (Root, Context)>,
    isolation: Option<run::Isolation>,
    /// The root as the last stage left it, if this one goes on from it.
    standing: Option<Standing>,
    /// The lines of which is said already what kaniko does otherwise.
    told: BTreeSet<u32>,
    /// Cache mounts.
    caches: &'a Caches<'a>,
}

/// A stage that later ones may need.
struct Finished {
    image: Image,
    state: StageState,
    platform: Platform,
    tree: Option<Root>,
}

/// The stage that is being built.
struct Current {
    image: Image,
    state: StageState,
    platform: Platform,
    disk: Option<Disk>,
    /// Steps whose changes are not in a layer yet.
    pending: Vec<Pending>,
}

/// A step that waits for the snapshot of its stage.
struct Pending {
    text: String,
    /// Whether it can have changed files.
    wrote: bool,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        request: &'a Request,
        site: Site,
        control: &'a run::Control,
        timings: &'a Timings,
        context: &'a Context,
        (bases, told, caches): (Bases<'a>, BTreeSet<u32>, &'a Caches<'a>),
    ) -> Result<Self> {
        Ok(Builder {
            request,
            site,
            control,
            timings,
            context,
            context_root: Root::open(context.dir())?,
            bases,
            finished: Vec::new(),
            images: BTreeMap::new(),
            directories: BTreeMap::new(),
            isolation: None,
            standing: None,
            told,
            caches,
        })
    }

    /// Builds the stages of `plan` and returns the image of its target.
    pub(super) fn stages(mut self, plan: &Plan) -> Result<Image, Error> {
        for stage in &plan.stages {
            let current = self.stage(stage, plan)?;
            let (finished, standing) = self.finish(stage, current)?;
            let position = self.finished.len();
            let unused = self.standing.take().filter(|unused| unused.stage == position);
            self.standing = standing.or_else(|| unused.and_then(|unused| unused.passed_on(stage)));
            self.finished.push(finished);
        }
        let target = self.finished.into_iter().nth(plan.target).context("the plan has no target")?;
        Ok(target.image)
    }

    fn stage(&mut self, stage: &Stage, plan: &Plan) -> Result<Current, Error> {
        info!("{}", one_line(&stage.from.text));
        let mut current = self.begin(stage, plan).map_err(|cause| self.at(&stage.from, cause))?;
        for step in &stage.steps {
            self.step(stage, step, &mut current).map_err(|cause| self.at(&step.located, cause))?;
        }
        self.end(stage, &mut current).map_err(|cause| self.at(&stage.from, cause))?;
        self.tell_differences(stage.from.span.first, &mut current.state);
        Ok(current)
    }

    fn at(&self, located: &Located, cause: anyhow::Error) -> Error {
        Error::at((&self.context.dockerfile_name(), self.context.dockerfile_text()), located.span, &located.text, cause)
    }

    fn begin(&mut self, stage: &Stage, plan: &Plan) -> Result<Current> {
        let wanted = platform::of_base(stage, &self.request.platform)?;
        let (image, mut state, platform) = match &stage.base {
            Base::Stage(position) => {
                let base = self.finished.get(*position).context("a stage is built before its base")?;
                (base.image.clone(), base.state.inherit(), base.platform.clone())
            }
            base => {
                let image = self.bases.fetch(base, &wanted)?;
                let state = StageState::new(image.config.clone(), plan.args.clone(), plan.escape);
                (image, state.following(self.request.reading.compat), wanted)
            }
        };
        if let Some(run) = stage.steps.iter().find(|step| matches!(step.located.instruction, Instruction::Run(_))) {
            platform::check_run(&platform).with_context(|| format!("line {}", run.located.span.first))?;
        }
        // They are steps of the plan by now.
        state.config.config.on_build.clear();
        let mut disk =
            if needs_disk(stage, &self.request.reading.compat) { Some(self.disk(stage, &image)?) } else { None };
        if let (Some(disk), true) = (&mut disk, self.names_volumes()) {
            disk.heed(state.config.config.volumes.keys().map(String::as_str))?;
        }
        Ok(Current { image, state, platform, disk, pending: Vec::new() })
    }

    fn disk(&mut self, stage: &Stage, image: &Image) -> Result<Disk> {
        let position = self.finished.len();
        let (root, baseline) = match self.standing.take().filter(|standing| standing.stage == position) {
            Some(Standing { root, baseline, .. }) => {
                debug!("The root stands as this stage needs it");
                (root, baseline)
            }
            None => {
                let mut root = self.site.open_root(self.finished.is_empty())?;
                let tree = self.bases.unpack(image, &mut root, &self.site.spared).context("unpack the base image")?;
                (root, Baseline::new(tree))
            }
        };
        let runs = stage.steps.iter().filter(|step| matches!(step.located.instruction, Instruction::Run(_))).count();
        if runs > 0 && self.isolation.is_none() {
            self.isolation = Some(self.detect()?);
        }
        let nominator = if runs > 0 {
            Nominator::open(&self.wanted(runs), &root, self.site.own_dir("scratch")?, &baseline)?
        } else {
            Nominator::none()
        };
        Disk::new(root, baseline, nominator, self.request.snapshots)
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

    fn step(&mut self, stage: &Stage, step: &Step, current: &mut Current) -> Result<()> {
        let located = &step.located;
        info!("{}", one_line(&located.text));
        if let Some(signal) = self.control.cancelled() {
            return Err(run::Error::Cancelled { signal }.into());
        }
        let mut timing = StepTiming {
            stage: stage.index,
            line: located.span.first,
            instruction: located.text.clone(),
            ..StepTiming::default()
        };
        let text = self.history(step, &current.state)?;
        let outcome = self.execute_and_snapshot(step, current, &mut timing);
        self.timings.step(timing);
        self.tell_differences(located.span.first, &mut current.state);
        let (layer, wrote) = outcome?;
        match self.request.snapshots {
            Snapshots::EachStep => self.extend(current, layer, &text)?,
            Snapshots::EachStage => current.pending.push(Pending { text, wrote }),
        }
        Ok(())
    }

    /// The text of the step's row in the history.
    fn history(&self, step: &Step, state: &StageState) -> Result<String> {
        match self.request.reading.compat.history_of_layers {
            true => Ok(step.located.text.clone()),
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

    /// The step's layer, if it has a snapshot of its own and changed anything, and whether it can have changed files.
    fn execute_and_snapshot(
        &mut self,
        step: &Step,
        current: &mut Current,
        timing: &mut StepTiming,
    ) -> Result<(Option<Layer>, bool)> {
        let each_step = self.request.snapshots == Snapshots::EachStep;
        if let (Some(disk), Instruction::Run(_), true) = (&mut current.disk, &step.located.instruction, each_step) {
            disk.before_run(timing);
        }
        let began = Instant::now();
        let touched = self.execute(step, current)?;
        timing.execute_ns = nanos(began.elapsed());
        let Some(disk) = &mut current.disk else { return Ok((None, touched != Touched::Nothing)) };
        let wrote = disk.after(touched)?;
        if self.request.reading.compat.volume_drops_changes {
            disk.drop_below(current.state.config.config.volumes.keys().map(String::as_str))?;
        }
        let layer = if each_step && disk.is_touched() { disk.snapshot(self.request, timing)? } else { None };
        if let Some(path) = disk.take_heeded() {
            current.state.wrote_below_volume(&path);
        }
        if let (Instruction::Volume(_), true) = (&step.located.instruction, self.names_volumes()) {
            current.state.lacks_volumes(&disk.root)?;
        }
        Ok((layer, wrote))
    }

    /// Takes what snapshot is still to be taken before anything of the stage is used.
    fn end(&self, stage: &Stage, current: &mut Current) -> Result<()> {
        match self.request.snapshots {
            Snapshots::EachStep => self.settle(stage, current),
            Snapshots::EachStage => self.snapshot_all(stage, current),
        }
    }

    /// Looks once more where a recording may have missed something. What is found is a layer of its own.
    fn settle(&self, stage: &Stage, current: &mut Current) -> Result<()> {
        let Some(disk) = current.disk.as_mut().filter(|disk| !disk.is_settled()) else { return Ok(()) };
        let text = "what directory watches did not hear of";
        let mut timing = timing_of(stage, text);
        let layer = disk.settle(self.request, &mut timing);
        self.timings.step(timing);
        match layer? {
            None => Ok(()),
            layer => {
                warn!(
                    "A step changed files in a way that directory watches do not hear of; they are in a layer of their own"
                );
                self.extend(current, layer, text)
            }
        }
    }

    /// One layer for all steps. It stands with the last of them that can have changed files.
    fn snapshot_all(&self, stage: &Stage, current: &mut Current) -> Result<()> {
        let mut layer = match &mut current.disk {
            Some(disk) if disk.is_touched() => {
                let mut timing = timing_of(stage, "the single snapshot of the stage");
                let taken = disk.snapshot_all(self.request, &mut timing);
                self.timings.step(timing);
                let taken = taken?;
                if let Some(path) = disk.take_heeded() {
                    current.state.wrote_below_volume(&path);
                }
                taken
            }
            _ => None,
        };
        let pending = std::mem::take(&mut current.pending);
        let last = pending.iter().rposition(|step| step.wrote);
        for (at, step) in pending.iter().enumerate() {
            let layer = if Some(at) == last { layer.take() } else { None };
            self.extend(current, layer, &step.text)?;
        }
        Ok(())
    }

    fn execute(&mut self, step: &Step, current: &mut Current) -> Result<Touched> {
        for source in step.sources() {
            self.unpack_source(source)?;
        }
        let context = steps::Tree::Context { root: &self.context_root, context: self.context };
        let tree = step.source.as_ref().map_or(Ok(context), |source| self.tree(source))?;
        let mounts = step.mounts.iter().map(|source| source.as_ref().map(|source| self.tree(source)).transpose());
        let mounts = mounts.collect::<Result<Vec<_>>>()?;
        let isolation = self.isolation.unwrap_or(run::Isolation::InPlace);
        let fetch = Fetcher { client: &self.request.registry, dir: self.site.work.clone(), vault: &self.request.vault };
        let sources = Sources {
            tree,
            control: self.control,
            isolation,
            context,
            mounts: &mounts,
            vault: &self.request.vault,
            fetch: &fetch,
            own: &self.site.work.join("mounts"),
            caches: self.caches,
            rights: self.request.rights,
        };
        let instruction = &step.located.instruction;
        let root = current.disk.as_ref().map_or(&self.context_root, |disk| &disk.root);
        Ok(steps::execute(instruction, &mut current.state, root, &sources)?)
    }

    /// The tree of a source, which must have been unpacked.
    fn tree(&self, source: &Source) -> Result<steps::Tree<'_>> {
        Ok(match source {
            Source::Context => steps::Tree::Context { root: &self.context_root, context: self.context },
            Source::Stage(position) => {
                let tree = self.finished.get(*position).and_then(|finished| finished.tree.as_ref());
                steps::Tree::Files(tree.context("the source stage was not kept")?)
            }
            Source::Named(name) if self.directories.contains_key(name) => {
                let (root, context) = self.directories.get(name).context("the named context was not opened")?;
                steps::Tree::Context { root, context }
            }
            Source::Image(name) | Source::Named(name) => {
                steps::Tree::Files(self.images.get(name).context("the source image was not unpacked")?)
            }
        })
    }

    /// Fetches and unpacks the image that a `COPY --from` or a mount names, once.
    fn unpack_source(&mut self, source: &Source) -> Result<()> {
        let (name, base) = match source {
            Source::Image(name) => (name, Base::Image(name.clone())),
            Source::Named(name) => (name, Base::Context(name.clone())),
            Source::Context | Source::Stage(_) => return Ok(()),
        };
        if self.images.contains_key(name) || self.directories.contains_key(name) {
            return Ok(());
        }
        if let (Source::Named(_), Some(NamedContext::Directory(dir))) = (source, self.request.contexts.get(name)) {
            let opened = (Root::open(dir)?, Context::open_named(dir)?);
            self.directories.insert(name.clone(), opened);
            return Ok(());
        }
        let image = self.bases.fetch(&base, &self.request.platform)?;
        if self.request.platform.preference(&image.config.platform()).is_none() {
            warn!("{name} is for {}, not for {}", image.config.platform(), self.request.platform);
        }
        let dir = self.site.own_dir(&format!("images/{}", self.images.len()))?;
        let mut root = Root::open(&dir)?;
        self.bases.unpack(&image, &mut root, &[]).with_context(|| format!("unpack {name}"))?;
        self.images.insert(name.clone(), root);
        Ok(())
    }

    /// Adds what a step left to the image: a layer, if it has one, and a row of the history.
    fn extend(&self, current: &mut Current, layer: Option<Layer>, text: &str) -> Result<()> {
        let is_kanikos = self.request.reading.compat.history_of_layers;
        let history = if is_kanikos { kanikos_row(text) } else { row(text, self.request.times) };
        match layer {
            Some(layer) => current.image.append(layer.descriptor, layer.diff_id, history)?,
            None if is_kanikos => {}
            None => current.image.push_history(history),
        }
        Ok(())
    }

    fn finish(&self, stage: &Stage, current: Current) -> Result<(Finished, Option<Standing>)> {
        let Current { mut image, state, platform, disk, .. } = current;
        image.config.config = state.config.config.clone();
        image.config.author.clone_from(&state.config.author);
        let (mut tree, mut standing) = (None, None);
        match disk {
            Some(disk) if !stage.keep.copies.is_empty() => {
                tree = Some(kept::keep(&self.site, disk.root, stage.index)?);
            }
            Some(disk) => standing = Standing::after(stage, disk, self.request),
            None => {}
        }
        Ok((Finished { image, state, platform, tree }, standing))
    }
}

/// Whether any step, or any later stage, needs the stage's files.
fn needs_disk(stage: &Stage, compat: &Compat) -> bool {
    let on_disk = |step: &Step| {
        use Instruction::{Add, Copy, Run, Volume, Workdir};
        match step.located.instruction {
            Run(_) | Copy(_) | Add(_) | Workdir(_) => true,
            Volume(_) => compat.volume_makes_directory,
            _ => false,
        }
    };
    !stage.keep.copies.is_empty() || stage.steps.iter().any(on_disk)
}

/// Figures of a snapshot that belongs to no single step.
fn timing_of(stage: &Stage, text: &str) -> StepTiming {
    let (line, instruction) = (stage.from.span.first, text.to_owned());
    StepTiming { stage: stage.index, line, instruction, ..StepTiming::default() }
}

fn row(text: &str, times: Times) -> History {
    History { created: Some(times.created()), created_by: Some(text.to_owned()), ..History::default() }
}

/// A row as kaniko 1.24 writes it: its time is Go's zero.
fn kanikos_row(text: &str) -> History {
    let (created, author) = (Some("0001-01-01T00:00:00Z".to_owned()), Some("kaniko".to_owned()));
    History { created, created_by: Some(text.to_owned()), author, ..History::default() }
}
