//! `RUN --mount`: the flag as written, and, once variables are known, the mount that it asks for.
//!
//! The value is one record of comma-separated fields (RFC 4180: a field in double quotes may hold commas). All values are
//! expanded when the step runs, except `from`, which names a stage and must be known before. Follows BuildKit.

mod draft;
mod fields;

use std::fmt;

use super::Problem;
use draft::Draft;
use fields::csv;

/// The value of one `--mount`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFlag {
    text: String,
    fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    /// In lower case.
    key: String,
    value: Option<String>,
}

/// What a mount is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// Files of the build context, a stage or an image.
    Bind {
        /// Relative to the top of the source; empty for all of it.
        source: String,
        /// Where, perhaps relative to WORKDIR.
        target: String,
        /// Writes are thrown away in any case.
        access: Access,
    },
    /// A directory that outlives the build.
    Cache {
        /// What tells it from others: `None` is the clean target.
        id: Option<String>,
        /// Where, perhaps relative to WORKDIR.
        target: String,
        /// The directory of `from` that it begins with.
        source: String,
        /// What others may do meanwhile.
        sharing: Sharing,
        /// Of a new directory.
        owner: Attributes,
        /// Whether the step may write.
        access: Access,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// Where, perhaps relative to WORKDIR.
        target: String,
        /// Its limit in bytes.
        size: Option<u64>,
    },
    /// A secret, as a file, a variable or both.
    Secret {
        /// Which.
        id: String,
        /// The file: `None` with `env` is no file, without it `/run/secrets/` and the id.
        target: Option<String>,
        /// The variable.
        env: Option<String>,
        /// Whether the step fails without it.
        required: bool,
        /// Of the file: mode 0400 of root by default.
        owner: Attributes,
    },
    /// The socket of an SSH agent.
    Ssh {
        /// Which; `None` is `default`.
        id: Option<String>,
        /// The socket: `None` is `/run/buildkit/ssh_agent.` and the number of the mount.
        target: Option<String>,
        /// Whether the step fails without it.
        required: bool,
        /// Of the socket: mode 0600 of root by default.
        owner: Attributes,
    },
}

/// Mode and owner where a mount says them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `mode`
    pub mode: Option<u32>,
    /// `uid`
    pub uid: Option<u32>,
    /// `gid`
    pub gid: Option<u32>,
}

/// Whether a step may write into a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may not.
    ReadOnly,
    /// It may.
    ReadWrite,
}

/// How several steps use one cache mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// All at once.
    #[default]
    Shared,
    /// Each has its own while others run.
    Private,
    /// One waits for the other.
    Locked,
}

/// The five types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountType {
    /// `bind`, the default.
    #[default]
    Bind,
    /// `cache`
    Cache,
    /// `tmpfs`
    Tmpfs,
    /// `secret`
    Secret,
    /// `ssh`
    Ssh,
}

fn syntax(message: impl Into<String>) -> Problem {
    Problem::Syntax(message.into())
}

impl MountFlag {
    /// Reads the fields; a mount without variables is checked whole.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let field = |field: String| match field.split_once('=') {
            Some((key, value)) => Field { key: key.to_lowercase(), value: Some(value.to_owned()) },
            None => Field { key: field.to_lowercase(), value: None },
        };
        let flag = MountFlag { text: text.to_owned(), fields: csv(text)?.into_iter().map(field).collect() };
        if let Some(from) = flag.from().filter(|from| has_variable(from)) {
            return Err(syntax(format!(
                "--mount: from={from}: variables are not expanded here; add a stage `FROM {from} AS name` and use from=name"
            )));
        }
        if !text.contains('$') {
            flag.resolve(&|value| Ok::<_, Problem>(value.to_owned()))?;
        }
        Ok(flag)
    }

    /// What `from` says: a stage, an image or a named context. `None` where it says nothing.
    pub fn from(&self) -> Option<&str> {
        let last = self.fields.iter().rev().find(|field| field.key == "from")?;
        last.value.as_deref().filter(|from| !from.is_empty())
    }

    /// The type, where it can be told before variables are known.
    pub fn mount_type(&self) -> Option<MountType> {
        match self.fields.iter().rev().find(|field| field.key == "type") {
            None => Some(MountType::Bind),
            Some(field) => draft::mount_type(field.value.as_deref()?).ok(),
        }
    }

    /// The mount, with the values that `expand` gives for the fields.
    ///
    /// # Errors
    /// Those of `expand`, and a field that the language does not know or that does not go with the type.
    pub fn resolve<E: From<Problem>>(&self, expand: &dyn Fn(&str) -> Result<String, E>) -> Result<Mount, E> {
        let mut draft = Draft::default();
        for Field { key, value } in &self.fields {
            match value {
                Some(value) if key == "from" => draft.from = Some(value.clone()),
                Some(value) => draft.set(key, &expand(value)?)?,
                None => draft.set_bare(key)?,
            }
        }
        Ok(draft.finish()?)
    }
}

impl fmt::Display for MountFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a `$` has something after it.
fn has_variable(text: &str) -> bool {
    text.find('$').is_some_and(|at| at + 1 < text.len())
}

#[cfg(test)]
mod tests;
