//! From a request to an image: plans the Dockerfile, builds each stage in turn and keeps what later stages need.
//!
//! Nothing is published here: the result is a value and blobs in the work directory, and `export` takes it from there. The
//! engine is one thread; what makes blobs of layers, the recorder and the network have their own.

mod background;
mod base;
mod cached;
mod current;
mod disk;
mod draft;
mod error;
mod full;
mod kept;
mod mode;
mod mounts;
mod nominator;
mod platform;
mod prefetch;
mod protected;
mod remote;
mod repository;
mod site;
mod snapshot;
mod source;
mod stage;
mod standing;
mod times;
mod timings;
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

pub use background::{Listener, Ready};
pub use cached::{Access, LayerCache, Layers};
pub use error::Error;
pub use mode::{RecorderChoice, SnapshotMode, Snapshots, Verify};
pub use nominator::{Answer, Nominator, Wanted};
pub use protected::{inside, mounts_below};
pub use site::{Place, Site};
pub use source::DockerfileAt;
pub use times::Times;
pub use timings::{Timings, Totals};

use anyhow::Context as _;
use tracing::{info, warn};

use crate::cache::{BaseCache, MountCache, Publisher};
use crate::codec::Packing;
use crate::context::Context;
use crate::dockerfile::{self, Dockerfile};
use crate::oci::{Image, Platform};
use crate::plan::{self, Base, Plan, PlatformNames};
use crate::registry;
use crate::steps::run::Control;
use crate::steps::{Rights, Vault};
use crate::store::{BlobDir, LayoutSource};
use background::Background;
use base::Bases;
use prefetch::Prefetch;

/// Where a named context comes from.
#[derive(Clone, Debug)]
pub enum NamedContext {
    /// An image in an OCI layout.
    OciLayout(LayoutSource),
    /// An image of a registry, by its reference.
    Image(String),
    /// A directory, for COPY and mounts.
    Directory(PathBuf),
}

/// How the Dockerfile is read where there is a choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Whether stages that no target needs are built.
    pub unused: plan::Unused,
    /// The ways of kaniko that are in force.
    pub compat: plan::Compat,
    /// Whether lines that kaniko builds otherwise are named.
    pub differences: Differences,
    /// Whether the plan is in the log before it is carried out.
    pub plan: PlanInLog,
}

/// Whether a build tells its plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlanInLog {
    /// It does not.
    #[default]
    Left,
    /// A line of the log for each of the plan.
    Told,
}

/// What is said of the lines whose result is another than with kaniko 1.24.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Differences {
    /// A warning each.
    #[default]
    Warn,
    /// Nothing.
    Silent,
}

/// All that a build depends on besides the machine.
pub struct Request {
    /// The directory of the build context.
    pub context: PathBuf,
    /// Where the Dockerfile is.
    pub dockerfile: DockerfileAt,
    /// Values for ARG.
    pub build_args: BTreeMap<String, String>,
    /// The stages to build, by name or index; the last one if there are none. The first is the image.
    pub targets: Vec<String>,
    /// How the Dockerfile is read.
    pub reading: Reading,
    /// Labels of the image, after those of the Dockerfile.
    pub labels: Vec<(String, String)>,
    /// Named contexts, for FROM and `COPY --from`.
    pub contexts: BTreeMap<String, NamedContext>,
    /// Secrets and SSH agents for mounts.
    pub vault: Vault,
    /// What steps may ask for.
    pub rights: Rights,
    /// How changes are found.
    pub snapshot_mode: SnapshotMode,
    /// When they are looked for.
    pub snapshots: Snapshots,
    /// Who finds where they may be.
    pub recorder: RecorderChoice,
    /// The most directory watches that this build takes; `None` for a quarter of what there may be.
    pub max_watches: Option<usize>,
    /// Whether that is checked.
    pub verify: Verify,
    /// The platform that the image is for.
    pub platform: Platform,
    /// Which times the image has.
    pub times: Times,
    /// How new layers are compressed.
    pub packing: Packing,
    /// Where cache mounts are saved.
    pub mounts: Option<MountCache>,
    /// Where base images may be at hand.
    pub bases: Option<Arc<BaseCache>>,
    /// Where base images are pulled. Asks `bases` for layers first.
    pub registry: registry::Client,
    /// Our own blobs: base layers and new ones.
    pub blobs: BlobDir,
    /// The layer cache.
    pub cache: Option<LayerCache>,
}

