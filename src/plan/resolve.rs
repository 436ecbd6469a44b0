//! Stages and what they refer to: names and indices become positions.

use super::{Args, Base, Error, Keep, Options, Origin, Problem, Source, Stage, Step, Unused, triggers};
use crate::dockerfile::{self, Copy, Escape, From, Instruction, Located, MountFlag};

/// All stages of the file, positions being indices in the file.
pub(super) fn stages(body: &[Located], args: &Args, options: &Options, escape: Escape) -> Result<Vec<Stage>, Error> {
    let groups: Vec<_> = body.chunk_by(|_, next| !matches!(next.instruction, Instruction::From(_))).collect();
    let names = Names { stages: groups.iter().filter_map(|group| name(&group[0])).collect(), options };
    let mut stages = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        stages.push(names.stage(index, group, args, escape, &stages)?);
    }
    if stages.is_empty() { Err(Error::anywhere(Problem::NoStage)) } else { Ok(stages) }
}

fn name(from: &Located) -> Option<Name<'_>> {
    match &from.instruction {
        Instruction::From(definition) => Some(Name { definition, line: from.span.first }),
        _ => None,
    }
}

/// A stage as others see it.
struct Name<'a> {
    definition: &'a From,
    line: u32,
}

/// All that a name can refer to.
struct Names<'a> {
    stages: Vec<Name<'a>>,
    options: &'a Options,
}

impl Names<'_> {
    fn stage(
        &self,
        index: usize,
        group: &[Located],
        args: &Args,
        escape: Escape,
        before: &[Stage],
    ) -> Result<Stage, Error> {
        let (from, steps) = (&group[0], &group[1..]);
        let definition = self.stages[index].definition;
        let at = |problem| Error::at(from.span.first, problem);
        let image = args.expand(&definition.image, escape).map_err(at)?;
        let platform = definition.platform.as_ref().map(|platform| args.expand(platform, escape)).transpose();
        let base = self.base(index, &image, &definition.image).map_err(at)?;
        let triggered = match &base {
            Base::Stage(base) => triggers::left_by(&before[*base]),
            _ => self.options.triggers.get(&index).cloned().unwrap_or_default(),
        };
        let triggered = triggers::instructions(&triggered, from)?;
        let triggered = triggered.iter().map(|located| self.step(index, located, Origin::Trigger));
        let written = steps.iter().map(|located| self.step(index, located, Origin::Written));
        Ok(Stage {
            index,
            name: definition.name.clone(),
            base,
            platform: platform.map_err(at)?.filter(|platform| !platform.is_empty()),
            from: from.clone(),
            steps: triggered.chain(written).collect::<Result<_, Error>>()?,
            keep: Keep::default(),
            continued_by: None,
        })
    }

    fn step(&self, index: usize, located: &Located, origin: Origin) -> Result<Step, Error> {
        let at = |problem| Error::at(located.span.first, problem);
        let source = self.source(index, &located.instruction).map_err(at)?;
        let mounts = self.mounts(index, &located.instruction).map_err(at)?;
        Ok(Step { located: located.clone(), origin, source, mounts })
    }

    /// A named context, an earlier stage, or an image. A stage may bear the name of its own base.
    fn base(&self, index: usize, image: &str, written: &str) -> Result<Base, Problem> {
        if image.trim().is_empty() {
            return Err(Problem::BlankBase(written.to_owned()));
        }
        if image == "scratch" {
            return Ok(Base::Scratch);
        }
        if let Some(context) = self.context(image) {
            return Ok(Base::Context(context));
        }
        match self.last_named(image, index) {
            Some(stage) => Ok(Base::Stage(stage)),
            None => Ok(Base::Image(image.to_owned())),
        }
    }

    fn source(&self, index: usize, instruction: &Instruction) -> Result<Option<Source>, Problem> {
        match instruction {
            Instruction::Copy(Copy { from: Some(from), .. }) => self.from(index, from).map(Some),
            Instruction::Copy(_) | Instruction::Add(_) => Ok(Some(Source::Context)),
            _ => Ok(None),
        }
    }

    /// What the `from` of each mount of a RUN means.
    fn mounts(&self, index: usize, instruction: &Instruction) -> Result<Vec<Option<Source>>, Problem> {
        let Instruction::Run(run) = instruction else { return Ok(Vec::new()) };
        let source = |mount: &MountFlag| mount.from().map(|from| self.from(index, from)).transpose();
        run.mounts.iter().map(source).collect()
    }

    /// What `--from` means in the stage at `index`: a named context, an earlier stage by name or index, or an image.
    fn from(&self, index: usize, from: &str) -> Result<Source, Problem> {
        if from.contains('$') {
            return Err(Problem::VariableInFrom(from.to_owned()));
        }
        if let Some(context) = self.context(from) {
            return Ok(Source::Named(context));
        }
        if from == "scratch" {
            return Err(Problem::FromScratch);
        }
        let named = || self.last_named(from, index).or_else(|| self.last_named(from, self.stages.len()));
        let Some(stage) = self.indexed(from)?.or_else(named) else { return Ok(Source::Image(from.to_owned())) };
        if stage == index {
            return Err(Problem::FromItself(from.to_owned()));
        }
        if stage > index {
            return Err(Problem::FromLater { from: from.to_owned(), line: self.stages[stage].line });
        }
        let context = self.stages[stage].definition.name.as_deref().and_then(|name| self.context(name));
        Ok(context.map_or(Source::Stage(stage), Source::Named))
    }

    /// The stage with the index that `from` is, if it is a number.
    fn indexed(&self, from: &str) -> Result<Option<usize>, Problem> {
        if from.is_empty() || !from.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(None);
        }
        let index = from.parse().ok().filter(|index| *index < self.stages.len());
        let none =
            || Problem::NoSuchIndex { from: from.to_owned(), stages: list(self.stages.iter().map(|s| s.definition)) };
        index.map(Some).ok_or_else(none)
    }

    /// The last of the first `before` stages that bears `name`.
    fn last_named(&self, name: &str, before: usize) -> Option<usize> {
        self.stages[..before].iter().rposition(|stage| bears(stage.definition.name.as_deref(), name))
    }

    /// The named context that `name` refers to.
    fn context(&self, name: &str) -> Option<String> {
        let is_it = |context: &&String| familiar(context).eq_ignore_ascii_case(familiar(name));
        self.options.contexts.iter().find(is_it).cloned()
    }
}

