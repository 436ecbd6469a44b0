//! Images from and to registries (OCI distribution-spec 1.1; Docker's token authentication).
//!
//! Blocking functions over one tokio runtime; nobody else sees it. Blobs are streamed between the network and files and never held
//! in memory. A digest and a size are checked as the bytes arrive, and a manifest is pushed only after all its blobs. A credential or
//! token goes to the registry that it is for and nowhere else, and only encrypted unless plain HTTP was allowed.

mod answer;
mod auth;
mod authorization;
mod download;
mod endpoint;
mod error;
mod exchange;
#[cfg(test)]
mod fake;
mod line;
mod lines;
mod login;
mod names;
mod patience;
mod policy;
mod progress;
mod proxy;
mod pull;
mod push;
mod put;
mod redirect;
mod retry;
mod route;
mod stop;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod trust;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

pub use download::Downloaded;
pub use error::Error;
pub use login::Login;
pub use patience::{Backoff, Timeouts};
pub use policy::{ClientCertificate, Policy, Protocols, canonical, host_and_client_certificate, host_and_path};
pub use proxy::Proxies;
pub use pull::{Artifact, Documents, Outcome, Resolved};
pub use push::Ahead;
pub use route::Routes;
pub use stop::Stop;
pub use trust::Authorities;

use crate::credentials::{Identity, Network};
use crate::oci::{Descriptor, Digest, Encoded, Image, ImageLayer, Platform, Reference, Repository};
use crate::store::BlobDir;
use endpoint::Endpoint;
use policy::Direction;
use tokio::sync::OnceCell;
use transport::Transport;

/// Finds the identity for a registry (`host[:port]` or `docker.io`) and a repository's path in it. It may take its time: it is
/// called where blocking is allowed, once a minute for a repository, and only if the registry wants to see something.
pub type Finder = dyn Fn(&str, &str) -> Result<Identity, String> + Send + Sync;

/// Puts a layer into a store if it is at hand, checked against its descriptor; says whether it did. Called where blocking is
/// allowed.
pub type Supply = dyn Fn(&Descriptor, &BlobDir) -> bool + Send + Sync;

/// An endpoint that the first who needs it finds out about; others wait for that, and only for that.
type Place = OnceCell<Arc<Endpoint>>;

/// Connections to registries. It can be shared between threads, and keeps connections and tokens for the next call.
pub struct Client {
    runtime: tokio::runtime::Runtime,
    policy: Policy,
    transport: Arc<Transport>,
    finder: Arc<Finder>,
    endpoints: Mutex<BTreeMap<(String, Direction), Arc<Place>>>,
    found: Mutex<BTreeMap<Repository, Repository>>,
    /// Those who download a layer take turns.
    turns: Mutex<BTreeMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    sent: push::Sent,
    may_publish: Box<dyn Fn() -> bool + Send + Sync>,
    nearby: Option<Arc<Supply>>,
}

