//! The command line: arguments and environment become a request, errors become one line and an exit status.
//!
//! The binaries call [`executor`] and exit with what it returns. The thread that takes signals ends the process itself,
//! with the function that the binary passes in.

mod env;
mod flags;
mod ground;
mod request;
mod signals;
mod vault;

pub use flags::Flags;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use tracing::{error, info, warn};

use crate::build::{self, Request, Site, Timings};
use crate::export;
use crate::log::Format;
use crate::oci::Platform;
use crate::registry;
use crate::steps::run::{Control, Program, make_private_process};
use crate::store::BlobDir;
use env::Env;
use ground::Prepared;

/// How long removing our files may delay the end after a signal. Ten seconds is what an engine grants before it kills.
const CLEAN_UP: Duration = Duration::from_secs(4);

/// Runs the executor and returns its exit status. `exit` ends the process when a signal does.
pub fn executor(args: impl IntoIterator<Item = OsString>, exit: fn(i32) -> !) -> u8 {
    let flags = match Flags::try_parse_from(args) {
        Ok(flags) => flags,
        Err(usage) => return explain(&usage),
    };
    let clock = if flags.log_timestamp { crate::log::Clock::Timestamp } else { crate::log::Clock::Elapsed };
    crate::log::start(flags.verbosity, flags.log_format, clock);
    if let Err(error) = make_private_process() {
        warn!("this process can be inspected by others: {error}");
    }
    match build_and_export(&flags, exit) {
        Ok(()) => 0,
        Err(failure) => {
            tell(&failure, flags.log_format);
            failure.exit_code()
        }
    }
}

/// Help and version are no errors; a wrong flag ends with 1, as kaniko's does.
fn explain(usage: &clap::Error) -> u8 {
    // Nothing can be done about a closed terminal.
    let _ = usage.print();
    u8::from(usage.use_stderr())
}

/// The last line of a failed run: for people the same at every level, for machines an event of the log.
fn tell(failure: &build::Error, format: Format) {
    match format {
        Format::Json => error!("{failure}"),
        // Nothing can be done about a closed terminal.
        Format::Color | Format::Text => {
            drop(writeln!(std::io::stderr(), "error: {failure}"));
            failure.quote().lines().for_each(|line| drop(writeln!(std::io::stderr(), "{line}")));
        }
    }
}

fn build_and_export(flags: &Flags, exit: fn(i32) -> !) -> Result<(), build::Error> {
    let env = Env::read();
    let timings = Timings::start();
    let stop_signals = signals::block().context("block signals")?;
    let control = Arc::new(Control::new(Program::own().context("open our own program")?));
    let prepared = Arc::new(ground::prepare(request::ground(flags, &env))?);
    let report = env.benchmark_file();
    on_signal(stop_signals, exit, Arc::clone(&control), Arc::clone(&prepared), timings.clone(), report.clone())?;
    let outcome = carry_out(flags, &env, &prepared, &control, &timings);
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
    let mut destinations = request::destinations(flags)?;
    let request = request(flags, env, prepared, control)?;
    let site = site(flags, prepared, &request.context)?;
    if !(flags.no_push || flags.skip_push_permission_check) {
        destinations
            .push
            .iter()
            .try_for_each(|name| request.registry.check_push(name))
            .context("check before the build")?;
    }
    let image = build::run(&request, site, control, timings)?;
    let started = Instant::now();
    let digest = export::to_all(&image, &request.blobs, &request.registry, &mut destinations)?;
    timings.add_since(started, |totals| &mut totals.push_ns);
    info!("Built image {digest}");
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
    Ok(Request {
        context: request::context_dir(&flags.context)?,
        dockerfile: flags.dockerfile.clone(),
        build_args: request::build_args(flags, env),
        targets: flags.target.clone().into_iter().collect(),
        reading: build::Reading::default(),
        labels: flags.label.clone(),
        contexts: request::contexts(flags)?,
        vault: vault::vault(flags, env)?,
        rights: vault::rights(flags)?,
        snapshot_mode: request::snapshot_mode(flags),
        recorder: request::recorder(flags),
        verify: request::verify(flags),
        platform: Platform::host(),
        registry: registry::Client::new(request::policy(flags))?
            .publishing_while(move || control.cancelled().is_none()),
        blobs: BlobDir::create(&prepared.work)?,
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
