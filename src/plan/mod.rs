//! From a parsed Dockerfile and the build's options to a plan: which stages to build, in which order, from what.
//!
//! Pure. Only the stages that the target needs are in the plan; all stages are checked. A stage refers to earlier stages
//! only, so the order of the file is a build order. What depends on values that only a running stage knows (ENV, ARG
//! in a stage) stays unexpanded in the steps.

mod args;
mod compat;
mod error;
pub mod lint;
mod meant;
mod resolve;
mod show;
mod triggers;
mod unsupported;

pub use args::{Args, PlatformNames};
pub use compat::{Compat, Difference, differences, is_foreign};
pub use error::{Error, Problem};
pub use meant::StageNames;

use std::collections::{BTreeMap, BTreeSet};

use crate::dockerfile::{Dockerfile, Escape, Instruction, Located};

/// What the user asks for beside the Dockerfile.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--build-arg`: values by name.
    pub build_args: BTreeMap<String, String>,
    /// `--target`: names or indices of stages; the last stage if there are none. The first is the image.
    pub targets: Vec<String>,
    /// Whether stages that no target needs are built.
    pub unused: Unused,
    /// The ways of kaniko that are in force.
    pub compat: Compat,
    /// The ONBUILD triggers of base images, by the index of the stage that starts from one.
    pub triggers: BTreeMap<usize, Vec<String>>,
    /// The names of `--build-context`.
    pub contexts: BTreeSet<String>,
    /// The platform that the image is for.
    pub target_platform: PlatformNames,
    /// The platform that the build runs on.
    pub build_platform: PlatformNames,
}

/// What becomes of stages that no target needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unused {
    /// They are left out.
    #[default]
    Skip,
    /// Those before the last target are built, as kaniko 1.24 does.
    Build,
}

/// What to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In build order, which is that of the file. Never empty.
    pub stages: Vec<Stage>,
    /// The position of the stage that is the image.
    pub target: usize,
    /// The positions of all stages that were asked for, that one among them.
    pub targets: Vec<usize>,
    /// The stages that are not built, in the order of the file.
    pub skipped: Vec<Skipped>,
    /// Build arguments and global ARGs.
    pub args: Args,
    /// The escape character of the Dockerfile.
    pub escape: Escape,
    /// Build arguments that no ARG of the file declares and that are not predefined, for a warning.
    pub unused_build_args: Vec<String>,
    /// Build arguments that BuildKit takes for itself and that change nothing here, for a warning.
    pub idle_build_args: Vec<String>,
}

/// A stage that is not built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its index in the file, from 0.
    pub index: usize,
    /// Its name, in lower case.
    pub name: Option<String>,
    /// The line of its FROM, from 1.
    pub line: u32,
    /// Whether it has a RUN, which might do more than make files.
    pub runs: bool,
}

/// A stage to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its index in the file, from 0; unlike its position in the plan it counts stages that are not built.
    pub index: usize,
    /// Its name, in lower case.
    pub name: Option<String>,
    /// What it starts from.
    pub base: Base,
    /// `FROM --platform`, expanded.
    pub platform: Option<String>,
    /// Its FROM.
    pub from: Located,
    /// The rest of its instructions.
    pub steps: Vec<Step>,
    /// What later stages need of it.
    pub keep: Keep,
    /// The position of the next stage, if that is all that uses this one: it starts from it, nothing copies from it, and it is
    /// no target. Building both as one stage then gives the same image.
    pub continued_by: Option<usize>,
}

/// What a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// The stage at this position in [`Plan::stages`].
    Stage(usize),
    /// An image reference, not validated.
    Image(String),
    /// The named context with this name, as in [`Options::contexts`].
    Context(String),
}

/// An instruction of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The instruction and where it stands; a trigger stands at the FROM that it comes from. Never FROM.
    pub located: Located,
    /// Where the instruction comes from.
    pub origin: Origin,
    /// Where COPY and ADD take their sources from; `None` for all others.
    pub source: Option<Source>,
    /// For each mount of a RUN, in order, what its `from` names; `None` where it has none: then a bind mount shows the build
    /// context, and a cache begins empty.
    pub mounts: Vec<Option<Source>>,
}

