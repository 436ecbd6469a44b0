//! The build command: flags become a request, the image is built and goes where it shall go.
//!
//! A signal ends the build from a thread of its own, which ends the process with the function that the binary passed in.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tracing::{info, warn};

use super::env::Env;
use super::flags::Flags;
use super::ground::{self, Prepared};
use super::{cache, registries, request, signals, vault};
use crate::build::{self, Request, Site, Timings};
use crate::export;
use crate::oci::Repository;
use crate::registry::Ahead;
use crate::steps::run::{Control, Program, make_private_process};
use crate::store::BlobDir;

/// How long removing our files may delay the end after a signal. Ten seconds is what an engine grants before it kills.
const CLEAN_UP: Duration = Duration::from_secs(4);

/// Builds an image and publishes it. `exit` ends the process when a signal does.
pub(super) fn run(flags: &Flags, env: &Env, exit: fn(i32) -> !) -> Result<(), build::Error> {
    if let Err(error) = make_private_process() {
        warn!("this process can be inspected by others: {error}");
    }
    let timings = Timings::start();
    let stop_signals = signals::block().context("block signals")?;
    let control = Arc::new(Control::new(Program::own().context("open our own program")?));
    let prepared = Arc::new(ground::prepare(request::ground(flags, env))?);
    let report = env.benchmark_file();
    on_signal(stop_signals, exit, Arc::clone(&control), Arc::clone(&prepared), timings.clone(), report.clone())?;
    let outcome = carry_out(flags, env, &prepared, &control, &timings);
    write_timings(&timings, report.as_ref());
    if let Some(signal) = control.cancelled() {
        wait_for_exit(signal);
    }
    prepared.remove();
    outcome
}

fn carry_out(
    flags: &Flags,
    env: &Env,
    prepared: &Prepared,
    control: &Arc<Control>,
    timings: &Timings,
) -> Result<(), build::Error> {
    if flags.source.dryrun {
        return preview(&request(flags, env, prepared, control)?);
    }
    let mut destinations = request::destinations(&flags.output, env)?;
    let request = request(flags, env, prepared, control)?;
    let site = site(flags, prepared, &request.context)?;
    if !(flags.output.no_push || flags.push.skip_push_permission_check) {
        request.registry.check_push_to_all(&destinations.push).context("check before the build")?;
    }
    std::thread::scope(|scope| {
        let ahead = export::ahead(scope, &request.registry, &request.blobs, &destinations);
        let listener = |ready: build::Ready<'_>| {
            if let Some(ahead) = &ahead {
                // The registry of the cache has it from there, and mounts it.
                ahead.send(ready.blob, ready.cache.map(Repository::registry));
            }
        };
        let built = build::run(&request, site.clone(), control, timings, &listener);
        // Before anything is written to where it shall go, as in kaniko, and after a failure too.
        let cleaned = if flags.place.cleanup { site.clean() } else { Ok(()) };
        let image = built?;
        cleaned.context("--cleanup")?;
        ahead.iter().for_each(Ahead::leave_the_rest);
        let started = Instant::now();
        let digest = export::to_all(&image, &request.blobs, &request.registry, &mut destinations)?;
        timings.add_since(started, |totals| &mut totals.push_ns);
        info!("Built image {digest}");
        Ok(())
    })
}

/// `--dryrun`: the plan goes to the standard output.
fn preview(request: &Request) -> Result<(), build::Error> {
    let plan = build::preview(request)?;
    std::io::stdout().write_all(plan.as_bytes()).context("write the plan")?;
    Ok(())
}

fn site(flags: &Flags, prepared: &Prepared, context: &Path) -> Result<Site> {
    let place = prepared.place.clone();
    let ignored = request::ignored(flags, &place)?;
    let mut site = Site { place, work: prepared.work.clone(), ignored, spared: Vec::new() };
    request::outside(&site.place, context)?;
    site.spared = request::spared(context, &site.root_dir());
    Ok(site)
}

fn request(flags: &Flags, env: &Env, prepared: &Prepared, control: &Arc<Control>) -> Result<Request> {
    let control = Arc::clone(control);
    let client = registries::client(&flags.pull, &flags.push, flags.retry.image_download_retry, env)?;
    let bases = request::bases(&flags.cache);
    let client = match bases.clone() {
        Some(bases) => client.supplied_by(move |layer, blobs| bases.supply(layer, blobs)),
        None => client,
    };
    Ok(Request {
        context: request::context_dir(flags)?,
        dockerfile: request::dockerfile(flags, std::io::stdin())?,
        build_args: request::build_args(flags, env),
        targets: flags.source.target.clone(),
        reading: request::reading(flags, env),
        labels: flags.source.label.clone(),
        contexts: request::contexts(flags)?,
        vault: vault::vault(flags, env)?,
        rights: vault::rights(flags)?,
        snapshot_mode: request::snapshot_mode(flags)?,
        snapshots: request::snapshots(flags),
        recorder: request::recorder(flags),
        max_watches: flags.own.max_watches,
        verify: request::verify(flags),
        platform: request::platform(flags)?,
        times: request::times(flags, env)?,
        packing: request::packing(&flags.output)?,
        mounts: request::mounts(flags)?,
        bases,
        registry: client.publishing_while(move || control.cancelled().is_none()),
        blobs: BlobDir::create(&prepared.work)?,
        cache: cache::layers(flags)?,
    })
}

/// A signal ends the step, writes the timings, removes what is ours and ends the process. No image is published after that
/// moment: the registry client asks `control` before it sends a manifest, which is the last thing that a push sends.
fn on_signal(
    stop_signals: nix::sys::signal::SigSet,
    exit: fn(i32) -> !,
    control: Arc<Control>,
    prepared: Arc<Prepared>,
    timings: Timings,
    report: Option<PathBuf>,
) -> Result<()> {
    let stop = move |status: i32| {
        warn!("Stopped by signal {}", status - 128);
        control.cancel(status - 128);
        control.wait_idle();
        write_timings(&timings, report.as_ref());
        prepared.remove_within(CLEAN_UP);
        exit(status)
    };
    signals::on_first(stop_signals, stop).context("start the signal thread")
}

fn write_timings(timings: &Timings, report: Option<&PathBuf>) {
    if let Some(path) = report
        && let Err(error) = timings.write(path)
    {
        warn!("BENCHMARK_FILE={}: {error}", path.display());
    }
}

/// The signal's thread is about to end the process; this one must not do so first with another status.
fn wait_for_exit(signal: i32) -> ! {
    info!("Waiting for signal {signal} to end this process");
    loop {
        std::thread::park();
    }
}
