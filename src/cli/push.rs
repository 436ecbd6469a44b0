//! `push`: sends an image that is already built, a docker archive or an OCI layout, to registries.
//!
//! So a build can run without credentials, and a later step that runs nothing of the Dockerfile has them. The layers are copied and
//! checked first, into a directory that goes away at the end.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use tracing::{info, warn};

use super::env::Env;
use super::flags::PushCommandFlags;
use super::{registries, request, signals};
use crate::build::Error;
use crate::export::{self, Destinations};
use crate::oci::{Image, Platform};
use crate::store::{self, BlobDir, LayoutSource};

/// Pushes the image. `exit` ends the process when a signal does.
pub(super) fn run(flags: &PushCommandFlags, env: &Env, exit: fn(i32) -> !) -> Result<(), Error> {
    let stop_signals = signals::block().context("block signals")?;
    let work = tempfile::Builder::new().prefix("silt-").tempdir_in(env.temporary_dir());
    let work = Arc::new(work.with_context(|| format!("create a directory in {}", env.temporary_dir().display()))?);
    let path = work.path().to_owned();
    let stop = move |status| {
        warn!("Stopped by signal {}", status - 128);
        drop(std::fs::remove_dir_all(&path));
        exit(status)
    };
    signals::on_first(stop_signals, stop).context("start the signal thread")?;
    Ok(push(flags, env, work.path())?)
}

fn push(flags: &PushCommandFlags, env: &Env, work: &Path) -> Result<()> {
    ensure!(!flags.destination.is_empty(), "give at least one --destination=IMAGE");
    let push = request::references(&flags.destination)?;
    let name = flags.image.display();
    let digest_file = |flag, path: &Option<_>| request::digest_file(flag, path.as_deref());
    let client = registries::client(&flags.pull, &flags.push, flags.retry.image_download_retry, env)?;
    if !flags.push.skip_push_permission_check {
        client.check_push_to_all(&push).context("check before the push")?;
    }
    let blobs = BlobDir::create(work)?;
    let image = read(&flags.image, &blobs).with_context(|| format!("read {name}"))?;
    let mut destinations = Destinations {
        push,
        digest_file: digest_file("--digest-file", &flags.digest_file)?,
        image_name_with_digest_file: digest_file("--image-name-with-digest-file", &flags.image_name_with_digest_file)?,
        image_name_tag_with_digest_file: digest_file(
            "--image-name-tag-with-digest-file",
            &flags.image_name_tag_with_digest_file,
        )?,
        builder_output: request::builder_output(env)?,
        ..Destinations::default()
    };
    let digest = export::to_all(&image, &blobs, &client, &mut destinations)?;
    info!("The digest of {name} is {digest}");
    Ok(())
}

/// A directory is a layout, a file is an archive; a name that is neither may be `LAYOUT:TAG`.
fn read(path: &Path, blobs: &BlobDir) -> Result<Image> {
    let platform = Platform::host();
    if path.is_file() {
        return Ok(store::read_archive(path, &platform, blobs)?);
    }
    let named = if path.exists() { None } else { path.to_str().map(LayoutSource::parse).transpose()? };
    let source = named.unwrap_or_else(|| LayoutSource { path: path.to_owned(), tag: None, digest: None });
    Ok(store::read_layout_as_is(&source, &platform, blobs)?)
}
