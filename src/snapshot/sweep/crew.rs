//! Work that makes more work, shared by threads: each keeps what it finds, and gives half away when another has none.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder};

use anyhow::Result;

/// Does all of `todo` and what `work` adds to its last argument, on up to `threads` threads of which the caller's is one, each
/// with a state of its own from `start`; returns the states. After an error the rest is left and one error returned.
pub(super) fn share<T: Send, S: Send>(
    threads: usize,
    todo: Vec<T>,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T, &mut Vec<T>) -> Result<()> + Sync,
) -> Result<Vec<S>> {
    let pool = Pool::new(todo);
    thread::scope(|scope| {
        let member = || pool.take_part(start(), &work);
        // A thread that cannot be had is done without.
        let others: Vec<_> = (1..threads).filter_map(|_| Builder::new().spawn_scoped(scope, member).ok()).collect();
        let mut outcomes = vec![member()];
        outcomes.extend(
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
        );
        outcomes.into_iter().collect()
    })
}

struct Pool<T> {
    shared: Mutex<Shared<T>>,
    wake: Condvar,
    /// As in `shared`, to look at without the lock.
    idle: AtomicUsize,
    failed: AtomicBool,
}

struct Shared<T> {
    todo: Vec<T>,
    members: usize,
    idle: usize,
}

/// A thread's place in the pool, given up however its work ends.
struct Member<'p, T>(&'p Pool<T>);

impl<T> Pool<T> {
    fn new(todo: Vec<T>) -> Self {
        let shared = Mutex::new(Shared { todo, members: 0, idle: 0 });
        Pool { shared, wake: Condvar::new(), idle: AtomicUsize::new(0), failed: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, Shared<T>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_part<S>(&self, mut state: S, work: impl Fn(&mut S, T, &mut Vec<T>) -> Result<()>) -> Result<S> {
        let member = Member::join(self);
        let mut own = Vec::new();
        while let Some(item) = own.pop().or_else(|| member.wait()) {
            if self.failed.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = work(&mut state, item, &mut own) {
                self.failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
            if own.len() > 1 && self.idle.load(Ordering::Relaxed) > 0 {
                // The oldest is nearest to the top, so most is below it.
                let half = own.len() / 2;
                self.lock().todo.extend(own.drain(..half));
                self.wake.notify_all();
            }
        }
        Ok(state)
    }
}

impl<'p, T> Member<'p, T> {
    fn join(pool: &'p Pool<T>) -> Self {
        pool.lock().members += 1;
        Member(pool)
    }

    /// Something that another member gave away; nothing, once all members have nothing.
    fn wait(&self) -> Option<T> {
        let Member(pool) = self;
        let mut shared = pool.lock();
        shared.idle += 1;
        loop {
            pool.idle.store(shared.idle, Ordering::Relaxed);
            let item = shared.todo.pop();
            if item.is_some() || shared.idle >= shared.members {
                shared.idle -= usize::from(item.is_some());
                pool.idle.store(shared.idle, Ordering::Relaxed);
                return item;
            }
            shared = pool.wake.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Drop for Member<'_, T> {
    fn drop(&mut self) {
        self.0.lock().members -= 1;
        self.0.wake.notify_all();
    }
}
