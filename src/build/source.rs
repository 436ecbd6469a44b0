//! Where the Dockerfile is, and how it is read from there.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tracing::info;

use super::Request;
use crate::context::{Context, Limited};

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
            let mut text = Limited::default();
            request.registry.download(address, &mut text).context("--dockerfile")?;
            Context::open_with(dir, "Dockerfile", text.into_bytes())?
        }
    })
}
