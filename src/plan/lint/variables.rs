//! Rules about variables and platforms.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Part, Source};
use super::{Finding, Rule};
use crate::dockerfile::{From, Instruction, Located, expand, expandable_words, nearest, undefined_in};
use crate::oci::Reference;
use crate::plan::args::PROXIES;
use crate::plan::{Args, Options};

pub(super) fn check(source: &Source<'_>, options: &Options, findings: &mut Vec<Finding>) {
    let before: Vec<Located> = source
        .parts()
        .take_while(|part| part.from.is_none())
        .flat_map(|part| part.rest.iter().filter(|l| matches!(l.instruction, Instruction::Arg(_))).cloned())
        .collect();
    let escape = source.file.directives.escape;
    let evaluate = |options: &Options| Args::evaluate(&before, options, escape).unwrap_or_default();
    let defaults = evaluate(&Options { build_args: BTreeMap::new(), ..options.clone() });
    let declared: BTreeSet<String> = before.iter().flat_map(|located| declared(&located.instruction)).collect();
    let globals = Globals { escape, declared, defaults };
    let mut stages: Vec<(Option<&str>, Scope)> = Vec::new();
    for part in source.parts() {
        let Some((located, from)) = part.from else { continue };
        let line = located.span.first;
        globals.from(from, &stages, line, findings);
        platform(from, line, findings);
        let base =
            stages.iter().rev().find(|(name, _)| name.is_some_and(|name| name.eq_ignore_ascii_case(&from.image)));
        let mut scope = base.map_or_else(|| Scope::new(from), |(_, scope)| scope.clone());
        scope.stage(&part, escape, findings);
        stages.push((from.name.as_deref(), scope));
    }
}

struct Globals {
    escape: crate::dockerfile::Escape,
    declared: BTreeSet<String>,
    /// What ARGs before the first FROM are without build arguments.
    defaults: Args,
}

impl Globals {
    fn from(&self, from: &From, stages: &[(Option<&str>, Scope)], line: u32, findings: &mut Vec<Finding>) {
        let known = |name: &str| {
            let is_known = self.declared.contains(name) || self.defaults.global(name).is_some();
            is_known.then(String::new)
        };
        for word in [Some(&from.image), from.platform.as_ref()].into_iter().flatten() {
            for name in undefined_in(word, self.escape, &known) {
                let near = nearest(&name, self.declared.iter().map(String::as_str));
                let message = format!("no ARG before FROM declares `{name}`{}", did_you_mean(near));
                findings.push(Finding { rule: Rule::UndefinedArgInFrom, line, message });
            }
        }
        let value = |name: &str| self.defaults.global(name).map(str::to_owned);
        let image = expand(&from.image, self.escape, &value).unwrap_or_default();
        let is_stage = stages.iter().any(|(name, _)| name.is_some_and(|name| name.eq_ignore_ascii_case(&image)));
        if from.image.contains('$') && !is_stage && image != "scratch" && image.parse::<Reference>().is_err() {
            let message = format!("without build arguments \"{}\" becomes {image:?}, which is no image", from.image);
            findings.push(Finding { rule: Rule::InvalidDefaultArgInFrom, line, message });
        }
    }
}

fn platform(from: &From, line: u32, findings: &mut Vec<Finding>) {
    let Some(platform) = from.platform.as_deref() else { return };
    let mut find = |rule, message| findings.push(Finding { rule, line, message });
    if matches!(platform, "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
        find(Rule::RedundantTargetPlatform, format!("`--platform={platform}` is what FROM does without it"));
    }
    // A stage that is named for its platform is meant for it.
    let name = from.name.as_deref().unwrap_or_default();
    let names_it = platform.split('/').any(|part| !part.is_empty() && name.contains(part));
    if !platform.contains('$') && !names_it {
        find(Rule::FromPlatformFlagConstDisallowed, format!("`--platform={platform}` should not be a constant"));
    }
}

/// The variables that are defined at a point of a stage.
#[derive(Clone)]
struct Scope {
    defined: BTreeSet<String>,
    /// Whether that is all, or a base image may define more.
    is_whole: bool,
}

impl Scope {
    fn new(from: &From) -> Self {
        Scope { defined: BTreeSet::from(["PATH".to_owned()]), is_whole: from.image == "scratch" }
    }

    fn stage(&mut self, part: &Part<'_>, escape: crate::dockerfile::Escape, findings: &mut Vec<Finding>) {
        for located in part.rest {
            for word in expandable_words(&located.instruction) {
                for name in undefined_in(&word, escape, &|name| self.defined.contains(name).then(String::new)) {
                    let near = nearest(&name, self.defined.iter().map(String::as_str));
                    let is_known_elsewhere = PROXIES.contains(&name.as_str());
                    if !is_known_elsewhere && (self.is_whole || near.is_some()) {
                        let message = format!("`${name}` is not defined{}", did_you_mean(near));
                        findings.push(Finding { rule: Rule::UndefinedVar, line: located.span.first, message });
                    }
                }
            }
            self.defined.extend(declared(&located.instruction));
        }
    }
}

fn declared(instruction: &Instruction) -> Vec<String> {
    match instruction {
        Instruction::Arg(definitions) => definitions.iter().map(|definition| definition.name.clone()).collect(),
        Instruction::Env(pairs) => pairs.iter().map(|(name, _)| name.clone()).collect(),
        _ => Vec::new(),
    }
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}
