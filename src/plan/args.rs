//! The values of ARG: build arguments, ARGs before the first FROM, and those that every build has.

use std::collections::BTreeMap;

use super::{Error, Options, Problem};
use crate::dockerfile::{ArgDefinition, Escape, Instruction, Located, expand};

/// Build arguments that need no ARG and are for RUN alone: never in the history or the image.
pub(super) const PROXIES: [&str; 10] = [
    "ALL_PROXY",
    "FTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "ftp_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// The parts of a platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlatformNames {
    /// As in `GOOS`.
    pub os: String,
    /// As in `GOARCH`.
    pub architecture: String,
    /// Such as `v7`.
    pub variant: Option<String>,
}

/// The values that `ARG` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    build: BTreeMap<String, String>,
    global: BTreeMap<String, String>,
}

impl Args {
    /// The value of `ARG name[=default]` in a stage, `default` being expanded already: the build argument, else the
    /// default, else the global ARG. `None`: the ARG is declared without a value.
    pub fn value(&self, name: &str, default: Option<String>) -> Option<String> {
        self.build.get(name).cloned().or(default).or_else(|| self.global.get(name).cloned())
    }

    /// The build argument `name`: it wins over any default, which then need not be expanded.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.build.get(name).map(String::as_str)
    }

    /// The value of a global ARG or of a platform's: what FROM can use.
    pub fn global(&self, name: &str) -> Option<&str> {
        self.global.get(name).map(String::as_str)
    }

    /// The proxies among the build arguments: RUN sees them without ARG, no record does.
    pub fn proxies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.build.iter().filter(|(name, _)| PROXIES.contains(&name.as_str())).map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Evaluates the ARGs before the first FROM, in order; each sees those before it.
    pub(super) fn evaluate(head: &[Located], options: &Options, escape: Escape) -> Result<Args, Error> {
        let mut args = Args { build: options.build_args.clone(), global: automatic(options) };
        for located in head {
            let line = located.span.first;
            let Instruction::Arg(definitions) = &located.instruction else {
                return Err(Error::at(line, Problem::BeforeFrom(located.instruction.name())));
            };
            for definition in definitions {
                args.define(definition, escape).map_err(|problem| Error::at(line, problem))?;
            }
        }
        Ok(args)
    }

    fn define(&mut self, definition: &ArgDefinition, escape: Escape) -> Result<(), Problem> {
        let name = self.expand(&definition.name, escape)?;
        let value = match (self.build.get(&name), &definition.default) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => Some(self.expand(default, escape)?),
            (None, None) => None,
        };
        if let Some(value) = value {
            self.global.insert(name, value);
        }
        Ok(())
    }

    /// Expands a word outside the stages.
    pub(super) fn expand(&self, word: &str, escape: Escape) -> Result<String, Problem> {
        expand(word, escape, &|name| self.global.get(name).cloned())
            .map_err(|why| Problem::Expand { word: word.to_owned(), why })
    }
}

/// The ARGs that are global in every build; a build argument of that name overrides one.
fn automatic(options: &Options) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    if options.compat.no_platform_args {
        return values;
    }
    for (prefix, platform) in [("TARGET", &options.target_platform), ("BUILD", &options.build_platform)] {
        let variant = platform.variant.clone().unwrap_or_default();
        let mut name = format!("{}/{}", platform.os, platform.architecture);
        if !variant.is_empty() {
            name = format!("{name}/{variant}");
        }
        values.insert(format!("{prefix}PLATFORM"), name);
        values.insert(format!("{prefix}OS"), platform.os.clone());
        values.insert(format!("{prefix}ARCH"), platform.architecture.clone());
        values.insert(format!("{prefix}VARIANT"), variant);
    }
    values.insert("TARGETSTAGE".to_owned(), options.targets.first().cloned().unwrap_or_else(|| "default".to_owned()));
    for (name, value) in &mut values {
        if let Some(given) = options.build_args.get(name) {
            value.clone_from(given);
        }
    }
    values
}

/// The build arguments that nothing declares.
pub(super) fn unused(instructions: &[Located], options: &Options) -> Vec<String> {
    let automatic = automatic(options);
    let declares = |located: &Located, name: &str| match &located.instruction {
        Instruction::Arg(definitions) => definitions.iter().any(|definition| definition.name == name),
        _ => false,
    };
    let is_used = |name: &str| {
        PROXIES.contains(&name)
            || automatic.contains_key(name)
            || name.starts_with("BUILDKIT_")
            || name == "SOURCE_DATE_EPOCH"
            || instructions.iter().any(|located| declares(located, name))
    };
    options.build_args.keys().filter(|name| !is_used(name)).cloned().collect()
}

/// What BuildKit's own build arguments ask for that is not done.
const IDLE: [&str; 8] = [
    "BUILDKIT_BUILD_NAME",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    "BUILDKIT_GIT_ADVICE",
    "BUILDKIT_INLINE_CACHE",
    "BUILDKIT_MULTI_PLATFORM",
    "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SBOM_SCAN_CONTEXT",
    "BUILDKIT_SBOM_SCAN_STAGE",
];

/// The build arguments that ask for such a thing.
pub(super) fn idle(options: &Options) -> Vec<String> {
    let asks = |(name, value): &(&String, &String)| IDLE.contains(&name.as_str()) && !value.is_empty() && *value != "0";
    options.build_args.iter().filter(asks).map(|(name, _)| name.clone()).collect()
}
