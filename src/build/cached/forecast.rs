//! The keys of all steps of a build, from what they read: nothing is unpacked and nothing runs.
//!
//! The state of a stage is followed through its instructions without a root. A key follows from the key of the step before, so a
//! step that cannot be foretold (a source that is not there, an address that does not answer) leaves those after it without one;
//! carried out, it says itself what is wrong.

use anyhow::{Context as _, Result};
use tracing::debug;

use super::super::base::Bases;
use super::super::remote::Fetcher;
use super::super::trees::Trees;
use super::super::{Request, SnapshotMode, Snapshots, platform};
use super::Layers;
use crate::cache::{Key, Kind, Part, Place, Stretcher, key};
use crate::codec::Packing;
use crate::context::digests::Digests;
use crate::dockerfile::{self, Instruction};
use crate::oci::Image;
use crate::plan::{Base, Compat, Plan, Source, Stage, Step};
use crate::rootfs::RootPath;
use crate::steps::{self, Input, Sight, StageState};

/// What is known of a stage before it is built.
pub(in crate::build) struct StageForecast {
    /// One for each step of the stage.
    pub(in crate::build) steps: Vec<StepForecast>,
    /// The step under whose key the only layer of the stage stands, where a stage has one layer and it is cached.
    pub(in crate::build) single: Option<usize>,
    /// What stands for the files that the stage leaves.
    pub(in crate::build) end: Option<Key>,
    state: StageState,
}

/// What is known of a step.
#[derive(Default)]
pub(in crate::build) struct StepForecast {
    /// What its key is made of; empty where it has none.
    pub(in crate::build) parts: Vec<Part>,
    /// Its key, if it can change files and can be foretold.
    pub(in crate::build) key: Option<Key>,
    /// Where it stands, if its result is cached.
    pub(in crate::build) place: Option<Place>,
    /// The state in which it is carried out, if files of a context can be among its parts: those can change meanwhile.
    pub(in crate::build) before: Option<Before>,
}

/// The state before a step, and the parts of its key that are not read from a context.
pub(in crate::build) type Before = (StageState, Vec<Part>);

/// Whoever foretells.
pub(in crate::build) struct Seer<'s, 'a> {
    pub(in crate::build) request: &'a Request,
    pub(in crate::build) file: String,
    pub(in crate::build) layers: Layers,
    /// The paths that no layer has.
    pub(in crate::build) ignored: &'s [RootPath],
    pub(in crate::build) bases: &'s mut Bases<'a>,
    pub(in crate::build) trees: &'s mut Trees<'a>,
    pub(in crate::build) fetch: &'s Fetcher<'a>,
    pub(in crate::build) digests: &'s Digests,
    pub(in crate::build) stretcher: Stretcher,
}

impl Seer<'_, '_> {
    /// The forecast of each stage, by position.
    pub(in crate::build) fn stages(&mut self, plan: &Plan) -> Result<Vec<StageForecast>> {
        let mut stages = Vec::new();
        for stage in &plan.stages {
            let forecast = self.stage(stage, plan, &stages)?;
            stages.push(forecast);
        }
        Ok(stages)
    }

    fn stage(&mut self, stage: &Stage, plan: &Plan, before: &[StageForecast]) -> Result<StageForecast> {
        let mut last = None;
        let (mut state, mut tip) = match &stage.base {
            Base::Stage(position) => {
                let base = before.get(*position).context("a stage is foretold before its base")?;
                last.clone_from(&base.end);
                let tip = base.end.as_ref().map(|end| vec![Part::new(Kind::Before, "", end.as_str())]);
                (base.state.inherit(), tip)
            }
            base => {
                let wanted = platform::of_base(stage, &self.request.platform)?;
                let image = self.bases.fetch(base, &wanted)?;
                let state = StageState::new(image.config.clone(), plan.args.clone(), plan.escape);
                let parts = [
                    Part::new(Kind::Base, "", contents(&image)),
                    Part::new(Kind::Platform, "", image.config.platform().to_string()),
                ];
                let tip = parts.into_iter().chain(options(self.request, self.ignored)).collect();
                (state.following(self.request.reading.compat), Some(tip))
            }
        };
        state.config.config.on_build.clear();
        let mut steps = Vec::new();
        for (number, step) in stage.steps.iter().enumerate() {
            let forecast = match &tip {
                Some(known) => self.step(step, &state, known, before),
                None => Ok(StepForecast::default()),
            };
            let mut forecast = forecast.and_then(|forecast| {
                steps::foresee(&step.located.instruction, &mut state)?;
                Ok(forecast)
            });
            if let Err(error) = &forecast {
                let why = dockerfile::shown_of(&step.located.text, &format!("{error:#}"));
                debug!("line {} cannot be foretold: {why}", step.located.span.first);
                tip = None;
            }
            if let Ok(StepForecast { key: Some(key), place, .. }) = &mut forecast {
                tip = Some(vec![Part::new(Kind::Before, "", key.as_str())]);
                last = Some(key.clone());
                *place = self.place(stage, number);
            }
            steps.push(forecast.unwrap_or_default());
        }
        let single = match self.request.snapshots {
            Snapshots::EachStep => None,
            Snapshots::EachStage => self.single(stage, &mut steps, tip.is_some()),
        };
        let end = tip.map(|tip| last.unwrap_or_else(|| key(&tip)));
        Ok(StageForecast { steps, single, end, state })
    }

