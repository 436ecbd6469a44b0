//! Cache mounts of a build: where they are, and what becomes of them at its end.

use super::{Request, Site};
use crate::cache::Means;
use crate::steps::run::Control;
use crate::steps::{Caches, Ended};

/// The caches of this machine, and those that are saved elsewhere.
pub(super) fn open<'a>(request: &'a Request, site: &Site) -> Caches<'a> {
    let caches = Caches::below(&site.caches());
    match &request.mounts {
        Some(saved) => caches.restored_by(|id, to| saved.restore(id, to, means(request))),
        None => caches,
    }
}

/// Saves what steps used that all ended well, also where a later step failed. After a signal there is no time for it.
pub(super) fn save(request: &Request, caches: &Caches<'_>, control: &Control) {
    let Some(saved) = &request.mounts else { return };
    for (id, used) in caches.used() {
        if control.cancelled().is_some() {
            return;
        }
        match used.ended {
            Ended::Well => saved.save(&id, &used.dir, means(request)),
            Ended::Badly => {
                tracing::info!("The cache mount {} is not saved: a step failed", String::from_utf8_lossy(&id));
            }
        }
    }
}

fn means(request: &Request) -> Means<'_> {
    Means { client: &request.registry, blobs: &request.blobs }
}
