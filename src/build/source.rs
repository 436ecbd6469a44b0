//! Where the Dockerfile is, and how it is read from there.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tracing::info;

use super::Request;
use crate::context::{Context, MAX_FILE};

/// Where the Dockerfile is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DockerfileAt {
    /// `Dockerfile` in the context.
    #[default]
    Context,
    /// At this path: absolute, or relative to the context.
    Path(PathBuf),
    /// At an http(s) address, which may hold a password. Fetched without credentials, as ADD does.
    Address(String),
    /// Here: it came from the standard input.
    Text(Vec<u8>),
}

/// Opens the build context with its Dockerfile, which is fetched if it is elsewhere.
pub(super) fn open(request: &Request) -> Result<Context> {
    let dir = &request.context;
    Ok(match &request.dockerfile {
        DockerfileAt::Context => Context::open_dir(dir, None)?,
        DockerfileAt::Path(path) => Context::open_dir(dir, Some(path))?,
        DockerfileAt::Text(text) => Context::open_with(dir, "Dockerfile from the standard input", text.clone())?,
        DockerfileAt::Address(address) => {
            info!("Downloading the Dockerfile");
            let mut text = Limited(Vec::new());
            request.registry.download(address, &mut text).context("--dockerfile")?;
            Context::open_with(dir, "Dockerfile", text.0)?
        }
    })
}

/// Takes as many bytes as a Dockerfile may have.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the Dockerfile is larger than 16 MiB"));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerfile_without_end_is_not_kept() {
        let mut sink = Limited(Vec::new());
        let most = vec![b'#'; MAX_FILE as usize];
        sink.write_all(&most).expect("as large as may be");
        assert!(sink.write_all(b"#").is_err());
    }
}
