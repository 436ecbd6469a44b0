//! Which blobs this client has brought to which repositories, so that each goes once, whoever wants it there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::oci::{Digest, Repository};
use crate::registry::Error;

/// For so long a registry is believed to keep a blob of which no manifest speaks. Some collect those after an hour.
const KEPT: Duration = Duration::from_secs(15 * 60);

/// When a blob was brought, by the first who did so.
type Once = Arc<OnceCell<Instant>>;

/// What was brought, and when.
#[derive(Debug, Default)]
pub(in crate::registry) struct Sent(Mutex<BTreeMap<(Repository, Digest), Once>>);

impl Sent {
    /// Has `bring` see to it that `repository` has a blob, unless that was done; while another does so, it waits for that.
    pub(super) async fn once(
        &self,
        repository: &Repository,
        digest: &Digest,
        bring: impl AsyncFn() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let key = (repository.clone(), digest.clone());
        let cell = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let since = cell.get_or_try_init(async || bring().await.map(|()| Instant::now())).await?;
        if since.elapsed() < KEPT { Ok(()) } else { bring().await }
    }
}
