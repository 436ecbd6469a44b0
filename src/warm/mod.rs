//! What the warmer does: base images, by name or of a Dockerfile, go to a directory that executors share (`cache::Shelf`).
//!
//! One image after another. One that fails is named in a warning, and the others go on; the whole fails only if all did, as with
//! kaniko.

mod bases;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use tracing::{info, warn};

use crate::cache::{Kept, Shelf};
use crate::oci::{Digest, Platform, Reference};
use crate::registry::{Client, Outcome, Resolved};

/// Where a Dockerfile is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerfileAt {
    /// In this file.
    Path(PathBuf),
    /// At an http(s) address, which may hold a password. Fetched without credentials.
    Address(String),
}

/// What to store.
#[derive(Debug)]
pub struct Request {
    /// Images by name.
    pub images: Vec<String>,
    /// A Dockerfile whose images are stored too.
    pub dockerfile: Option<DockerfileAt>,
    /// Values for its ARGs.
    pub build_args: BTreeMap<String, String>,
    /// The platform that the images are for.
    pub platform: Platform,
    /// Whether what is there already is fetched again.
    pub again: bool,
}

/// An image to store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    name: String,
    platform: Platform,
}

/// Stores the images of `request`.
///
/// # Errors
/// A Dockerfile that cannot be read or planned; or none of the images could be stored.
pub fn run(request: &Request, shelf: &Shelf, client: &Client) -> Result<()> {
    let named = request.images.iter().map(|name| Wanted { name: name.clone(), platform: request.platform.clone() });
    let mut wanted: Vec<Wanted> = Vec::new();
    for image in named.chain(bases::of_dockerfile(request, client)?) {
        if !wanted.contains(&image) {
            wanted.push(image);
        }
    }
    let mut failed = Vec::new();
    for image in &wanted {
        if let Err(error) = store(image, request.again, shelf, client) {
            warn!("cannot store {}: {error:#}", image.name);
            failed.push(image.name.as_str());
        }
    }
    match (wanted.len(), failed.len()) {
        (0, _) => warn!("the Dockerfile has no base image to store"),
        (_, 0) => {}
        (all, failures) if all == failures => bail!("none of the images could be stored: {}", failed.join(", ")),
        (all, failures) => warn!("{failures} of {all} images could not be stored: {}", failed.join(", ")),
    }
    Ok(())
}

fn store(image: &Wanted, again: bool, shelf: &Shelf, client: &Client) -> Result<()> {
    let Wanted { name, platform } = image;
    let reference: Reference = name.parse()?;
    let resolved = match find(&reference, platform, again, shelf, client)? {
        Found::Kept(kept) => {
            tell(name, kept);
            return Ok(());
        }
        Found::Resolved(resolved) => resolved,
    };
    info!("Retrieving image {reference}");
    match shelf.store(&resolved, &reference.to_string(), client, again).context("store it")? {
        None => info!("Stored {name} as {}", resolved.digest),
        Some(kept) => tell(name, kept),
    }
    Ok(())
}

/// What a reference leads to.
enum Found {
    /// An entry that is there already.
    Kept(Kept),
    /// An image to store.
    Resolved(Box<Resolved>),
}

/// Finds out with as few requests as possible: none for the digest of a whole entry.
fn find(reference: &Reference, platform: &Platform, again: bool, shelf: &Shelf, client: &Client) -> Result<Found> {
    let keep = |digest: &Digest| shelf.find(digest, platform).map_or(Ok(None), |digest| shelf.keep(&digest));
    if again {
        return Ok(Found::Resolved(Box::new(client.resolve(reference, platform)?)));
    }
    if let Some(digest) = reference.digest()
        && let Some(kept) = keep(digest)?
    {
        return Ok(Found::Kept(kept));
    }
    let known = |digest: &Digest| reference.digest().is_none() && shelf.find(digest, platform).is_some();
    match client.resolve_unless(reference, platform, &known)? {
        Outcome::Resolved(resolved) => Ok(Found::Resolved(resolved)),
        Outcome::Known(digest) => match keep(&digest)? {
            Some(kept) => Ok(Found::Kept(kept)),
            None => Ok(Found::Resolved(Box::new(client.resolve(reference, platform)?))),
        },
    }
}

fn tell(name: &str, kept: Kept) {
    match kept {
        Kept::Fresh => info!("{name} is there already"),
        Kept::Renewed => info!("{name} is there already; it counts as new now"),
    }
}
