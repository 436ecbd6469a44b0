//! From a request to an image: plans the Dockerfile, builds each stage in turn and keeps what later stages need.
//!
//! Nothing is published here: the result is a value and blobs in the work directory, and `export` takes it from there. The
//! engine is one thread; the recorder and the network have their own.

mod base;
mod disk;
mod error;
mod kept;
mod mode;
mod nominator;
mod protected;
mod site;
mod snapshot;
mod stage;
mod timings;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use error::Error;
pub use mode::{RecorderChoice, SnapshotMode, Snapshots, Verify};
pub use nominator::{Answer, Nominator, Wanted};
pub use protected::{inside, mounts_below};
pub use site::{Place, Site};
pub use timings::{Timings, Totals};

use anyhow::Context as _;
use tracing::{info, warn};

use crate::context::Context;
use crate::dockerfile;
use crate::oci::{Image, Platform};
use crate::plan::{self, Plan, PlatformNames};
use crate::registry;
use crate::steps::run::Control;
use crate::store::{BlobDir, LayoutSource};

/// Where a named context comes from.
#[derive(Clone, Debug)]
pub enum NamedContext {
    /// An image in an OCI layout.
    OciLayout(LayoutSource),
}

/// All that a build depends on besides the machine.
pub struct Request {
    /// The directory of the build context.
    pub context: PathBuf,
    /// The Dockerfile: absolute, or relative to the context; `None` for `Dockerfile` in it.
    pub dockerfile: Option<PathBuf>,
    /// Values for ARG.
    pub build_args: BTreeMap<String, String>,
    /// The stage to build; the last one if `None`.
    pub target: Option<String>,
    /// Labels of the image, after those of the Dockerfile.
    pub labels: Vec<(String, String)>,
    /// Named contexts, for FROM and `COPY --from`.
    pub contexts: BTreeMap<String, NamedContext>,
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
    /// Where base images are pulled.
    pub registry: registry::Client,
    /// Our own blobs: base layers and new ones.
    pub blobs: BlobDir,
}

/// Builds the image. Its blobs are in `request.blobs`; the root is left as the last stage left it.
///
/// # Errors
/// One line that says what failed, with the Dockerfile's line where there is one.
pub fn run(request: &Request, site: Site, control: &Control, timings: &Timings) -> Result<Image, Error> {
    let context = Context::open_dir(&request.context, request.dockerfile.as_deref()).map_err(anyhow::Error::from)?;
    let plan = plan(request, &context)?;
    if let Some(losses) = request.snapshot_mode.losses() {
        warn!("{losses}");
    }
    let builder = stage::Builder::new(request, site, control, timings, &context)?;
    let mut image = builder.stages(&plan)?;
    image.config.created = Some(now());
    image.config.config.labels.extend(request.labels.iter().cloned());
    crate::oci::validate(&image).context("the image that was built").map_err(Error::Other)?;
    Ok(image)
}

fn plan(request: &Request, context: &Context) -> Result<Plan, Error> {
    let file = context.dockerfile_name();
    let fault = |message: String| Error::Other(anyhow::Error::msg(message));
    let parsed = dockerfile::parse(context.dockerfile_text()).map_err(|error| fault(error.located(&file)))?;
    for warning in &parsed.warnings {
        warn!("{file}:{}: {}", warning.line, warning.message);
    }
    let host = Platform::host();
    let options = plan::Options {
        build_args: request.build_args.clone(),
        target: request.target.clone(),
        contexts: request.contexts.keys().cloned().collect(),
        target_platform: names(&request.platform),
        build_platform: names(&host),
    };
    let plan = plan::plan(&parsed, &options).map_err(|error| fault(error.located(&file)))?;
    if !plan.unused_build_args.is_empty() {
        warn!("No ARG uses these build arguments: {}", plan.unused_build_args.join(", "));
    }
    info!("Building {} of the Dockerfile's stages", plan.stages.len());
    Ok(plan)
}

fn names(platform: &Platform) -> PlatformNames {
    PlatformNames {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
    }
}

/// The time as the image's configuration writes it (RFC 3339).
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
