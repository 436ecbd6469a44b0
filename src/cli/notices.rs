//! What is to be said about a command line once logging has started: old spellings, and what is asked for and not there yet.

use clap::{ArgMatches, Command};
use tracing::{debug, warn};

use super::env::Env;
use super::features::{self, Weight};
use super::grammar::Words;
use super::{not_yet, variables};

/// Warnings, remarks, and the reason to refuse.
#[derive(Debug, Default)]
pub(super) struct Notices {
    pub(super) warnings: Vec<String>,
    pub(super) remarks: Vec<String>,
    /// What is asked for, would change the result, and is not there yet.
    pub(super) refused: Vec<String>,
}

impl Notices {
    /// All that can be said of flags that parsed, and of the environment.
    pub(super) fn new(words: &Words, matches: &ArgMatches, command: &Command, env: &Env) -> Notices {
        let mut notices = Notices::default();
        let old = |(old, new): &(String, String)| format!("Flag --{old} is deprecated. Use: --{new}");
        notices.warnings.extend(words.deprecated.iter().map(old));
        not_yet::check(matches, command, &mut notices);
        for (weight, text) in features::check(env).chain(variables::check(env)) {
            match weight {
                Weight::Warning => notices.warnings.push(text),
                Weight::Remark => notices.remarks.push(text),
            }
        }
        notices
    }

    /// Logs them.
    ///
    /// # Errors
    /// What must be refused, in one line.
    pub(super) fn tell(&self) -> anyhow::Result<()> {
        self.remarks.iter().for_each(|text| debug!("{text}"));
        self.warnings.iter().for_each(|text| warn!("{text}"));
        anyhow::ensure!(self.refused.is_empty(), "{}", self.refused.join("; "));
        Ok(())
    }
}
