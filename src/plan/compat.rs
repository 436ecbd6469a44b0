//! Where silt differs from kaniko 1.24, the version that most pipelines were written for: as a switch, and as warnings.
//!
//! [`Compat`] is what `--compat` sets; whoever carries out a step asks it. [`differences`] reads a plan and names each line of
//! the Dockerfile whose result is another than kaniko's. What depends on files (the owner of a source, a link) is told by
//! the step that meets it.

use std::collections::BTreeSet;

use super::{Base, Origin, Plan, Stage, Step};
use crate::dockerfile::{
    Add, Body, Copy, Dockerfile, Escape, Healthcheck, Instruction, Network, Run, Security, Transfer,
};
use crate::dockerfile::{expandable_words, remote, undefined_in};

/// The ways of kaniko that are in force. All are off by default: the specification of the language holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compat {
    /// COPY and ADD from the context without `--chown` keep the owner that the source has on disk; otherwise it is root's.
    pub copy_keeps_owner: bool,
    /// ENV wins over an ARG of the same name wherever they stand; otherwise the later one wins.
    pub env_wins_over_arg: bool,
    /// Every stage up to the target is built; otherwise only those that it needs.
    pub all_stages: bool,
    /// What a step writes below a VOLUME declared before it is not in the image; otherwise it is.
    pub volume_drops_changes: bool,
    /// VOLUME makes its directory.
    pub volume_makes_directory: bool,
    /// RUN has the user of USER, but the group of the user database; otherwise also the group of USER.
    pub user_without_group: bool,
    /// HEALTHCHECK loses `--start-interval`.
    pub no_start_interval: bool,
    /// Only layers have a row in the history, made by `kaniko` at the zero of time; otherwise each instruction has one.
    pub history_of_layers: bool,
    /// MAINTAINER is ignored: the author is `kaniko`.
    pub no_maintainer: bool,
    /// The platform arguments (`TARGETARCH` …) are not set.
    pub no_platform_args: bool,
}

impl Compat {
    /// All of kaniko 1.24.
    pub fn kaniko_1_24() -> Self {
        Compat {
            copy_keeps_owner: true,
            env_wins_over_arg: true,
            all_stages: true,
            volume_drops_changes: true,
            volume_makes_directory: true,
            user_without_group: true,
            no_start_interval: true,
            history_of_layers: true,
            no_maintainer: true,
            no_platform_args: true,
        }
    }
}

/// A line whose result is another than with kaniko 1.24.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line, from 1.
    pub line: u32,
    /// What differs, one sentence.
    pub what: String,
}

/// Each line that differs under `compat`, once, in the order of the file.
pub fn differences(dockerfile: &Dockerfile, plan: &Plan, compat: &Compat) -> Vec<Difference> {
    let mut found = Vec::new();
    found.extend(directive(dockerfile));
    for stage in &plan.stages {
        Reader { plan, stage, compat }.stage(&mut found);
    }
    if !compat.all_stages {
        found.extend(plan.skipped.iter().filter(|skipped| skipped.runs).map(|skipped| Difference {
            line: skipped.line,
            what: format!("{skipped} is not built, since nothing needs it; kaniko 1.24 runs its steps"),
        }));
    }
    found.sort_by_key(|difference| difference.line);
    found.dedup_by_key(|difference| difference.line);
    found
}

/// Whether a `syntax` directive names a front end other than that of Dockerfiles, whose language silt may not read.
pub fn is_foreign(syntax: &str) -> bool {
    let image = syntax.split_whitespace().next().unwrap_or_default();
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let name = image.split(['@', ':']).next().unwrap_or_default();
    !matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream" | "dockerfile.v0")
}

/// kaniko reads words with a backslash, whatever the directive says.
fn directive(dockerfile: &Dockerfile) -> Option<Difference> {
    let is_escaped = |word: &str| word.contains(['`', '\\']);
    let matters = |instruction: &Instruction| expandable_words(instruction).iter().any(|word| is_escaped(word));
    let found = dockerfile.instructions.iter().find(|located| matters(&located.instruction))?;
    (dockerfile.directives.escape == Escape::Backtick).then(|| Difference {
        line: found.span.first,
        what: "the escape character here is `; kaniko 1.24 takes \\ when it expands words".to_owned(),
    })
}

