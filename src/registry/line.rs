//! The connections to one host: as many as are allowed, and each serves one request at a time.
//!
//! A pool of several connections does not keep a limit: a request that finds none idle dials, and if another is given back in the
//! meantime it takes that one, while what it dialled joins the pool all the same. So each connection has a client, and thereby a
//! pool, of its own. Where HTTP/2 is spoken the first serves all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{Client, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// How often other tasks of the runtime get their chance before a connection is taken to be back in its pool. It goes there in two
/// or three steps, each of which is ready when the body's end was read. A count and no time: a busy machine is late with both.
const SETTLING: u32 = 16;

/// The connections to one host, and whose turn it is.
pub(super) struct Line {
    clients: Vec<Client>,
    free: Mutex<Vec<usize>>,
    turns: Arc<Semaphore>,
    is_shared: AtomicBool,
}

impl Line {
    /// A line with a connection of each of `clients`, of which there must be one.
    pub(super) fn new(clients: Vec<Client>) -> Arc<Line> {
        let (free, turns) = ((0..clients.len()).rev().collect(), Arc::new(Semaphore::new(clients.len())));
        Arc::new(Line { clients, free: Mutex::new(free), turns, is_shared: AtomicBool::new(false) })
    }

    /// Waits until a connection is free. Whoever has a turn must not wait for another one.
    pub(super) async fn turn(self: Arc<Self>) -> Turn {
        let permit = self.turns.clone().acquire_owned().await.ok();
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or(0);
        Turn { number, permit, line: self }
    }
}

/// The use of one connection, until it is dropped.
pub(super) struct Turn {
    line: Arc<Line>,
    number: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// What to make the request with.
    pub(super) fn http(&self) -> &Client {
        let number = if self.line.is_shared.load(Ordering::Relaxed) { 0 } else { self.number };
        &self.line.clients[number]
    }

    /// Learns what the host speaks.
    pub(super) fn spoke(&self, version: Version) {
        self.line.is_shared.store(version >= Version::HTTP_2, Ordering::Relaxed);
    }

    /// Ends the turn after the whole answer was read; whoever is next finds the connection in its pool.
    pub(super) async fn end(mut self) {
        if let Some(settling) = self.give_back() {
            // It does nothing that could panic, and a runtime that ends has no next one.
            let _ = settling.await;
        }
    }

    fn give_back(&mut self) -> Option<JoinHandle<()>> {
        let (line, number) = (self.line.clone(), self.number);
        let permit = self.permit.take()?;
        let give_back = move || {
            line.free.lock().unwrap_or_else(PoisonError::into_inner).push(number);
            drop(permit);
        };
        let runtime = tokio::runtime::Handle::try_current().ok();
        let Some(runtime) = runtime.filter(|_| !self.line.is_shared.load(Ordering::Relaxed)) else {
            give_back();
            return None;
        };
        Some(runtime.spawn(async move {
            for _ in 0..SETTLING {
                tokio::task::yield_now().await;
            }
            give_back();
        }))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.give_back());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::policy::{Certificate, Policy};
    use crate::registry::transport::Transport;

    fn with_two(test: impl AsyncFn(Arc<Line>)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let transport = Transport::new(&Policy { connections: 2, ..Policy::default() }).expect("a transport");
        runtime.block_on(test(transport.line("r", "r", Certificate::Verified).expect("a line")));
    }

    #[test]
    fn a_connection_serves_one_at_a_time() {
        with_two(async |line| {
            let (first, second) = (line.clone().turn().await, line.clone().turn().await);
            assert_eq!((first.number, second.number), (0, 1));
            let third = tokio::spawn(line.clone().turn());
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            assert!(!third.is_finished(), "both are taken");
            drop(second);
            assert_eq!(third.await.expect("a turn").number, 1);
            drop(first);
        });
    }

    #[test]
    fn one_connection_of_http_2_is_for_all() {
        with_two(async |line| {
            let turns = [line.clone().turn().await, line.clone().turn().await];
            let is_first = |turn: &Turn| std::ptr::eq(turn.http(), &raw const line.clients[0]);
            assert!(!is_first(&turns[1]));
            turns[0].spoke(Version::HTTP_2);
            assert!(is_first(&turns[1]));
            turns[0].spoke(Version::HTTP_11);
            assert!(!is_first(&turns[1]));
        });
    }
}
