//! HEALTHCHECK as a type. Times are in nanoseconds, as an image's config has them; 0 means the default of whoever runs it.

use super::Command;

/// `HEALTHCHECK`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// `HEALTHCHECK NONE`: no check, not even the base's.
    None,
    /// `HEALTHCHECK [options] CMD command`
    Check(Check),
}

/// A command that tells whether a container is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The command; never empty.
    pub command: Command,
    /// `--interval`, in nanoseconds.
    pub interval: i64,
    /// `--timeout`, in nanoseconds.
    pub timeout: i64,
    /// `--start-period`, in nanoseconds.
    pub start_period: i64,
    /// `--start-interval`, in nanoseconds.
    pub start_interval: i64,
    /// `--retries`; 0 is the default.
    pub retries: u32,
}

impl Healthcheck {
    /// The test as an image's config has it: `NONE`, or `CMD` or `CMD-SHELL` and the command.
    pub fn test(&self) -> Vec<String> {
        match self {
            Healthcheck::None => vec!["NONE".to_owned()],
            Healthcheck::Check(check) => match &check.command {
                Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
                Command::Exec(words) => {
                    std::iter::once("CMD").map(str::to_owned).chain(words.iter().cloned()).collect()
                }
            },
        }
    }
}
