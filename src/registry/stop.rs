//! Ending downloads that nobody waits for any more.

use std::pin::pin;

use futures_util::future::{Either, select};
use tokio::sync::Semaphore;

use super::Error;

/// Ends all downloads that were told of it, now and later, from any thread; what is here by then stays.
#[derive(Debug)]
pub struct Stop(Semaphore);

impl Default for Stop {
    fn default() -> Self {
        Stop(Semaphore::new(0))
    }
}

impl Stop {
    /// Ends them.
    pub fn stop(&self) {
        self.0.close();
    }

    /// Carries `work` out until it is done or to stop.
    pub(super) async fn end(&self, work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        // There is nothing to be had before the end.
        match select(pin!(work), pin!(self.0.acquire())).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => Ok(()),
        }
    }
}
