//! Which sources besides the configuration files are asked: `--credential-helpers`.

use std::collections::BTreeSet;
use std::str::FromStr;

/// A source, in the order in which they are asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// `KANIKO_HOST_USER` and `KANIKO_HOST_PASSWORD`.
    Env,
    /// Google's registries.
    Google,
    /// Amazon's registries.
    Ecr,
    /// Azure's registries.
    Acr,
    /// The registry of a GitLab job.
    Gitlab,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "env" => Ok(Source::Env),
            "google" => Ok(Source::Google),
            "ecr" => Ok(Source::Ecr),
            "acr" => Ok(Source::Acr),
            "gitlab" => Ok(Source::Gitlab),
            _ => Err(format!("{word:?} is not one of env, google, ecr, acr, gitlab; an empty value is for none")),
        }
    }
}

/// The sources to ask. The default is all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sources(BTreeSet<Source>);

impl Sources {
    /// Reads the values of the flag: none given means all, an empty one adds none.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let values: Vec<&str> = values.into_iter().collect();
        if values.is_empty() {
            return Ok(Sources::default());
        }
        values.into_iter().filter(|value| !value.is_empty()).map(str::parse).collect::<Result<_, _>>().map(Sources)
    }

    /// Whether `source` is asked.
    pub fn has(&self, source: Source) -> bool {
        self.0.contains(&source)
    }
}

impl Default for Sources {
    fn default() -> Self {
        Sources([Source::Env, Source::Google, Source::Ecr, Source::Acr, Source::Gitlab].into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expected: &[Source]) {
        assert_eq!(
            Sources::parse(values.iter().copied()),
            Ok(Sources(expected.iter().copied().collect())),
            "{values:?}"
        );
    }

    #[test]
    fn the_flag() {
        check(&[], &[Source::Env, Source::Google, Source::Ecr, Source::Acr, Source::Gitlab]);
        check(&[""], &[]);
        check(&["ecr", "env"], &[Source::Env, Source::Ecr]);
        check(&["", "acr"], &[Source::Acr]);
        let error = Sources::parse(["aws"]).expect_err("unknown");
        assert!(error.contains("ecr"), "{error}");
    }
}
