//! The warmer: flags become what to store and where.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use tracing::warn;

use super::env::Env;
use super::flags::{PushFlags, WarmerFlags};
use super::{registries, request, signals};
use crate::build::Error;
use crate::cache::Shelf;
use crate::warm::{self, DockerfileAt, Request};

/// Stores the images. `exit` ends the process when a signal does.
pub(super) fn run(flags: &WarmerFlags, env: &Env, exit: fn(i32) -> !) -> Result<(), Error> {
    let stop_signals = signals::block().context("block signals")?;
    let request = asked(flags, env)?;
    let shelf = Arc::new(Shelf::open(&flags.cache_dir, flags.cache_ttl).context("--cache-dir")?);
    let ours = Arc::clone(&shelf);
    let stop = move |status| {
        warn!("Stopped by signal {}", status - 128);
        ours.abandon();
        exit(status)
    };
    signals::on_first(stop_signals, stop).context("start the signal thread")?;
    let client = registries::client(&flags.pull, &PushFlags::default(), 0, env)?;
    let supplier = Arc::clone(&shelf);
    let client = client.supplied_by(move |layer, blobs| supplier.supply(layer, blobs));
    Ok(warm::run(&request, &shelf, &client)?)
}

fn asked(flags: &WarmerFlags, env: &Env) -> Result<Request> {
    ensure!(
        !(flags.image.is_empty() && flags.dockerfile.is_none()),
        "give at least one --image=IMAGE, or --dockerfile=PATH"
    );
    Ok(Request {
        images: flags.image.clone(),
        dockerfile: flags.dockerfile.as_deref().map(dockerfile),
        build_args: request::values(&flags.build_arg, env),
        platform: request::platform_of(flags.custom_platform.as_deref())?,
        again: flags.force,
    })
}

fn dockerfile(path: &Path) -> DockerfileAt {
    match request::address(path) {
        Some(address) => DockerfileAt::Address(address.to_owned()),
        None => DockerfileAt::Path(path.to_owned()),
    }
}
