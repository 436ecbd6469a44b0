//! One stage after another, one step after another: execute, ask what to look at, take the snapshot, extend the image.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tracing::{info, warn};

use silt_watcher::Nominated;

use super::base::Bases;
use super::error::one_line;
use super::nominator::{Answer, Nominator, Wanted};
use super::remote::Fetcher;
use super::site::{Place, Site};
use super::timings::{StepTiming, nanos};
use super::{Error, NamedContext, Request, Timings, kept, now, snapshot};
use crate::context::Context;
use crate::dockerfile::{Instruction, Located};
use crate::layer::Layer;
use crate::oci::{History, Image};
use crate::plan::{Base, Plan, Source, Stage, Step};
use crate::rootfs::Root;
use crate::snapshot::{Baseline, Candidates};
use crate::steps::{self, Sources, StageState, Touched, run};

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
}

/// A stage that later ones may need.
struct Finished {
    image: Image,
    state: StageState,
    tree: Option<Root>,
}

/// The stage that is being built.
struct Current {
    image: Image,
    state: StageState,
    disk: Option<Disk>,
}

/// A stage's root, for as long as it has one.
struct Disk {
    root: Root,
    baseline: Baseline,
    nominator: Nominator,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        request: &'a Request,
        site: Site,
        control: &'a run::Control,
        timings: &'a Timings,
        context: &'a Context,
        bases: Bases<'a>,
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
        })
    }

    /// Builds the stages of `plan` and returns the image of its target.
    pub(super) fn stages(mut self, plan: &Plan) -> Result<Image, Error> {
        for stage in &plan.stages {
            let current = self.stage(stage, plan)?;
            let finished = self.finish(stage, current)?;
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
        self.settle(stage, &mut current).map_err(|cause| self.at(&stage.from, cause))?;
        Ok(current)
    }

    fn at(&self, located: &Located, cause: anyhow::Error) -> Error {
        Error::at((&self.context.dockerfile_name(), self.context.dockerfile_text()), located.span, &located.text, cause)
    }

    fn begin(&mut self, stage: &Stage, plan: &Plan) -> Result<Current> {
        if let Some(platform) = &stage.platform {
            let wanted = platform.parse::<crate::oci::Platform>()?;
            if wanted != self.request.platform {
                bail!(
                    "--platform={platform}: building for another platform than {} is not supported yet",
                    self.request.platform
                );
            }
        }
        let (image, mut state) = match &stage.base {
            Base::Stage(position) => {
                let base = self.finished.get(*position).context("a stage is built before its base")?;
                (base.image.clone(), base.state.inherit())
            }
            base => {
                let image = self.bases.fetch(base)?;
                let state = StageState::new(image.config.clone(), plan.args.clone(), plan.escape);
                (image, state)
            }
        };
        // They are steps of the plan by now.
        state.config.config.on_build.clear();
        let disk = if needs_disk(stage) { Some(self.disk(stage, &image)?) } else { None };
        Ok(Current { image, state, disk })
    }

    fn disk(&mut self, stage: &Stage, image: &Image) -> Result<Disk> {
        let root = self.site.open_root(self.finished.is_empty())?;
        let tree = self.bases.unpack(image, &root).context("unpack the base image")?;
        let baseline = Baseline::new(tree);
        let runs = stage.steps.iter().filter(|step| matches!(step.located.instruction, Instruction::Run(_))).count();
        if runs > 0 && self.isolation.is_none() {
            self.isolation = Some(self.detect()?);
        }
        let nominator = if runs > 0 {
            let wanted = Wanted { choice: self.request.recorder, verify: self.request.verify, runs };
            let scratch = self.site.own_dir("scratch")?;
            Nominator::open(self.request.snapshot_mode, &wanted, &root, scratch, &baseline)?
        } else {
            Nominator::none()
        };
        Ok(Disk { root, baseline, nominator })
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
        let text = steps::history(&located.instruction, &current.state)?;
        let outcome = self.execute_and_snapshot(step, current, &mut timing);
        self.timings.step(timing);
        let layer = outcome?;
        extend(current, layer, &text)
    }

    fn execute_and_snapshot(
        &mut self,
        step: &Step,
        current: &mut Current,
        timing: &mut StepTiming,
    ) -> Result<Option<Layer>> {
        let is_run = matches!(step.located.instruction, Instruction::Run(_));
        let began = Instant::now();
        if let Some(disk) = current.disk.as_mut().filter(|_| is_run) {
            let guard = disk.nominator.start(&disk.root, &disk.baseline);
            timing.wait_ns = nanos(guard.waited);
        }
        timing.record_ns = nanos(began.elapsed());
        let began = Instant::now();
        let touched = self.execute(step, current)?;
        timing.execute_ns = nanos(began.elapsed());
        let (Some(disk), false) = (&mut current.disk, touched == Touched::Nothing) else { return Ok(None) };
        let (began, cpu) = (Instant::now(), snapshot::cpu_ns());
        let candidates = candidates(touched, disk, timing);
        timing.record_ns += nanos(began.elapsed());
        let taken = snapshot::take(self.request, &disk.root, &mut disk.baseline, &candidates, timing);
        timing.snapshot_cpu_ns = snapshot::cpu_ns().saturating_sub(cpu);
        let taken = taken?;
        disk.nominator.follow(&disk.root, taken.directories);
        Ok(taken.layer)
    }

    /// Looks once more where a recording may have missed something, before anything of the stage is used. What is found is a
    /// layer of its own.
    fn settle(&self, stage: &Stage, current: &mut Current) -> Result<()> {
        let Some(disk) = &mut current.disk else { return Ok(()) };
        let (began, cpu) = (Instant::now(), snapshot::cpu_ns());
        let Some(answer) = disk.nominator.settle(&disk.root, &disk.baseline) else { return Ok(()) };
        let text = "what directory watches did not hear of";
        let (line, instruction) = (stage.from.span.first, text.to_owned());
        let mut timing = StepTiming { stage: stage.index, line, instruction, ..StepTiming::default() };
        let candidates = answered(answer, &mut timing);
        timing.record_ns = nanos(began.elapsed());
        let taken = snapshot::take(self.request, &disk.root, &mut disk.baseline, &candidates, &mut timing);
        timing.snapshot_cpu_ns = snapshot::cpu_ns().saturating_sub(cpu);
        self.timings.step(timing);
        match taken?.layer {
            None => Ok(()),
            layer => {
                warn!(
                    "A step changed files in a way that directory watches do not hear of; they are in a layer of their own"
                );
                extend(current, layer, text)
            }
        }
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
        let fetch = Fetcher { client: &self.request.registry, dir: self.site.work.clone() };
        let sources = Sources {
            tree,
            control: self.control,
            isolation,
            context,
            mounts: &mounts,
            vault: &self.request.vault,
            fetch: &fetch,
            own: &self.site.work.join("mounts"),
            caches: &self.site.caches(),
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
        let image = self.bases.fetch(&base)?;
        let dir = self.site.own_dir(&format!("images/{}", self.images.len()))?;
        let root = Root::open(&dir)?;
        self.bases.unpack(&image, &root).with_context(|| format!("unpack {name}"))?;
        self.images.insert(name.clone(), root);
        Ok(())
    }

    fn finish(&self, stage: &Stage, current: Current) -> Result<Finished> {
        let Current { mut image, state, disk } = current;
        image.config.config = state.config.config.clone();
        image.config.author.clone_from(&state.config.author);
        let tree = match disk {
            Some(disk) if !stage.keep.copies.is_empty() => Some(kept::keep(&self.site, disk.root, stage.index)?),
            _ => None,
        };
        Ok(Finished { image, state, tree })
    }
}

/// Whether any step, or any later stage, needs the stage's files.
fn needs_disk(stage: &Stage) -> bool {
    let on_disk = |step: &Step| {
        use Instruction::{Add, Copy, Run, Workdir};
        matches!(step.located.instruction, Run(_) | Copy(_) | Add(_) | Workdir(_))
    };
    !stage.keep.copies.is_empty() || stage.steps.iter().any(on_disk)
}

fn candidates(touched: Touched, disk: &mut Disk, timing: &mut StepTiming) -> Candidates {
    match touched {
        Touched::Nothing => Candidates::Only(Nominated::default()),
        Touched::Paths(paths) => {
            let paths = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
            Candidates::Only(Nominated { paths, ..Nominated::default() })
        }
        Touched::Unknown => answered(disk.nominator.take(&disk.root, &disk.baseline), timing),
    }
}

/// Notes who answered, and passes the answer on.
fn answered(answer: Answer, timing: &mut StepTiming) -> Candidates {
    let Answer { candidates, recorder, why, events, stats } = answer;
    timing.recorder = Some(recorder);
    timing.recorder_why = why;
    timing.events = events;
    timing.stats = stats;
    candidates
}

fn extend(current: &mut Current, layer: Option<Layer>, text: &str) -> Result<()> {
    let history = History { created: Some(now()), created_by: Some(text.to_owned()), ..History::default() };
    match layer {
        Some(layer) => current.image.append(layer.descriptor, layer.diff_id, history)?,
        None => current.image.push_history(history),
    }
    Ok(())
}