struct Reader<'a> {
    plan: &'a Plan,
    stage: &'a Stage,
    compat: &'a Compat,
}

impl Reader<'_> {
    fn stage(&self, found: &mut Vec<Difference>) {
        for (at, step) in self.stage.steps.iter().enumerate().filter(|(_, step)| step.origin == Origin::Written) {
            let what = self.of_kind(at, step).or_else(|| self.leaked(step));
            found.extend(what.map(|what| Difference { line: step.located.span.first, what }));
        }
    }

    fn of_kind(&self, at: usize, step: &Step) -> Option<String> {
        let compat = self.compat;
        match &step.located.instruction {
            Instruction::Run(it) => run(it).map(str::to_owned),
            Instruction::Copy(it) => copy(it).map(str::to_owned),
            Instruction::Add(it) => add(it).map(str::to_owned),
            Instruction::Arg(_) => self.arg(at, step),
            Instruction::User(user) if user.contains(':') && !compat.user_without_group && self.runs_after(at) => {
                Some("RUN has the group that is named here; kaniko 1.24 takes the user's own".to_owned())
            }
            Instruction::Volume(_) if !compat.volume_drops_changes && self.writes_after(at) => {
                Some("what later steps write below it stays in the image; kaniko 1.24 drops it".to_owned())
            }
            Instruction::Healthcheck(Healthcheck::Check(check))
                if check.start_interval != 0 && !compat.no_start_interval =>
            {
                Some("--start-interval is kept; kaniko 1.24 drops it".to_owned())
            }
            Instruction::Expose(words) if words.iter().any(|word| is_range(word)) => {
                Some("each port of the range is exposed; kaniko 1.24 does not know ranges".to_owned())
            }
            Instruction::Maintainer(_) if !compat.no_maintainer => {
                Some("this sets the author of the image; kaniko 1.24 ignores it".to_owned())
            }
            _ => None,
        }
    }

    fn runs_after(&self, at: usize) -> bool {
        self.stage.steps[at..].iter().any(|step| matches!(step.located.instruction, Instruction::Run(_)))
    }

    fn writes_after(&self, at: usize) -> bool {
        use Instruction::{Add, Copy, Run};
        self.stage.steps[at..].iter().any(|step| matches!(step.located.instruction, Run(_) | Copy(_) | Add(_)))
    }

    /// An ARG that comes after an ENV of its name, or that asks for a platform argument.
    fn arg(&self, at: usize, step: &Step) -> Option<String> {
        let names = names(&step.located.instruction);
        let is_set = |name: &&str| {
            self.stage.steps[..at].iter().any(|before| match &before.located.instruction {
                Instruction::Env(pairs) => pairs.iter().any(|(key, _)| key == name),
                _ => false,
            })
        };
        if let Some(name) = names.iter().find(|name| is_set(name)).filter(|_| !self.compat.env_wins_over_arg) {
            return Some(format!("ARG {name} comes after ENV {name} and wins; with kaniko 1.24 ENV always wins"));
        }
        let is_platform = |name: &&&str| {
            let suffix = name.strip_prefix("TARGET").or_else(|| name.strip_prefix("BUILD"));
            matches!(suffix, Some("PLATFORM" | "OS" | "ARCH" | "VARIANT")) || **name == "TARGETSTAGE"
        };
        let name = names.iter().find(is_platform).filter(|_| !self.compat.no_platform_args)?;
        Some(format!("{name} is set; kaniko 1.24 knows it only from --build-arg"))
    }

    /// A variable that is not set here, but by an ARG of a stage before that this one does not start from.
    fn leaked(&self, step: &Step) -> Option<String> {
        let own = self.own_names();
        let is_known = |name: &str| own.contains(name).then(String::new);
        let words = expandable_words(&step.located.instruction);
        let missing = words.iter().flat_map(|word| undefined_in(word, self.plan.escape, &is_known));
        let ancestors = self.ancestors();
        let leaks = |name: &String| {
            let others = self.plan.stages.iter().filter(|other| other.index < self.stage.index);
            others.filter(|other| !ancestors.contains(&other.index)).any(|other| {
                other.steps.iter().any(|step| {
                    matches!(step.located.instruction, Instruction::Arg(_))
                        && names(&step.located.instruction).contains(&name.as_str())
                })
            })
        };
        let name = missing.into_iter().find(leaks)?;
        Some(format!("${name} is empty: its ARG belongs to another stage; kaniko 1.24 sees it here too"))
    }

    /// The names that this stage or one that it starts from declares.
    fn own_names(&self) -> BTreeSet<&str> {
        let ancestors = self.ancestors();
        let stages = self.plan.stages.iter().filter(|stage| ancestors.contains(&stage.index));
        stages.flat_map(|stage| &stage.steps).flat_map(|step| names(&step.located.instruction)).collect()
    }

    /// The indices of this stage and of those that it starts from.
    fn ancestors(&self) -> BTreeSet<usize> {
        let mut stage = self.stage;
        let mut indices = BTreeSet::from([stage.index]);
        while let Base::Stage(position) = stage.base {
            stage = &self.plan.stages[position];
            indices.insert(stage.index);
        }
        indices
    }
}

