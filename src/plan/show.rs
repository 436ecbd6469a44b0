//! The plan as `--dryrun` prints it: the stages in build order, each with its steps and where their files come from.

use std::fmt::{self, Display, Formatter};

use crate::dockerfile;

use super::{Base, Origin, Plan, Skipped, Source, Stage, Step};

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (position, stage) in self.stages.iter().enumerate() {
            let mark = if position == self.target { " (the image)" } else { "" };
            writeln!(f, "{}{mark}: {}", title(stage.index, stage.name.as_deref()), self.base(stage))?;
            for step in &stage.steps {
                self.step(f, step)?;
            }
            self.uses(f, stage)?;
        }
        for skipped in &self.skipped {
            writeln!(f, "{skipped}, line {}: not built, since nothing needs it", skipped.line)?;
        }
        Ok(())
    }
}

impl Display for Skipped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&title(self.index, self.name.as_deref()))
    }
}

/// `stage 0`, and the stage's name if it has one.
fn title(index: usize, name: Option<&str>) -> String {
    name.map_or(format!("stage {index}"), |name| format!("stage {index} {name}"))
}

impl Plan {
    fn base(&self, stage: &Stage) -> String {
        let base = match &stage.base {
            Base::Scratch => "from scratch".to_owned(),
            Base::Stage(position) => format!("from {}", self.at(*position)),
            Base::Image(image) => format!("from the image {image}"),
            Base::Context(name) => format!("from the named context {name}"),
        };
        match &stage.platform {
            Some(platform) => format!("{base} for {platform}"),
            None => base,
        }
    }

    fn at(&self, position: usize) -> String {
        self.stages.get(position).map(|stage| title(stage.index, stage.name.as_deref())).unwrap_or_default()
    }

    fn step(&self, f: &mut Formatter<'_>, step: &Step) -> fmt::Result {
        write!(f, "  line {}: {}", step.located.span.first, dockerfile::shown(&step.located.text))?;
        if step.origin == Origin::Trigger {
            write!(f, " [a trigger of the base]")?;
        }
        for source in step.sources() {
            match source {
                Source::Context => {}
                Source::Stage(position) => write!(f, " [from {}]", self.at(*position))?,
                Source::Image(image) => write!(f, " [from the image {image}]")?,
                Source::Named(name) => write!(f, " [from the named context {name}]")?,
            }
        }
        writeln!(f)
    }

    fn uses(&self, f: &mut Formatter<'_>, stage: &Stage) -> fmt::Result {
        match stage.continued_by {
            Some(next) => writeln!(f, "  goes on as {}", self.at(next)),
            None if !stage.keep.copies.is_empty() => writeln!(f, "  its files are kept for other stages"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dockerfile::parse;
    use crate::plan::{Options, plan};

    #[test]
    fn a_plan_on_paper() {
        let text = "FROM a AS one\nRUN x\nFROM one AS two\nCOPY f g\nFROM c AS off\nRUN z\nFROM scratch\n\
                    COPY --from=two d e\nCOPY --from=r/i d e";
        let expected = "\
stage 0 one: from the image a
  line 2: RUN x
  goes on as stage 1 two
stage 1 two: from stage 0 one
  line 4: COPY f g
  its files are kept for other stages
stage 3 (the image): from scratch
  line 8: COPY --from=two d e [from stage 1 two]
  line 9: COPY --from=r/i d e [from the image r/i]
stage 2 off, line 5: not built, since nothing needs it
";
        let plan = plan(&parse(text.as_bytes()).expect("valid"), &Options::default()).expect("a plan");
        assert_eq!(plan.to_string(), expected);
    }
}
