//! Blobs that are sent ahead of their image, while that is still being built.
//!
//! They go the way of any push. What was sent then is known to the client, so the push of the image neither asks for it nor sends
//! it again, and one that is under way it waits for. Nothing depends on it: what fails is left to that push, and with it all else
//! for that registry.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use futures_util::future::select;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::by_registry;
use super::content::Content;
use super::target::Target;
use crate::oci::{Descriptor, Reference, Repository};
use crate::registry::policy::Direction;
use crate::registry::{Client, Error};
use crate::store::BlobDir;

/// Sends blobs until it is dropped; then it gives up those that are under way.
#[derive(Debug)]
pub struct Ahead {
    queue: UnboundedSender<Item>,
    is_over: Arc<AtomicBool>,
    _until_dropped: oneshot::Sender<()>,
}

/// A blob to send.
#[derive(Debug)]
struct Item {
    blob: Descriptor,
    /// The registry that gets it from somebody else.
    except: Option<String>,
}

/// Where blobs go: the repositories of each registry.
type Places = BTreeMap<String, Vec<Repository>>;

impl Ahead {
    /// Begins to send what it will be given out of `blobs` to the repositories of `to`.
    pub(in crate::registry) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        client: &'env Client,
        to: &[Reference],
        blobs: &'env BlobDir,
    ) -> Ahead {
        let (queue, items) = unbounded_channel();
        let (_until_dropped, dropped) = oneshot::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let owned = |(registry, repositories): (&str, Vec<&Repository>)| {
            (registry.to_owned(), repositories.into_iter().cloned().collect())
        };
        let places: Places = by_registry(to).into_iter().map(owned).collect();
        let seen = is_over.clone();
        scope.spawn(move || {
            client.runtime.block_on(async {
                let sending = pin!(send_all(client, &places, blobs, items, &seen));
                select(sending, dropped).await;
            });
        });
        Ahead { queue, is_over, _until_dropped }
    }

    /// Has a blob sent to all but the registry `except`.
    pub fn send(&self, blob: &Descriptor, except: Option<&str>) {
        let item = Item { blob: blob.clone(), except: except.map(str::to_owned) };
        // Without the thread the push of the image does it.
        let _ = self.queue.send(item);
    }

    /// Begins nothing more: the push of the image does the rest.
    pub fn leave_the_rest(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

async fn send_all(
    client: &Client,
    places: &Places,
    blobs: &BlobDir,
    items: UnboundedReceiver<Item>,
    is_over: &AtomicBool,
) {
    let failed = Mutex::new(BTreeSet::new());
    let is_given_up = |registry: &str| failed.lock().unwrap_or_else(PoisonError::into_inner).contains(registry);
    let items = stream::unfold(items, async |mut items| Some((items.recv().await?, items)));
    // Half of the connections, so that pulls of further bases need not wait for long.
    let send_one = async |item: Item| {
        for (registry, repositories) in places {
            if is_over.load(Ordering::Relaxed) || is_given_up(registry) || item.except.as_ref() == Some(registry) {
                continue;
            }
            if let Err(error) = send_to(client, repositories, &item.blob, blobs).await {
                tracing::debug!("{error}; {registry} gets the rest with the image");
                failed.lock().unwrap_or_else(PoisonError::into_inner).insert(registry.clone());
            }
        }
    };
    items.for_each_concurrent(client.parallel().div_ceil(2), send_one).await;
}

async fn send_to(
    client: &Client,
    repositories: &[Repository],
    blob: &Descriptor,
    blobs: &BlobDir,
) -> Result<(), Error> {
    let mut first = None;
    for repository in repositories {
        let endpoint = client.endpoint(repository.registry(), Direction::Push).await?;
        let target = Target::new(&endpoint, repository);
        let content = async || Ok(Content::File(blobs.path(&blob.digest)));
        client.sent.once(repository, &blob.digest, async || target.blob(blob, first, content).await).await?;
        first = first.or(Some(repository));
    }
    Ok(())
}