/// Builds the image. Its blobs are in `request.blobs`; the root is left as the last stage left it. `listener` hears of each new
/// blob as soon as it is whole.
///
/// # Errors
/// One line that says what failed, with the Dockerfile's line where there is one.
pub fn run(
    request: &Request,
    site: Site,
    control: &Control,
    timings: &Timings,
    listener: &Listener<'_>,
) -> Result<Image, Error> {
    let context = source::open(request)?;
    if request.times.lie_ahead() {
        warn!("The times of this image may lie ahead of now, so a second build has others");
    }
    if let Some(losses) = request.snapshot_mode.losses() {
        warn!("{losses}");
    }
    let mut bases = Bases::new(request, &request.blobs, timings);
    let (plan, told) = plan(request, &context, Some(&mut bases))?;
    let caches = mounts::open(request, &site);
    let cache = request.cache.as_ref().map(|wanted| (cached::open(request, wanted), wanted));
    // When this ends, all entries are sent.
    let built = thread::scope(|scope| {
        let ahead = Prefetch::new(scope, request);
        let background = Background::start(scope, request.packing, &site.work, listener);
        let shared = (bases, told, &caches, ahead, background);
        let builder = stage::Builder::new(request, site, control, timings, &context, shared)?;
        let Some((cache, wanted)) = &cache else { return builder.stages(&plan) };
        let publisher = (wanted.access == Access::ReadWrite).then(|| Publisher::start(scope, cache));
        builder.with_cache(&plan, cache, wanted, publisher)?.stages(&plan)
    });
    mounts::save(request, &caches, control);
    let mut image = built?;
    image.config.created = Some(request.times.created());
    image.config.config.labels.extend(request.labels.iter().cloned());
    crate::oci::validate(&image).context("the image that was built").map_err(Error::Other)?;
    Ok(image)
}

/// The plan of a build, for people; nothing is fetched or built. Triggers of base images are not in it.
///
/// # Errors
/// A Dockerfile that cannot be read or planned.
pub fn preview(request: &Request) -> Result<String, Error> {
    let context = source::open(request)?;
    Ok(plan(request, &context, None)?.0.to_string())
}

/// Reads and plans the Dockerfile, and says in the log what there is to say about it. With `bases` it is planned again as long
/// as the configs of the base images that are needed then have triggers that the plan does not know. Beside the plan: the lines
/// of which is said what kaniko does otherwise.
fn plan(
    request: &Request,
    context: &Context,
    mut bases: Option<&mut Bases<'_>>,
) -> Result<(Plan, BTreeSet<u32>), Error> {
    let (file, text) = (context.dockerfile_name(), context.dockerfile_text());
    let parsed = dockerfile::parse(text).map_err(|error| {
        let message = error.problem().to_string();
        let foreign = dockerfile::syntax(text).filter(|syntax| plan::is_foreign(syntax));
        let message = foreign.map_or(message.clone(), |syntax| {
            format!("{message} (the file asks for the front end {syntax}, which silt does not load)")
        });
        Error::in_file(&file, text, Some(dockerfile::Span { first: error.line(), last: error.line() }), message)
    })?;
    let host = Platform::host();
    let mut options = plan::Options {
        build_args: request.build_args.clone(),
        targets: request.targets.clone(),
        unused: request.reading.unused,
        compat: request.reading.compat,
        contexts: request.contexts.keys().cloned().collect(),
        target_platform: names(&request.platform),
        build_platform: names(&host),
        ..plan::Options::default()
    };
    check(&parsed, &options, context)?;
    let plan = loop {
        let plan = plan::plan(&parsed, &options).map_err(|error| {
            let span = error.line().map(|line| parsed.span_at(line));
            Error::in_file(&file, text, span, error.problem().to_string())
        })?;
        let Some(bases) = bases.as_deref_mut() else { break plan };
        bases.know(plan.stage_names());
        let triggers = triggers(&plan, (&file, text), bases, &request.platform)?;
        if triggers.iter().all(|(stage, texts)| options.triggers.get(stage) == Some(texts)) {
            break plan;
        }
        options.triggers.extend(triggers);
    };
    if let Some(bases) = bases {
        let found = found(&plan, bases, &request.platform).map_err(Error::Other)?;
        tell(plan::lint::lint_bases(text, &parsed, &options, &found), &parsed, context)?;
    }
    let syntax = request.build_args.get("BUILDKIT_SYNTAX").cloned().or_else(|| dockerfile::syntax(text));
    if let Some(syntax) = syntax.filter(|syntax| plan::is_foreign(syntax)) {
        warn!(
            "{file}: # syntax={syntax} is another front end, which silt does not load; it reads the Dockerfile itself"
        );
    }
    let told = announce(&parsed, &plan, &file, &request.reading);
    Ok((plan, told))
}