impl Client {
    /// A client that follows `policy`. It reads the machine's certificates and name servers now, before a build may change them.
    ///
    /// # Errors
    /// A file of certificates that the policy names and that cannot be used.
    pub fn new(policy: Policy) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("registry")
            .enable_all()
            .build()
            .map_err(|error| Error::Setup(error.to_string()))?;
        let transport = Arc::new(Transport::new(&policy)?);
        Ok(Client {
            runtime,
            policy,
            transport,
            finder: Arc::new(|_: &str, _: &str| Ok(Identity::anonymous())),
            endpoints: Default::default(),
            found: Default::default(),
            turns: Default::default(),
            sent: push::Sent::default(),
            may_publish: Box::new(|| true),
            nearby: None,
        })
    }

    /// The same client, which sends no manifest once `allowed` says no: asked right before each is sent.
    #[must_use]
    pub fn publishing_while(self, allowed: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Client { may_publish: Box::new(allowed), ..self }
    }

    /// The same client with the credentials that `find` finds; see [`Finder`]. Without it, it is nobody in particular.
    #[must_use]
    pub fn identified_by(self, find: impl Fn(&str, &str) -> Result<Identity, String> + Send + Sync + 'static) -> Self {
        Client { finder: Arc::new(find), ..self }
    }

    /// The same client, which asks `supply` for a layer before it asks a registry.
    #[must_use]
    pub fn supplied_by(self, supply: impl Fn(&Descriptor, &BlobDir) -> bool + Send + Sync + 'static) -> Self {
        Client { nearby: Some(Arc::new(supply)), ..self }
    }

    /// How this client finds and trusts hosts, for those who look for its credentials.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn network(&self) -> Result<Network, Error> {
        self.transport.network()
    }

    /// Whether `what` may still be published; otherwise [`Error::Stopped`].
    pub fn may_publish(&self, what: &str) -> Result<(), Error> {
        if (self.may_publish)() { Ok(()) } else { Err(Error::Stopped { what: what.to_owned() }) }
    }

    /// The image behind `reference` that runs on `platform`, without its layers.
    pub fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved, Error> {
        self.runtime.block_on(pull::resolve(self, reference, platform))
    }

    /// The same for whoever can do without it: after `until` it is [`Error::Interrupted`], whatever is going on.
    pub fn resolve_by(&self, reference: &Reference, platform: &Platform, until: Instant) -> Result<Resolved, Error> {
        self.in_time(&reference.to_string(), until, pull::resolve(self, reference, platform))
    }

    /// Whether `repository` has a blob, as far as it says so `until` then.
    pub fn has_by(&self, repository: &Repository, blob: &Descriptor, until: Instant) -> Result<bool, Error> {
        self.in_time(&format!("{repository}: blob {}", blob.digest), until, pull::has(self, repository, blob))
    }

    fn in_time<T>(&self, what: &str, until: Instant, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let work = async { tokio::time::timeout_at(until.into(), work).await };
        self.runtime.block_on(work).unwrap_or_else(|_| Err(answer::silent(what)))
    }

    /// The same, unless it is an image or an index that `known` knows the digest of. Costs as few requests as that can be
    /// learnt with: for a tag one for its headers, which registries do not count as a pull.
    pub fn resolve_unless(
        &self,
        reference: &Reference,
        platform: &Platform,
        known: &(dyn Fn(&Digest) -> bool + Send + Sync),
    ) -> Result<Outcome, Error> {
        self.runtime.block_on(pull::resolve_unless(self, reference, platform, Some(known)))
    }

    /// Downloads those layers of `image` that came from a registry and are not in `blobs`.
    pub fn fetch(&self, image: &Image, blobs: &BlobDir) -> Result<(), Error> {
        self.runtime.block_on(pull::fetch(self, image.layers(), blobs, &|_| ()))
    }

    /// The same of `layers`, the first ones first, until `stop` says so; that is no error. `arrived` is told of each that is in
    /// `blobs`.
    pub fn fetch_until(
        &self,
        layers: &[ImageLayer],
        blobs: &BlobDir,
        arrived: &(dyn Fn(&Digest) + Sync),
        stop: &Stop,
    ) -> Result<(), Error> {
        self.runtime.block_on(stop.end(pull::fetch(self, layers, blobs, arrived)))
    }

    /// The same for one layer.
    pub fn fetch_layer(&self, layer: &ImageLayer, blobs: &BlobDir) -> Result<(), Error> {
        self.runtime.block_on(pull::fetch_layer(self, layer, blobs))
    }

    /// Resolves and fetches.
    pub fn pull(&self, reference: &Reference, platform: &Platform, blobs: &BlobDir) -> Result<Image, Error> {
        let image = self.resolve(reference, platform)?.image;
        self.fetch(&image, blobs)?;
        Ok(image)
    }

    /// Writes the file at an address that is no registry's to `sink`. After an error `sink` may have a part of it.
    pub fn download(&self, address: &str, sink: &mut dyn std::io::Write) -> Result<Downloaded, Error> {
        self.runtime.block_on(download::download(self, address, None, sink))
    }

    /// The same with the value of an `Authorization` header.
    pub fn download_as(
        &self,
        address: &str,
        authorization: &str,
        sink: &mut dyn std::io::Write,
    ) -> Result<Downloaded, Error> {
        self.runtime.block_on(download::download(self, address, Some(authorization), sink))
    }

    /// Uploads `image`, whose layers are in `blobs` or in the registry that they came from. Returns the manifest's digest.
    pub fn push(&self, to: &Reference, image: &Image, blobs: &BlobDir) -> Result<Digest, Error> {
        self.push_to_all(std::slice::from_ref(to), image, blobs)
    }

    /// The same to several destinations, which share what they can. None gets a manifest before all have all blobs.
    pub fn push_to_all(&self, destinations: &[Reference], image: &Image, blobs: &BlobDir) -> Result<Digest, Error> {
        self.runtime.block_on(push::push(self, destinations, image, blobs))
    }

    /// Sends blobs to the repositories of `destinations` before there is an image of them, for as long as the result lives. A
    /// push to these then has less to do; nothing else depends on it.
    pub fn send_ahead<'scope, 'env>(
        &'env self,
        scope: &'scope std::thread::Scope<'scope, 'env>,
        destinations: &[Reference],
        blobs: &'env BlobDir,
    ) -> Ahead {
        Ahead::start(scope, self, destinations, blobs)
    }

    /// Uploads what is no image, `encoded` with its layers. Returns the manifest's digest.
    pub fn push_artifact(
        &self,
        to: &Reference,
        encoded: &Encoded,
        layers: &[ImageLayer],
        blobs: &BlobDir,
    ) -> Result<Digest, Error> {
        self.runtime.block_on(push::push_encoded(self, std::slice::from_ref(to), encoded, layers, blobs))
    }

    /// The manifest and the configuration of what is no image; `None` if nothing has that name. No mirror is asked.
    pub fn artifact(&self, reference: &Reference) -> Result<Option<Artifact>, Error> {
        self.runtime.block_on(pull::artifact(self, reference))
    }

    /// Downloads a blob of an artifact into `blobs`.
    pub fn artifact_blob(&self, repository: &Repository, blob: &Descriptor, blobs: &BlobDir) -> Result<(), Error> {
        self.runtime.block_on(pull::artifact_blob(self, repository, blob, blobs))
    }

    /// Begins an upload to the repository and cancels it, to learn early whether a push can succeed.
    pub fn check_push(&self, reference: &Reference) -> Result<(), Error> {
        self.check_push_to_all(std::slice::from_ref(reference))
    }

    /// The same for several destinations, once for each repository, in order.
    pub fn check_push_to_all(&self, destinations: &[Reference]) -> Result<(), Error> {
        self.runtime.block_on(push::check(self, destinations))
    }

    /// Whether the registry takes the credential that this client has for it, if it asks for one.
    ///
    /// # Errors
    /// [`Error::Denied`] if it does not; others if that could not be learnt.
    pub fn check_login(&self, registry: &str) -> Result<Login, Error> {
        self.runtime.block_on(login::check(self, registry))
    }

    /// Sends `text` to an `https://` address with PUT.
    ///
    /// # Errors
    /// Another scheme, and any answer but success.
    pub fn put(&self, url: &str, text: &str) -> Result<(), Error> {
        self.runtime.block_on(put::put(self, url, text))
    }

    /// The connection to a registry, made at the first use.
    async fn endpoint(&self, registry: &str, direction: Direction) -> Result<Arc<Endpoint>, Error> {
        let key = (registry.to_owned(), direction);
        let cell = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let schemes = self.policy.schemes(registry, direction);
        let certificate = self.policy.certificate(registry, direction);
        let connect = async || {
            Endpoint::connect(&self.transport, &self.finder, registry, schemes, certificate).await.map(Arc::new)
        };
        cell.get_or_try_init(connect).await.cloned()
    }

    /// What whoever downloads a layer must hold.
    fn turn(&self, layer: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(layer.clone()).or_default().clone()
    }

    /// How many blobs travel at once.
    fn parallel(&self) -> usize {
        self.policy.connections.max(1)
    }

    /// Where the images of `repository` were found.
    fn remembered(&self, repository: &Repository) -> Option<Repository> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(repository).cloned()
    }

    fn remember(&self, repository: &Repository, place: &Repository) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.clone(), place.clone());
    }

    /// The repository of the registry of `target` that has the blobs of `origin`, if it is another one.
    fn near(&self, origin: &Repository, target: &Repository) -> Option<Repository> {
        let place = self.remembered(origin).unwrap_or_else(|| origin.clone());
        (place.registry() == target.registry() && place != *target).then_some(place)
    }
}
