//! What became of each step that may be cached, and for each that was not found why: a table in the log, and JSON.

use std::io;
use std::path::Path;

use serde::Serialize;
use tracing::info;

use super::super::error::one_line;
use super::{Cached, Need};
use crate::cache::{Difference, Found, Kind, Miss, compare};
use crate::plan::{Plan, Source, Step};

/// As many parts are named in the table.
const SHOWN: usize = 3;

/// A build's steps.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    repo: String,
    steps: Vec<Row>,
}

/// A step.
#[derive(Debug, Serialize)]
struct Row {
    file: String,
    line: u32,
    stage: String,
    instruction: String,
    /// `hit`, `miss`, `unneeded` or `uncached`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Why it is no hit, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// The parts of the key that differ from those of the newest entry of the step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differs: Vec<Differs>,
}

#[derive(Debug, Serialize)]
struct Differs {
    part: &'static str,
    name: String,
    how: &'static str,
}

impl Report {
    pub(super) fn new(cached: &Cached<'_, '_>, plan: &Plan, needs: &[Need], file: &str) -> Report {
        let mut steps = Vec::new();
        for (position, stage) in plan.stages.iter().enumerate() {
            let mut before = None;
            for (number, step) in stage.steps.iter().enumerate() {
                let Some(forecast) = cached.forecast(position, number) else { continue };
                if forecast.parts.is_empty() && step.source.is_none() && step.mounts.is_empty() {
                    continue;
                }
                let mut row = Row {
                    file: file.to_owned(),
                    line: step.located.span.first,
                    stage: Cached::label(stage),
                    instruction: one_line(&step.located.text).to_string(),
                    outcome: "miss",
                    key: forecast.key.as_ref().map(ToString::to_string),
                    why: None,
                    differs: Vec::new(),
                };
                let found = forecast.key.as_ref().and_then(|key| cached.found.get(key));
                match (&forecast.place, found) {
                    (None, _) if forecast.key.is_none() => row.why = Some("what it reads is not known before".into()),
                    (None, _) if cached.hit(position, number).is_some() => row.outcome = "hit",
                    (None, _) => row.outcome = "uncached",
                    (Some(_), Some(Found::Hit(_))) => row.outcome = "hit",
                    (Some(place), Some(Found::Miss(miss))) => {
                        let newest = cached.newest.get(place).map(|record| compare(&forecast.parts, record));
                        row.explain(miss, newest, &Around { plan, step, before });
                    }
                    (Some(_), None) => {}
                }
                if row.outcome != "hit" && !needs.get(position).is_some_and(|need| need.image) {
                    row.outcome = "unneeded";
                }
                before = forecast.key.is_some().then_some(row.line).or(before);
                steps.push(row);
            }
        }
        Report { repo: cached.cache.repo.to_string(), steps }
    }

    /// The table, in the log.
    pub(super) fn tell(&self) {
        let hits = self.steps.iter().filter(|row| row.outcome == "hit").count();
        info!("Cache {}: {hits} of {} steps found", self.repo, self.steps.len());
        let place = |row: &Row| format!("{}:{}", row.file, row.line);
        let width = self.steps.iter().map(|row| place(row).chars().count()).max().unwrap_or_default();
        for row in &self.steps {
            let instruction: String = row.instruction.chars().take(40).collect();
            let why = row.why.as_deref().unwrap_or_default();
            info!("{}", format!("  {:<width$}  {:<8}  {instruction:<40}  {why}", place(row), row.outcome).trim_end());
        }
    }

    /// The same as JSON.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?)
    }
}

/// What an explanation refers to.
struct Around<'p> {
    plan: &'p Plan,
    step: &'p Step,
    /// The line of the step before that changes files.
    before: Option<u32>,
}

impl Row {
    fn explain(&mut self, miss: &Miss, newest: Option<Vec<Difference>>, around: &Around<'_>) {
        let why = match (miss, newest) {
            (Miss::Expired, _) => "the entry is too old (--cache-ttl)".to_owned(),
            (Miss::Unusable(why), _) => format!("the entry is unusable: {why}"),
            (Miss::Unreachable, _) => "the cache does not answer".to_owned(),
            (Miss::Absent, None) => "there is no entry of this step yet".to_owned(),
            (Miss::Absent, Some(differences)) if differences.is_empty() => "its entry is gone".to_owned(),
            (Miss::Absent, Some(differences)) => {
                let said = differences.iter().take(SHOWN).map(|difference| around.say(difference));
                let more = differences.len().saturating_sub(SHOWN);
                let more = (more > 0).then(|| format!("{more} more"));
                let text = said.chain(more).collect::<Vec<_>>().join(", ");
                let differs = |found: Difference| Differs { part: found.kind.name(), name: found.name, how: found.how };
                self.differs = differences.into_iter().map(differs).collect();
                text
            }
        };
        self.why = Some(why);
    }
}

impl Around<'_> {
    fn say(&self, difference: &Difference) -> String {
        let Difference { kind, name, how } = difference;
        match kind {
            Kind::Base => format!("base image {how}"),
            Kind::Platform => format!("platform {how}"),
            Kind::Before => match self.before {
                Some(line) => format!("the step of line {line} {how}"),
                None => format!("the stage before {how}"),
            },
            Kind::Option => format!("{name} {how}"),
            Kind::Instruction => format!("instruction {how}"),
            Kind::Argument => format!("build argument {name} {how}"),
            Kind::Variable => format!("variable {name} {how}"),
            Kind::User => format!("USER {how}"),
            Kind::Directory => format!("WORKDIR {how}"),
            Kind::Shell => format!("SHELL {how}"),
            Kind::Mount => format!("mount {name} {how}"),
            Kind::File => format!("context file {name} {how}"),
            Kind::Remote => format!("{name} {how}"),
            Kind::Stage => format!("stage {} {how}", self.stage(name)),
            Kind::Image => format!("image of {name} {how}"),
        }
    }

    /// What the Dockerfile calls the stage that a part named `at` is about.
    fn stage(&self, at: &str) -> String {
        let mount = at.strip_prefix("mount ").and_then(|number| number.parse::<usize>().ok());
        let source = match mount {
            Some(number) => self.step.mounts.get(number).and_then(Option::as_ref),
            None => self.step.source.as_ref(),
        };
        match source {
            Some(Source::Stage(position)) => self.plan.stages.get(*position).map_or_else(String::new, Cached::label),
            _ => at.to_owned(),
        }
    }
}
