//! COPY and ADD as types. Words are as written: variables and quotes in them are not yet expanded.

use super::heredoc::Heredoc;

/// What COPY and ADD have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// What to copy, in order; never empty.
    pub sources: Vec<CopySource>,
    /// Where to.
    pub destination: String,
    /// `--chown`: `user[:group]`.
    pub chown: Option<String>,
    /// `--chmod`: once expanded, a [`Mode`](super::Mode).
    pub chmod: Option<String>,
    /// `--link`: the layer does not depend on those before it.
    pub link: bool,
    /// `--exclude`, each a pattern of ignore files.
    pub excludes: Vec<String>,
}

/// One source of COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopySource {
    /// A path, a pattern, or, for ADD once expanded, an address ([`remote`](super::remote)).
    Path(String),
    /// A file that stands in the Dockerfile.
    Heredoc(Heredoc),
}

/// `COPY source… destination`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// What, where to, and how.
    pub transfer: Transfer,
    /// `--from`: a stage, an image or a named context.
    pub from: Option<String>,
    /// `--parents`: directories of the sources are kept, from `/./` on where a source has it.
    pub parents: bool,
}

/// `ADD source… destination`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// What, where to, and how.
    pub transfer: Transfer,
    /// `--checksum` of the one remote source: `sha256:…`, or a commit of a git repository.
    pub checksum: Option<String>,
    /// `--keep-git-dir`; `None` where it is not said.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`; `None`: local archives are unpacked, remote ones are not.
    pub unpack: Option<bool>,
}

impl Transfer {
    /// The sources that are words, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter_map(|source| match source {
            CopySource::Path(path) => Some(path.as_str()),
            CopySource::Heredoc(_) => None,
        })
    }

    /// The sources that are here-documents, in order.
    pub fn heredocs(&self) -> impl Iterator<Item = &Heredoc> {
        self.sources.iter().filter_map(|source| match source {
            CopySource::Path(_) => None,
            CopySource::Heredoc(document) => Some(document),
        })
    }
}