fn bears(stage: Option<&str>, name: &str) -> bool {
    stage.is_some_and(|stage| stage == name.to_lowercase())
}

/// An image's name without what is implied: Docker Hub and the tag `latest`.
fn familiar(image: &str) -> &str {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let image = image.strip_prefix("library/").unwrap_or(image);
    image.strip_suffix(":latest").unwrap_or(image)
}

/// The stages as a user can name them.
fn list<'a>(stages: impl Iterator<Item = &'a From>) -> String {
    let name = |(index, stage): (usize, &From)| match &stage.name {
        Some(name) => name.clone(),
        None => format!("{index} (FROM {})", stage.image),
    };
    stages.enumerate().map(name).collect::<Vec<_>>().join(", ")
}

/// The indices of the targets: of the stages that `targets` names or numbers, or of the last one. Never empty.
pub(super) fn targets(stages: &[Stage], targets: &[String]) -> Result<Vec<usize>, Error> {
    let named: Vec<&String> = targets.iter().filter(|target| !target.is_empty()).collect();
    if named.is_empty() {
        return Ok(vec![stages.len() - 1]);
    }
    named.into_iter().map(|target| index_of(stages, target)).collect()
}

fn index_of(stages: &[Stage], target: &str) -> Result<usize, Error> {
    let named = stages.iter().rposition(|stage| bears(stage.name.as_deref(), target));
    let numbered = || target.parse().ok().filter(|index| *index < stages.len());
    named.or_else(numbered).ok_or_else(|| {
        let definitions = stages.iter().filter_map(|stage| name(&stage.from)).map(|name| name.definition);
        let names = stages.iter().filter_map(|stage| stage.name.as_deref());
        let suggestion = dockerfile::nearest(target, names).map(str::to_owned);
        Error::anywhere(Problem::UnknownTarget { target: target.to_owned(), stages: list(definitions), suggestion })
    })
}

/// For each stage whether it is built: the targets and what they need, or all up to the last target.
pub(super) fn built(stages: &[Stage], targets: &[usize], unused: Unused) -> Vec<bool> {
    let last = targets.iter().max().copied().unwrap_or_default();
    let mut is_built: Vec<bool> =
        (0..stages.len()).map(|index| targets.contains(&index) || unused == Unused::Build && index <= last).collect();
    for index in (0..=last).rev() {
        if is_built[index] {
            references(&stages[index]).for_each(|other| is_built[other] = true);
        }
    }
    is_built
}

/// The stages that are built; references become positions among them.
pub(super) fn only(stages: Vec<Stage>, is_built: &[bool]) -> Vec<Stage> {
    let position = |index: usize| is_built[..index].iter().filter(|built| **built).count();
    let kept = stages.into_iter().filter(|stage| is_built[stage.index]);
    kept.map(|mut stage| {
        renumber(&mut stage, position);
        stage
    })
    .collect()
}

fn references(stage: &Stage) -> impl Iterator<Item = usize> {
    let base = match stage.base {
        Base::Stage(index) => Some(index),
        _ => None,
    };
    let sources = stage.steps.iter().flat_map(Step::sources).filter_map(|source| match source {
        Source::Stage(index) => Some(*index),
        _ => None,
    });
    base.into_iter().chain(sources)
}

fn renumber(stage: &mut Stage, position: impl Fn(usize) -> usize) {
    if let Base::Stage(index) = &mut stage.base {
        *index = position(*index);
    }
    for step in &mut stage.steps {
        for source in step.source.iter_mut().chain(step.mounts.iter_mut().flatten()) {
            if let Source::Stage(index) = source {
                *index = position(*index);
            }
        }
    }
}
