//! A build context: a local directory, its Dockerfile and its ignore file.
//!
//! It reads those two files when it is opened and nothing else. It does not copy, walk or resolve: what is left out stays on
//! the disk, and the steps ask [`Context::excluded`]. What stands in it, [`digests`] says. `<Dockerfile>.dockerignore` beside the Dockerfile wins over
//! `.dockerignore` at the top of the context; both files may themselves be left out, and are read all the same.

pub mod digests;
mod limited;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::dockerfile::ignore::{Ignore, IgnoreError};

pub use limited::Limited;

/// The largest Dockerfile or ignore file, in bytes.
pub const MAX_FILE: u64 = 16 << 20;

/// An open build context.
#[derive(Debug)]
pub struct Context {
    dir: PathBuf,
    dockerfile: PathBuf,
    text: Vec<u8>,
    ignore: Ignore,
    ignore_file: String,
}

/// Why a path is not in the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exclusion<'a> {
    /// The name of the ignore file.
    pub file: &'a str,
    /// The line of the pattern, from 1.
    pub line: u32,
}

impl fmt::Display for Exclusion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "excluded by {} line {}", self.file, self.line)
    }
}

/// Why a context cannot be opened.
#[derive(Debug, Error)]
pub enum Error {
    /// The context is not there, or is not a directory.
    #[error("the build context {} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// No Dockerfile where it was looked for.
    #[error("there is no Dockerfile at {}", paths(.0))]
    NoDockerfile(Vec<PathBuf>),
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A bad pattern.
    #[error("{file}:{}: {}", why.line, why.message)]
    Ignore {
        /// The ignore file.
        file: String,
        /// The line and what is wrong with it.
        why: IgnoreError,
    },
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
}

impl Context {
    /// Opens the directory `dir`. `dockerfile` is absolute, or relative to the working directory or else to `dir`, as in
    /// kaniko; by default it is `Dockerfile` or `dockerfile` in `dir`.
    pub fn open_dir(dir: &Path, dockerfile: Option<&Path>) -> Result<Context, Error> {
        if !dir.is_dir() {
            return Err(Error::NotADirectory(dir.to_owned()));
        }
        let (dockerfile, text) = read_first(&candidates(dir, dockerfile))?;
        let mut beside = OsString::from(&dockerfile);
        beside.push(".dockerignore");
        let (ignore_file, ignore) = read_ignore(&[beside.into(), dir.join(".dockerignore")])?;
        Ok(Context { dir: dir.to_owned(), dockerfile, text, ignore, ignore_file })
    }

    /// Opens the directory `dir` for a Dockerfile that is not in a file; `name` is how messages call it.
    pub fn open_with(dir: &Path, name: &str, text: Vec<u8>) -> Result<Context, Error> {
        let context = Context::open_named(dir)?;
        Ok(Context { dockerfile: name.into(), text, ..context })
    }

    /// Opens the directory `dir` as a context that has a name: it has no Dockerfile, but may have an ignore file.
    pub fn open_named(dir: &Path) -> Result<Context, Error> {
        if !dir.is_dir() {
            return Err(Error::NotADirectory(dir.to_owned()));
        }
        let (ignore_file, ignore) = read_ignore(&[dir.join(".dockerignore")])?;
        Ok(Context { dir: dir.to_owned(), dockerfile: PathBuf::new(), text: Vec::new(), ignore, ignore_file })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of the Dockerfile.
    pub fn dockerfile(&self) -> &Path {
        &self.dockerfile
    }

    /// The Dockerfile for messages: its path in the context, or its whole path if it is elsewhere.
    pub fn dockerfile_name(&self) -> String {
        self.dockerfile.strip_prefix(&self.dir).unwrap_or(&self.dockerfile).display().to_string()
    }

    /// The patterns of the ignore file.
    pub fn ignore(&self) -> &Ignore {
        &self.ignore
    }

    /// What the Dockerfile says.
    pub fn dockerfile_text(&self) -> &[u8] {
        &self.text
    }

    /// Why `path`, clean and relative to the context, is left out; `None` if it is not. Directories and files are alike,
    /// and what is below a directory that is left out is so too, unless an exception brings it back.
    pub fn excluded(&self, path: &[u8]) -> Option<Exclusion<'_>> {
        self.ignore.excluded(path).map(|line| Exclusion { file: &self.ignore_file, line })
    }

    /// Whether a walk must enter the directory `path` although it is left out: an exception may name something below.
    pub fn may_include_below(&self, path: &[u8]) -> bool {
        self.ignore.may_include_below(path)
    }
}

/// Where the Dockerfile may be, best first.
fn candidates(dir: &Path, dockerfile: Option<&Path>) -> Vec<PathBuf> {
    let Some(path) = dockerfile else { return vec![dir.join("Dockerfile"), dir.join("dockerfile")] };
    if path.is_absolute() { vec![path.to_owned()] } else { vec![path.to_owned(), dir.join(path)] }
}

fn read_first(paths: &[PathBuf]) -> Result<(PathBuf, Vec<u8>), Error> {
    for path in paths {
        if let Some(bytes) = read(path)? {
            return Ok((path.clone(), bytes));
        }
    }
    Err(Error::NoDockerfile(paths.to_vec()))
}

/// The first of the files that exists, parsed; no patterns if none does.
fn read_ignore(paths: &[PathBuf]) -> Result<(String, Ignore), Error> {
    for path in paths {
        if let Some(bytes) = read(path)? {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let ignore = Ignore::parse(&bytes).map_err(|why| Error::Ignore { file: file.clone(), why })?;
            return Ok((file, ignore));
        }
    }
    Ok((".dockerignore".to_owned(), Ignore::default()))
}

/// The file's bytes; `None` if there is no such file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let fail = |source| Error::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(fail(e)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 16 MiB")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
