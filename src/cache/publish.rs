//! Entries leave for the cache in the background, while the build goes on. What fails is a warning.

use std::collections::BTreeSet;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

use tracing::{debug, warn};

use super::{Cache, Content, Entry, Place};
use crate::oci::{Digest, Format, Platform};

/// An entry on its way, and what its image is like.
struct Parcel {
    entry: Entry,
    place: Place,
    format: Format,
    platform: Platform,
}

/// Sends entries, one after another.
pub struct Publisher<'scope> {
    queue: Sender<Parcel>,
    sender: ScopedJoinHandle<'scope, Published>,
}

/// The layers that are in the cache now.
#[derive(Debug, Default)]
pub struct Published(pub BTreeSet<Digest>);

impl<'scope> Publisher<'scope> {
    /// Begins to send what it will be given to `cache`.
    pub fn start<'env>(scope: &'scope Scope<'scope, 'env>, cache: &'env Cache<'env>) -> Self {
        let (queue, parcels) = channel::<Parcel>();
        let sender = scope.spawn(move || {
            let mut published = Published::default();
            let mut is_given_up = false;
            for Parcel { entry, place, format, platform } in parcels {
                if is_given_up || cache.is_silent() {
                    continue;
                }
                match cache.leave(&entry, &place, format, &platform) {
                    Ok(()) => {
                        debug!("{}:{} is in the cache", cache.repo, entry.key);
                        if let Content::Layer(layer) = entry.content {
                            published.0.insert(layer.descriptor.digest);
                        }
                    }
                    Err(error) => {
                        // What takes no entry must not hold up the build with each.
                        is_given_up = true;
                        warn!("A step is not in the cache {}, and no more are sent there: {error:#}", cache.repo);
                    }
                }
            }
            published
        });
        Publisher { queue, sender }
    }

    /// Has an entry sent. Its layer must be among the cache's blobs, whole.
    pub fn send(&self, entry: Entry, place: Place, format: Format, platform: Platform) {
        if self.queue.send(Parcel { entry, place, format, platform }).is_err() {
            warn!("Nothing is sent to the cache any more");
        }
    }

    /// Waits until all is sent.
    pub fn finish(self) -> Published {
        drop(self.queue);
        self.sender.join().unwrap_or_default()
    }
}