    /// Has the last step that changes files stand for all of a stage with one layer, if one of them is cached and all are known.
    fn single(&self, stage: &Stage, steps: &mut [StepForecast], is_known: bool) -> Option<usize> {
        let mut is_cached = false;
        steps.iter_mut().for_each(|step| is_cached |= step.place.take().is_some());
        let last = steps.iter().rposition(|step| step.key.is_some()).filter(|_| is_cached && is_known)?;
        let names = [self.file.clone(), of_stage(stage), "stage".to_owned()];
        steps[last].place = Some(Place { names, number: 0 });
        Some(last)
    }

    /// Where the step stands, if its result is cached.
    fn place(&self, stage: &Stage, number: usize) -> Option<Place> {
        let instruction = &stage.steps[number].located.instruction;
        let is_cached = match instruction {
            Instruction::Run(_) | Instruction::Workdir(_) => self.layers.runs,
            Instruction::Copy(_) | Instruction::Add(_) => self.layers.copies,
            _ => false,
        };
        let name = instruction.name();
        let same = stage.steps[..number].iter().filter(|step| step.located.instruction.name() == name).count();
        is_cached.then(|| Place { names: [self.file.clone(), of_stage(stage), name.to_owned()], number: same })
    }

    /// The forecast of a step that is carried out in `state`, over what `tip` stands for.
    fn step(
        &mut self,
        step: &Step,
        state: &StageState,
        tip: &[Part],
        before: &[StageForecast],
    ) -> Result<StepForecast> {
        let compat = &self.request.reading.compat;
        if !changes_files(step, compat) {
            return Ok(StepForecast::default());
        }
        let mut fixed = tip.to_vec();
        fixed.push(Part::new(Kind::Instruction, step.located.instruction.name(), ""));
        if compat.volume_drops_changes {
            let volumes: Vec<&str> = state.config.config.volumes.keys().map(String::as_str).collect();
            fixed.push(Part::new(Kind::Option, "volumes", volumes.join("\0")));
        }
        for (at, source) in sources(step) {
            fixed.extend(self.source(&at, source, before)?);
        }
        let mut parts = fixed.clone();
        parts.extend(self.inputs(step, state)?);
        let before = may_read_context(step).then(|| (state.clone(), fixed));
        Ok(StepForecast { key: Some(key(&parts)), parts, place: None, before })
    }

    /// The key of a step by what its context holds now.
    pub(in crate::build) fn again(&mut self, step: &Step, before: &Before) -> Result<Key> {
        let mut parts = before.1.clone();
        parts.extend(self.inputs(step, &before.0)?);
        Ok(key(&parts))
    }

    /// What a source is, if it is not read here.
    fn source(&mut self, at: &str, source: &Source, before: &[StageForecast]) -> Result<Option<Part>> {
        self.trees.open_directory(source)?;
        if let Source::Stage(position) = source {
            let end = before.get(*position).and_then(|stage| stage.end.as_ref());
            let end = end.context("the stage that it copies from cannot be foretold")?;
            return Ok(Some(Part::new(Kind::Stage, at, end.as_str())));
        }
        let image = self.trees.image(source, self.bases)?;
        Ok(image.map(|image| Part::new(Kind::Image, at, contents(&image))))
    }

