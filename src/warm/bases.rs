//! The images that a Dockerfile starts from or copies from, for the platform that each stage wants.
//!
//! All stages count, since nobody says here which will be built. ONBUILD triggers of base images are not looked at.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use tracing::info;

use super::{DockerfileAt, Request, Wanted};
use crate::context::{Limited, MAX_FILE};
use crate::dockerfile;
use crate::oci::Platform;
use crate::plan::{self, Base, Plan, PlatformNames, Source, Unused};
use crate::registry::Client;

/// The images of the request's Dockerfile, in its order.
pub(super) fn of_dockerfile(request: &Request, client: &Client) -> Result<Vec<Wanted>> {
    let Some(at) = &request.dockerfile else { return Ok(Vec::new()) };
    let (name, text) = read(at, client)?;
    let plan = plan(&text, request).map_err(|error| anyhow!("{name}{error}"))?;
    of_plan(&plan, &request.platform)
}

/// Plans every stage. An error begins with the line, where there is one.
fn plan(text: &[u8], request: &Request) -> Result<Plan, String> {
    let parsed = dockerfile::parse(text).map_err(|error| format!(":{}: {}", error.line(), error.problem()))?;
    let options = plan::Options {
        build_args: request.build_args.clone(),
        unused: Unused::Build,
        target_platform: names(&request.platform),
        build_platform: names(&Platform::host()),
        ..plan::Options::default()
    };
    plan::plan(&parsed, &options).map_err(|error| match error.line() {
        Some(line) => format!(":{line}: {}", error.problem()),
        None => format!(": {}", error.problem()),
    })
}

fn of_plan(plan: &Plan, platform: &Platform) -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for stage in &plan.stages {
        let own = stage.platform.as_deref().map(str::parse).transpose()?.unwrap_or_else(|| platform.clone());
        if let Base::Image(name) = &stage.base {
            wanted.push(Wanted { name: name.clone(), platform: own });
        }
        for source in stage.steps.iter().flat_map(|step| step.sources()) {
            if let Source::Image(name) = source {
                wanted.push(Wanted { name: name.clone(), platform: platform.clone() });
            }
        }
    }
    Ok(wanted)
}

/// The Dockerfile, and how messages call it.
fn read(at: &DockerfileAt, client: &Client) -> Result<(String, Vec<u8>)> {
    match at {
        DockerfileAt::Path(path) => Ok((
            path.display().to_string(),
            read_file(path).with_context(|| format!("--dockerfile={}", path.display()))?,
        )),
        DockerfileAt::Address(address) => {
            info!("Downloading the Dockerfile");
            let mut text = Limited::default();
            client.download(address, &mut text).context("--dockerfile")?;
            Ok(("Dockerfile".to_owned(), text.into_bytes()))
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut text)?;
    ensure!(text.len() as u64 <= MAX_FILE, "it is larger than 16 MiB");
    Ok(text)
}

fn names(platform: &Platform) -> PlatformNames {
    PlatformNames {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
    }
}
