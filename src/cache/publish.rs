//! Entries leave for the cache in the background, while the build goes on. What fails is a warning.

use std::collections::BTreeSet;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

use tracing::{debug, warn};

use super::{Cache, Content, Entry, Place};
use crate::layer::{Pending, Unfinished};
use crate::oci::{Digest, Format, Platform};

/// An entry on its way, and what its image is like.
pub struct Parcel {
    /// The entry. Its content is [`Parcel::layer`], if there is one.
    pub entry: Entry,
    /// The layer, whose blob may still be in the making.
    pub layer: Option<Pending>,
    /// Where it stands.
    pub place: Place,
    /// The format of the image.
    pub format: Format,
    /// What the image is for.
    pub platform: Platform,
}

impl Parcel {
    /// Waits for the layer.
    fn whole(&mut self) -> Result<(), Unfinished> {
        if let Some(layer) = &self.layer {
            self.entry.content = Content::Layer(Box::new(layer.wait()?));
        }
        Ok(())
    }
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
            for mut parcel in parcels {
                if is_given_up || cache.is_silent() {
                    continue;
                }
                if let Err(error) = parcel.whole() {
                    debug!("{}:{} is not in the cache: {error}", cache.repo, parcel.entry.key);
                    continue;
                }
                let Parcel { entry, place, format, platform, .. } = parcel;
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

    /// Has an entry sent, once its layer is among the cache's blobs.
    pub fn send(&self, parcel: Parcel) {
        if self.queue.send(parcel).is_err() {
            warn!("Nothing is sent to the cache any more");
        }
    }

    /// Waits until all is sent.
    pub fn finish(self) -> Published {
        drop(self.queue);
        self.sender.join().unwrap_or_default()
    }
}