impl Step {
    /// Everything that it reads files from beside its own stage.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.source.iter().chain(self.mounts.iter().flatten())
    }
}

/// Where a step comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The Dockerfile.
    #[default]
    Written,
    /// An ONBUILD of the base.
    Trigger,
}

/// Where COPY, ADD and mounts take files from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The build context.
    Context,
    /// The stage at this position in [`Plan::stages`].
    Stage(usize),
    /// An image reference, not validated.
    Image(String),
    /// The named context with this name, as in [`Options::contexts`].
    Named(String),
}

/// What later stages need of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Positions of the stages that start from it: they need its root and its image.
    pub base_of: Vec<usize>,
    /// The COPYs and mounts from it: they need files of its root.
    pub copies: Vec<Copied>,
}

/// A COPY or a mount from an earlier stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The position of the stage that copies.
    pub by: usize,
    /// The line of the instruction, from 1.
    pub line: u32,
    /// The sources of COPY, unexpanded: variables in them belong to the stage that copies. A mount may read all: `/`.
    pub sources: Vec<String>,
}

/// Plans the build.
pub fn plan(dockerfile: &Dockerfile, options: &Options) -> Result<Plan, Error> {
    let start = dockerfile.instructions.iter().position(|located| matches!(located.instruction, Instruction::From(_)));
    let (head, body) = dockerfile.instructions.split_at(start.unwrap_or(dockerfile.instructions.len()));
    let escape = dockerfile.directives.escape;
    let args = Args::evaluate(head, options, escape)?;
    let stages = resolve::stages(body, &args, options, escape)?;
    let targets = resolve::targets(&stages, &options.targets)?;
    let is_built = resolve::built(&stages, &targets, options.unused);
    let skipped = stages.iter().filter(|stage| !is_built[stage.index]).map(skipped).collect();
    let mut stages = resolve::only(stages, &is_built);
    unsupported::check(&stages)?;
    note_consumers(&mut stages);
    note_continuations(&mut stages, &targets);
    let position = |target: &usize| stages.iter().position(|stage| stage.index == *target);
    let target = position(&targets[0]).unwrap_or(stages.len() - 1);
    let targets = targets.iter().filter_map(position).collect();
    let unused_build_args = args::unused(&dockerfile.instructions, options);
    let idle_build_args = args::idle(options);
    Ok(Plan { stages, target, targets, skipped, args, escape, unused_build_args, idle_build_args })
}

fn skipped(stage: &Stage) -> Skipped {
    let runs = stage.steps.iter().any(|step| matches!(step.located.instruction, Instruction::Run(_)));
    Skipped { index: stage.index, name: stage.name.clone(), line: stage.from.span.first, runs }
}

/// Fills in `continued_by`, once `keep` is known. `targets` are indices in the file.
fn note_continuations(stages: &mut [Stage], targets: &[usize]) {
    for (stage, next) in stages.iter_mut().zip(1..) {
        let goes_on = stage.keep.base_of == [next] && stage.keep.copies.is_empty() && !targets.contains(&stage.index);
        stage.continued_by = goes_on.then_some(next);
    }
}

/// Fills in `keep`, once positions are final.
fn note_consumers(stages: &mut [Stage]) {
    for by in 0..stages.len() {
        let (before, rest) = stages.split_at_mut(by);
        if let Base::Stage(base) = rest[0].base {
            before[base].keep.base_of.push(by);
        }
        for step in &rest[0].steps {
            let line = step.located.span.first;
            if let (Some(Source::Stage(from)), Instruction::Copy(copy)) = (&step.source, &step.located.instruction) {
                let sources = copy.transfer.paths().map(str::to_owned).collect();
                before[*from].keep.copies.push(Copied { by, line, sources });
            }
            for mount in step.mounts.iter().flatten() {
                if let Source::Stage(from) = mount {
                    before[*from].keep.copies.push(Copied { by, line, sources: vec!["/".to_owned()] });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
