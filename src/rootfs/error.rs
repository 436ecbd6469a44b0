//! What can go wrong in the root. An I/O error says which call failed and for which path.

use std::io;

use rustix::io::Errno;

use super::RootPath;

/// Why the root was not changed as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path is protected, lies below a protected one, or would take a protected one with it.
    #[error("{0} is protected: it belongs to this machine or to the builder, not to the image")]
    Protected(RootPath),
    /// A system call failed. Its [`io::Error::kind`] is that of the call.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// The kind of the failed call; [`io::ErrorKind::PermissionDenied`] for a protected path.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Error::Protected(_) => io::ErrorKind::PermissionDenied,
            Error::Io(error) => error.kind(),
        }
    }
}

/// The result of a change of the root.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
#[error("{path}: {call}: {why}")]
struct Failed {
    call: &'static str,
    path: RootPath,
    why: io::Error,
}

/// An error of `call` at `path`.
pub(super) fn failed(call: &'static str, path: &RootPath, why: impl Into<io::Error>) -> io::Error {
    let why = why.into();
    io::Error::new(why.kind(), Failed { call, path: path.clone(), why })
}

/// Whether an error of a look-up says that nothing has that path: it is missing, or something on the way is no directory.
pub(super) fn means_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG)
}
