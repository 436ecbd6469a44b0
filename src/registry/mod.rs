//! Images from and to registries (OCI distribution-spec 1.1; Docker's token authentication).
//!
//! Blocking functions over one tokio runtime; nobody else sees it. Blobs are streamed between the network and files and never held
//! in memory. A digest and a size are checked as the bytes arrive, and a manifest is pushed only after all its blobs. A credential or
//! token goes to the registry that it is for and nowhere else, and only encrypted unless plain HTTP was allowed.

mod auth;
mod download;
mod endpoint;
mod error;
#[cfg(test)]
mod fake;
mod names;
mod policy;
mod pull;
mod push;
mod retry;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use download::Downloaded;
pub use error::Error;
pub use policy::Policy;
pub use pull::Resolved;

use crate::oci::{Digest, Image, Platform, Reference};
use crate::store::BlobDir;
use endpoint::Endpoint;
use policy::Direction;
use transport::{Timeouts, Transport};

/// How many blobs of an image travel at once.
const PARALLEL: usize = 3;

/// Connections to registries. It can be shared between threads, and keeps connections and tokens for the next call.
pub struct Client {
    runtime: tokio::runtime::Runtime,
    policy: Policy,
    transport: Transport,
    endpoints: tokio::sync::Mutex<BTreeMap<(String, Direction), Arc<Endpoint>>>,
    may_publish: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Client {
    /// A client that follows `policy`. It reads the machine's certificates and name servers now, before a build may change them.
    pub fn new(policy: Policy) -> Result<Self, Error> {
        Client::with_timeouts(policy, Timeouts::default())
    }

    fn with_timeouts(policy: Policy, timeouts: Timeouts) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("registry")
            .enable_all()
            .build()
            .map_err(|error| Error::Setup(error.to_string()))?;
        let transport = Transport::new(timeouts);
        Ok(Client { runtime, policy, transport, endpoints: Default::default(), may_publish: Box::new(|| true) })
    }

    /// The same client, which sends no manifest once `allowed` says no: asked right before each is sent.
    #[must_use]
    pub fn publishing_while(self, allowed: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Client { may_publish: Box::new(allowed), ..self }
    }

    /// Whether `what` may still be published; otherwise [`Error::Stopped`].
    pub fn may_publish(&self, what: &str) -> Result<(), Error> {
        if (self.may_publish)() { Ok(()) } else { Err(Error::Stopped { what: what.to_owned() }) }
    }

    /// The image behind `reference` that runs on `platform`, without its layers.
    pub fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved, Error> {
        self.runtime.block_on(pull::resolve(self, reference, platform))
    }

    /// Downloads those layers of `image` that came from a registry and are not in `blobs`.
    pub fn fetch(&self, image: &Image, blobs: &BlobDir) -> Result<(), Error> {
        self.runtime.block_on(pull::fetch(self, image, blobs))
    }

    /// Resolves and fetches.
    pub fn pull(&self, reference: &Reference, platform: &Platform, blobs: &BlobDir) -> Result<Image, Error> {
        let image = self.resolve(reference, platform)?.image;
        self.fetch(&image, blobs)?;
        Ok(image)
    }

    /// Writes the file at an address that is no registry's to `sink`. After an error `sink` may have a part of it.
    pub fn download(&self, address: &str, sink: &mut dyn std::io::Write) -> Result<Downloaded, Error> {
        self.runtime.block_on(download::download(self, address, sink))
    }

    /// Uploads `image`, whose layers are in `blobs` or in the registry that they came from. Returns the manifest's digest.
    pub fn push(&self, reference: &Reference, image: &Image, blobs: &BlobDir) -> Result<Digest, Error> {
        self.runtime.block_on(push::push(self, reference, image, blobs))
    }

    /// Begins an upload to the repository and cancels it, to learn early whether a push can succeed.
    pub fn check_push(&self, reference: &Reference) -> Result<(), Error> {
        self.runtime.block_on(push::check(self, reference))
    }

    /// The connection to a registry, made at the first use.
    async fn endpoint(&self, registry: &str, direction: Direction) -> Result<Arc<Endpoint>, Error> {
        let mut endpoints = self.endpoints.lock().await;
        let key = (registry.to_owned(), direction);
        if let Some(endpoint) = endpoints.get(&key) {
            return Ok(endpoint.clone());
        }
        let (schemes, certificate) =
            (self.policy.schemes(registry, direction), self.policy.certificate(registry, direction));
        let endpoint = Arc::new(Endpoint::connect(&self.transport, registry, schemes, certificate).await?);
        endpoints.insert(key, endpoint.clone());
        Ok(endpoint)
    }
}
