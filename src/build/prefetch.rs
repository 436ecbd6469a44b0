//! Base images of later stages, on their way while this one is built.
//!
//! What goes wrong here is nobody's business: the stage that needs the layer asks for it again, and says what is wrong.

use std::sync::Arc;
use std::thread::{Builder, Scope};

use tracing::debug;

use super::Request;
use super::base::Bases;
use super::cached::Need;
use super::platform;
use crate::oci::ImageLayer;
use crate::plan::{Base, Plan};
use crate::registry::Stop;

/// Downloads for later stages. They end with this value.
pub(super) struct Prefetch<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    request: &'env Request,
    stop: Arc<Stop>,
    /// The layers of the base of each stage that will have a root, by the stage's position.
    later: Vec<(usize, Vec<ImageLayer>)>,
}

impl<'scope, 'env> Prefetch<'scope, 'env> {
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, request: &'env Request) -> Self {
        Prefetch { scope, request, stop: Arc::default(), later: Vec::new() }
    }

    /// Notes what the stages of `plan` will unpack: those that are needed, and of which `has_root` says that they get a root.
    pub(super) fn foresee(
        &mut self,
        plan: &Plan,
        needs: &[Need],
        has_root: impl Fn(usize) -> bool,
        bases: &mut Bases<'_>,
    ) {
        let stages = plan.stages.iter().enumerate().zip(needs);
        let wanted = stages.filter(|((position, _), need)| need.image && (need.tree || has_root(*position)));
        let layers = |((position, stage), _): ((usize, &crate::plan::Stage), _)| match &stage.base {
            base @ (Base::Image(_) | Base::Context(_)) => {
                let platform = platform::of_base(stage, &self.request.platform).ok()?;
                Some((position, bases.fetch(base, &platform).ok()?.layers().to_vec()))
            }
            Base::Scratch | Base::Stage(_) => None,
        };
        self.later = wanted.filter_map(layers).collect();
    }

    /// Begins with what stages after the one at `position` need; once.
    pub(super) fn begin(&mut self, position: usize) {
        let later = std::mem::take(&mut self.later).into_iter().filter(|(at, _)| *at > position);
        let layers: Vec<ImageLayer> = later.flat_map(|(_, layers)| layers).collect();
        if layers.is_empty() {
            return;
        }
        let (request, stop) = (self.request, Arc::clone(&self.stop));
        let fetch = move || {
            if let Err(error) = request.registry.fetch_until(&layers, &request.blobs, &|_| (), &stop) {
                debug!("A later stage will ask again for its base: {error}");
            }
        };
        // A thread that cannot be had is done without.
        let _ = Builder::new().spawn_scoped(self.scope, fetch);
    }
}

impl Drop for Prefetch<'_, '_> {
    fn drop(&mut self) {
        self.stop.stop();
    }
}