/// Whether a word of EXPOSE is a range as it stands.
fn is_range(word: &str) -> bool {
    word.split_once('-').is_some_and(|(first, _)| !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit()))
}

/// The variables that an ARG or an ENV declares.
fn names(instruction: &Instruction) -> Vec<&str> {
    match instruction {
        Instruction::Arg(definitions) => definitions.iter().map(|definition| definition.name.as_str()).collect(),
        Instruction::Env(pairs) => pairs.iter().map(|(name, _)| name.as_str()).collect(),
        _ => Vec::new(),
    }
}

fn run(run: &Run) -> Option<&'static str> {
    let rows = [
        (!run.mounts.is_empty(), "--mount is done; kaniko 1.24 ignores it"),
        (run.network != Network::Default, "--network is done; kaniko 1.24 ignores it"),
        (run.security != Security::Sandbox, "--security is done; kaniko 1.24 ignores it"),
        (
            matches!(run.body, Body::Script(_) | Body::Documents { .. }),
            "the here-document is run; kaniko 1.24 runs the line with its mark alone",
        ),
    ];
    first(&rows)
}

fn copy(copy: &Copy) -> Option<&'static str> {
    if copy.parents { Some("--parents is done; kaniko 1.24 does not know it") } else { transfer(&copy.transfer) }
}

fn add(add: &Add) -> Option<&'static str> {
    let git = |source: &str| remote::is_remote(source) && !remote::is_http(source) || source.ends_with(".git");
    let rows = [
        (add.checksum.is_some(), "--checksum is verified; kaniko 1.24 ignores it"),
        (add.transfer.paths().any(git), "the git repository is checked out; kaniko 1.24 takes the address for a file"),
        (add.unpack.is_some(), "--unpack is done; kaniko 1.24 does not know it"),
        (add.keep_git_dir.is_some(), "--keep-git-dir is done; kaniko 1.24 ignores it"),
    ];
    first(&rows).or_else(|| transfer(&add.transfer))
}

fn transfer(transfer: &Transfer) -> Option<&'static str> {
    let rows = [
        (!transfer.excludes.is_empty(), "--exclude leaves files out; kaniko 1.24 copies them"),
        (transfer.link, "--link is done; kaniko 1.24 ignores it"),
        (is_symbolic(transfer.chmod.as_deref()), "--chmod changes bits; kaniko 1.24 takes octal modes only"),
        (transfer.heredocs().next().is_some(), "the here-document becomes a file; kaniko 1.24 fails on it"),
    ];
    first(&rows)
}

/// Whether a mode is no octal number as it stands.
fn is_symbolic(chmod: Option<&str>) -> bool {
    chmod.is_some_and(|chmod| !chmod.contains('$') && chmod.bytes().any(|b| !b.is_ascii_digit()))
}

fn first(rows: &[(bool, &'static str)]) -> Option<&'static str> {
    rows.iter().find(|(differs, _)| *differs).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests;