/// The build checks: warnings, unless the file asks for errors.
fn check(parsed: &Dockerfile, options: &plan::Options, context: &Context) -> Result<(), Error> {
    tell(plan::lint::lint(context.dockerfile_text(), parsed, options, context.ignore()), parsed, context)
}

fn tell(
    report: Result<plan::lint::Report, dockerfile::Problem>,
    parsed: &Dockerfile,
    context: &Context,
) -> Result<(), Error> {
    let (file, text) = (context.dockerfile_name(), context.dockerfile_text());
    let report = report.map_err(|problem| Error::Other(anyhow::anyhow!("{file}: {problem}")))?;
    for finding in &report.findings {
        warn!("{file}:{}: {finding}", finding.line);
    }
    match report.findings.first().filter(|_| report.fails) {
        Some(finding) => {
            let message = format!("{finding}; the directive `# check=error=true` makes this an error");
            Err(Error::in_file(&file, text, Some(parsed.span_at(finding.line)), message))
        }
        None => Ok(()),
    }
}

/// Says what a user may not expect of the plan. Returns the lines of which is said what kaniko does otherwise.
fn announce(parsed: &Dockerfile, plan: &Plan, file: &str, reading: &Reading) -> BTreeSet<u32> {
    let mut told = BTreeSet::new();
    match reading.differences {
        Differences::Warn => {
            for difference in plan::differences(parsed, plan, &reading.compat) {
                warn!("{file}:{}: {}", difference.line, difference.what);
                told.insert(difference.line);
            }
        }
        Differences::Silent => {
            for skipped in plan.skipped.iter().filter(|skipped| skipped.runs) {
                warn!("{file}:{}: {skipped} is not built, since nothing needs it", skipped.line);
            }
        }
    }
    for (line, why) in plan::lint::no_json(parsed) {
        warn!("{file}:{line}: this looks like a JSON array and is none ({why}), so a shell runs it as it stands");
    }
    if !plan.idle_build_args.is_empty() {
        warn!("These build arguments are BuildKit's own and have no effect here: {}", plan.idle_build_args.join(", "));
    }
    if !plan.unused_build_args.is_empty() {
        warn!("No ARG uses these build arguments: {}", plan.unused_build_args.join(", "));
    }
    if reading.plan == PlanInLog::Told {
        plan.to_string().lines().for_each(|line| info!("{line}"));
    }
    info!("Building {} of the Dockerfile's stages", plan.stages.len());
    told
}

/// For each stage of a base image: the line of its FROM, what the image is for, and what it should be for.
fn found(plan: &Plan, bases: &mut Bases<'_>, platform: &Platform) -> anyhow::Result<Vec<(u32, Platform, Platform)>> {
    let stages = plan.stages.iter().filter(|stage| matches!(stage.base, Base::Image(_) | Base::Context(_)));
    let row = |stage: &plan::Stage| {
        let wanted = platform::of_base(stage, platform)?;
        let image = bases.fetch(&stage.base, &wanted)?;
        Ok((stage.from.span.first, image.config.platform(), wanted))
    };
    stages.map(row).collect()
}

/// What the base images of a plan's stages leave to be done, by the index of the stage.
fn triggers(
    plan: &Plan,
    file: (&str, &[u8]),
    bases: &mut Bases<'_>,
    platform: &Platform,
) -> Result<BTreeMap<usize, Vec<String>>, Error> {
    let mut triggers = BTreeMap::new();
    for stage in plan.stages.iter().filter(|stage| matches!(stage.base, Base::Image(_) | Base::Context(_))) {
        let image = platform::of_base(stage, platform).and_then(|platform| bases.fetch(&stage.base, &platform));
        let image = image.map_err(|cause| Error::at(file, stage.from.span, &stage.from.text, cause))?;
        let texts = image.config.config.on_build;
        if !texts.is_empty() {
            triggers.insert(stage.index, texts);
        }
    }
    Ok(triggers)
}

fn names(platform: &Platform) -> PlatformNames {
    PlatformNames {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
    }
}