    fn inputs(&mut self, step: &Step, state: &StageState) -> Result<Vec<Part>> {
        let of_mount = |source: &Option<Source>| match source {
            None => Some(self.trees.context()),
            Some(source) => self.trees.of_context(source),
        };
        let mounts: Vec<_> = step.mounts.iter().map(of_mount).collect();
        let tree = step.source.as_ref().map_or(Some(self.trees.context()), |source| self.trees.of_context(source));
        let Request { vault, .. } = self.request;
        let sight = Sight { tree, mounts: &mounts, digests: self.digests, vault, fetch: self.fetch };
        let inputs = steps::inputs(&step.located.instruction, state, &sight)?;
        Ok(inputs.into_iter().map(|input| part(input, &mut self.stretcher)).collect())
    }
}

fn of_stage(stage: &Stage) -> String {
    stage.name.clone().unwrap_or_else(|| stage.index.to_string())
}

/// Whether a step can change the stage's files, for which it needs them.
pub(in crate::build) fn changes_files(step: &Step, compat: &Compat) -> bool {
    match step.located.instruction {
        Instruction::Run(_) | Instruction::Copy(_) | Instruction::Add(_) | Instruction::Workdir(_) => true,
        Instruction::Volume(_) => compat.volume_makes_directory,
        _ => false,
    }
}

/// Whether files of a context can be among a step's parts, be there any now or not.
fn may_read_context(step: &Step) -> bool {
    let is_context = |source: &Source| matches!(source, Source::Context | Source::Named(_));
    let mounts = step.mounts.iter().any(|source| source.as_ref().is_none_or(is_context));
    let copies = matches!(step.located.instruction, Instruction::Copy(_) | Instruction::Add(_));
    mounts || (copies && step.source.as_ref().is_none_or(is_context))
}

/// What a step reads besides its stage, and how its parts call that.
fn sources(step: &Step) -> impl Iterator<Item = (String, &Source)> {
    let mounts = step.mounts.iter().enumerate();
    let mounts = mounts.filter_map(|(number, source)| Some((format!("mount {number}"), source.as_ref()?)));
    step.source.iter().map(|source| ("--from".to_owned(), source)).chain(mounts)
}

fn part(input: Input, stretcher: &mut Stretcher) -> Part {
    match input {
        Input::Word(name, value) => Part::new(Kind::Instruction, name, value),
        Input::Argument(name, value) => stretcher.part(Kind::Argument, &name, &value),
        Input::Variable(name, value) => stretcher.part(Kind::Variable, &name, &value),
        Input::User(user) => Part::new(Kind::User, "", user),
        Input::Directory(path) => Part::new(Kind::Directory, "", path),
        Input::Shell(words) => Part::new(Kind::Shell, "", words),
        Input::Mount(number, what) => Part::new(Kind::Mount, number.to_string(), what),
        Input::File(path, digest) => Part::new(Kind::File, path.as_bytes(), digest.as_str()),
        Input::Remote(address, what) => Part::new(Kind::Remote, address, what),
    }
}

/// What an image's layers hold: neither its times and labels, nor how it is compressed, nor where it is.
fn contents(image: &Image) -> Vec<u8> {
    let diff_ids = image.layers().iter().map(|layer| layer.diff_id.0.as_str().to_owned());
    diff_ids.collect::<Vec<_>>().join("\n").into_bytes()
}

/// What changes layers and stands in no Dockerfile.
fn options(request: &Request, ignored: &[RootPath]) -> Vec<Part> {
    let packing = match request.packing {
        Packing::Gzip(level) => format!("gzip {level:?}"),
        Packing::Zstd(level) => format!("zstd {level:?}"),
    };
    let mut options = vec![Part::new(Kind::Option, "compression", packing)];
    // Layers made for another time have other times.
    options.extend(request.times.latest().map(|latest| Part::new(Kind::Option, "latest time", latest.to_string())));
    match request.snapshot_mode {
        SnapshotMode::Events | SnapshotMode::Full => {}
        SnapshotMode::Redo => options.push(Part::new(Kind::Option, "snapshot mode", "redo")),
        SnapshotMode::Time => options.push(Part::new(Kind::Option, "snapshot mode", "time")),
    }
    if request.snapshots == Snapshots::EachStage {
        options.push(Part::new(Kind::Option, "snapshots", "one a stage"));
    }
    options.extend(ignored.iter().map(|path| Part::new(Kind::Option, "ignored path", path.as_bytes())));
    if request.reading.compat != Default::default() {
        options.push(Part::new(Kind::Option, "compat", format!("{:?}", request.reading.compat)));
    }
    options
}
