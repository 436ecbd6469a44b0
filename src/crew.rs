//! Work that makes more work, shared by threads: each keeps what it finds, and gives half away when another has none.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder};

/// Fewer paths than this are not worth a thread.
const SHARE: usize = 2_000;

/// More threads than this are not started: a pod without a limit sees all cores of a node that it shares.
const MOST: usize = 16;

/// How many threads are worth having for a look at so many paths.
pub fn threads_for(paths: usize) -> usize {
    threads().min(1 + paths / SHARE)
}

/// How many threads are worth having for a look at many paths, on the cores that the cgroup and the affinity leave.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST)
}

/// Does all of `todo` and what `work` adds to its last argument, on up to `threads` threads of which the caller's is one, each
/// with a state of its own from `start`; returns the states. After an error the rest is left and one error returned.
pub fn share<T: Send, S: Send, E: Send>(
    threads: usize,
    todo: Vec<T>,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T, &mut Vec<T>) -> Result<(), E> + Sync,
) -> Result<Vec<S>, E> {
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

    fn take_part<S, E>(&self, mut state: S, work: impl Fn(&mut S, T, &mut Vec<T>) -> Result<(), E>) -> Result<S, E> {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn many_folders_are_shared_and_none_is_lost() {
        let visited = |threads| {
            let start = BTreeSet::new;
            let work = |seen: &mut BTreeSet<u64>, number: u64, more: &mut Vec<u64>| {
                assert!(seen.insert(number));
                more.extend((1..=3).map(|child| number * 4 + child).filter(|child| *child < 20_000));
                Ok::<(), ()>(())
            };
            let parts = share(threads, vec![0], start, work).expect("no error");
            let total: usize = parts.iter().map(BTreeSet::len).sum();
            let all: BTreeSet<u64> = parts.into_iter().flatten().collect();
            assert_eq!(total, all.len(), "visited once each");
            all
        };
        let expected = visited(1);
        assert!(expected.len() > 3000);
        (2..=8).for_each(|threads| assert_eq!(visited(threads), expected));
    }

    #[test]
    fn an_error_or_a_panic_of_one_thread_ends_all() {
        let run = |bad: fn() -> Result<(), String>| {
            let work = move |_: &mut (), number: u64, more: &mut Vec<u64>| {
                more.extend([number + 1, number + 1].into_iter().filter(|next| *next < 12));
                if number == 11 { bad() } else { Ok(()) }
            };
            std::panic::catch_unwind(|| share(4, vec![0], || (), work).map(|states| states.len()))
        };
        let error = run(|| Err("broken".to_owned())).expect("no panic").expect_err("the error");
        assert_eq!(error, "broken");
        assert!(run(|| panic!("a panic of this test")).is_err());
    }
}
