//! Build checks: the rules of the reference (`frontend/dockerfile/docs/rules`), as warnings about a Dockerfile.
//!
//! Pure, over the parsed file and its text. The `check` directive, or the build argument `BUILDKIT_DOCKERFILE_CHECK`, says which
//! are skipped, which experimental ones are tried and whether a warning fails the build; a comment `# check=skip=Rule` above
//! an instruction skips a rule for it. A base image's environment is not known here: where one could define a variable,
//! the use of an undefined one is only reported if a name like it is defined.

mod commands;
mod names;
mod source;
mod variables;

use std::fmt::{self, Display, Formatter};

use super::Options;
use crate::dockerfile::ignore::Ignore;
use crate::dockerfile::{self, Body, Checks, Command, Dockerfile, Healthcheck, Instruction, Problem, Run};
use crate::oci::Platform;
use source::Source;

/// A rule; its name is that of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An instruction is not in the case of the others.
    ConsistentInstructionCasing,
    /// COPY or ADD names what the ignore file leaves out. Experimental.
    CopyIgnoredFile,
    /// Two stages have one name.
    DuplicateStageName,
    /// EXPOSE maps to an address or a port of the host.
    ExposeInvalidFormat,
    /// EXPOSE has a protocol that is not in lower case.
    ExposeProtoCasing,
    /// FROM and AS are not in the same case.
    FromAsCasing,
    /// `FROM --platform` has a constant.
    FromPlatformFlagConstDisallowed,
    /// The base image is for another platform than the stage.
    InvalidBaseImagePlatform,
    /// The defaults of ARGs make no name of an image.
    InvalidDefaultArgInFrom,
    /// A comment above a stage or an ARG does not begin with its name. Experimental.
    InvalidDefinitionDescription,
    /// CMD or ENTRYPOINT is in shell form.
    JSONArgsRecommended,
    /// `ENV name value` or `LABEL name value`.
    LegacyKeyValueFormat,
    /// MAINTAINER is used.
    MaintainerDeprecated,
    /// A stage has CMD, ENTRYPOINT or HEALTHCHECK twice.
    MultipleInstructionsDisallowed,
    /// A blank line in a continued instruction.
    NoEmptyContinuation,
    /// `FROM --platform=$TARGETPLATFORM`
    RedundantTargetPlatform,
    /// A stage has a name that means something else.
    ReservedStageName,
    /// The name of an ARG or ENV looks like that of a secret.
    SecretsUsedInArgOrEnv,
    /// A stage's name is not in lower case.
    StageNameCasing,
    /// FROM uses a variable that no ARG before it declares.
    UndefinedArgInFrom,
    /// An instruction uses a variable that is not defined.
    UndefinedVar,
    /// WORKDIR is relative to that of the base.
    WorkdirRelativePath,
}

impl Rule {
    /// Whether it must be asked for.
    fn is_experimental(self) -> bool {
        matches!(self, Rule::CopyIgnoredFile | Rule::InvalidDefinitionDescription)
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What a rule finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// The first line of the instruction, or the line itself, from 1.
    pub line: u32,
    /// One sentence.
    pub message: String,
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.rule)
    }
}

/// What there is to say about a Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was found, in the order of the file.
    pub findings: Vec<Finding>,
    /// Whether the file asks that any of them fails the build.
    pub fails: bool,
}

/// The lines of commands that look like JSON and are none, each with the reason. No rule of the reference.
pub fn no_json(dockerfile: &Dockerfile) -> Vec<(u32, String)> {
    let text = |instruction: &Instruction| match instruction {
        Instruction::Cmd(Command::Shell(text)) | Instruction::Entrypoint(Command::Shell(text)) => Some(text.clone()),
        Instruction::Run(Run { body: Body::Shell(text), .. }) => Some(text.clone()),
        Instruction::Healthcheck(Healthcheck::Check(check)) => match &check.command {
            Command::Shell(text) => Some(text.clone()),
            Command::Exec(_) => None,
        },
        _ => None,
    };
    let found = dockerfile.instructions.iter();
    found.filter_map(|it| Some((it.span.first, dockerfile::no_json(&text(&it.instruction)?)?))).collect()
}

/// Checks a file. `text` is what it was parsed from, `ignore` the patterns of its context.
///
/// # Errors
/// A `check` directive that cannot be read.
pub fn lint(text: &[u8], dockerfile: &Dockerfile, options: &Options, ignore: &Ignore) -> Result<Report, Problem> {
    let source = Source::new(text, dockerfile);
    let mut findings = Vec::new();
    names::check(&source, &mut findings);
    commands::check(&source, ignore, &mut findings);
    variables::check(&source, options, &mut findings);
    report(&source, options, findings)
}

/// Checks the platforms of the base images, once they are known: for each stage that starts from one the line of its FROM, what
/// the image is for, and what it should be for.
///
/// # Errors
/// A `check` directive that cannot be read.
pub fn lint_bases(
    text: &[u8],
    dockerfile: &Dockerfile,
    options: &Options,
    bases: &[(u32, Platform, Platform)],
) -> Result<Report, Problem> {
    let wrong = bases.iter().filter(|(_, found, wanted)| wanted.preference(found).is_none());
    let findings = wrong.map(|(line, found, wanted)| {
        let message = format!("the base image is for {found}, not for {wanted}");
        Finding { rule: Rule::InvalidBaseImagePlatform, line: *line, message }
    });
    report(&Source::new(text, dockerfile), options, findings.collect())
}

/// What is left of `findings` where some are skipped.
fn report(source: &Source<'_>, options: &Options, mut findings: Vec<Finding>) -> Result<Report, Problem> {
    let given = options.build_args.get("BUILDKIT_DOCKERFILE_CHECK").map(String::as_str);
    let checks = Checks::parse(given.or(source.file.directives.check.as_deref()).unwrap_or_default())?;
    findings.retain(|finding| applies(finding, &checks, source));
    findings.sort_by_key(|finding| (finding.line, finding.rule));
    findings.dedup();
    let fails = checks.fails && !findings.is_empty();
    Ok(Report { findings, fails })
}

fn applies(finding: &Finding, checks: &Checks, source: &Source<'_>) -> bool {
    let name = finding.rule.to_string();
    let is_tried = !finding.rule.is_experimental() || checks.tries(&name);
    is_tried && !checks.skips(&name) && !source.skips_at(finding.line, &name)
}

#[cfg(test)]
mod tests;
