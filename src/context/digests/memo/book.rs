//! What is known of one file system: the records of a memo, and what this build learned.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use super::binding::Binding;
use super::format::{self, LARGEST, MOST, Record, Records, Stamp};
use crate::context::digests::row::Body;
use crate::rootfs::Node;

/// A record that no build used while so many memos were written is left out of the next.
pub(super) const OLDEST: u8 = 16;
/// The most memos, of one file system each, in a directory.
const MOST_MEMOS: usize = 16;
const LOCK: &str = "lock";

/// Records of one file system.
#[derive(Debug)]
pub(in crate::context::digests) struct Book {
    binding: Binding,
    old: Records,
    /// Which of the old ones were of use.
    used: Vec<AtomicBool>,
    new: RwLock<HashMap<u64, Record>>,
}

impl Book {
    /// What the memos in `dir` say.
    pub(super) fn open(dir: &Path, binding: Binding) -> Book {
        let old = read(&file(dir, &binding), &binding);
        let used = (0..old.len()).map(|_| AtomicBool::new(false)).collect();
        Book { binding, old, used, new: RwLock::default() }
    }

    /// How many records an earlier build left.
    pub(super) fn len(&self) -> usize {
        self.old.len()
    }

    /// Whether what is read of a file may be kept.
    pub(in crate::context::digests) fn covers(&self, node: &Node) -> bool {
        node.inode.dev == self.binding.dev
    }

    /// What reading `node` would give, if its stamp is that of a record.
    pub(in crate::context::digests) fn body(&self, node: &Node) -> Option<Body> {
        if !self.covers(node) {
            return None;
        }
        let stamp = Stamp::of(node);
        if let Some(at) = self.old.find(stamp.ino())
            && let Some((record, _)) = self.old.get(at).filter(|(record, _)| record.stamp == stamp)
        {
            self.used[at].store(true, Ordering::Relaxed);
            return Some(record.body);
        }
        let new = self.new.read().unwrap_or_else(PoisonError::into_inner);
        new.get(&stamp.ino()).filter(|record| record.stamp == stamp).map(|record| record.body)
    }

    /// Adds what was read.
    pub(in crate::context::digests) fn learn(&self, learned: Vec<Record>) {
        let mut new = self.new.write().unwrap_or_else(PoisonError::into_inner);
        new.extend(learned.into_iter().map(|record| (record.stamp.ino(), record)));
    }

    /// Writes old and new to `dir`, if there is anything new. What other builds wrote meanwhile is kept.
    pub(super) fn save(&self, dir: &Path) -> io::Result<()> {
        let new = self.new.read().unwrap_or_else(PoisonError::into_inner);
        if new.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(dir)?;
        let lock =
            File::options().create(true).truncate(false).write(true).custom_flags(at_once()).open(dir.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::Error::other("another build writes them"),
        })?;
        let path = file(dir, &self.binding);
        let records = self.merged(&read(&path, &self.binding), &new);
        let mut sink = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
        sink.write_all(&format::write(&self.binding.whole, &records))?;
        sink.persist(&path).map_err(|error| error.error)?;
        prune(dir, &path)
    }

    /// The records of the next memo: `current` is what the last one says.
    fn merged(&self, current: &Records, new: &HashMap<u64, Record>) -> Vec<(Record, u8)> {
        let mut records: Vec<(Record, u8)> = new.values().map(|record| (*record, 0)).collect();
        let mut used = (0..self.old.len()).filter(|at| self.used[*at].load(Ordering::Relaxed)).peekable();
        for at in 0..current.len() {
            let ino = current.inode(at);
            while used.next_if(|used| self.old.inode(*used) < ino).is_some() {}
            let is_used = used.peek().is_some_and(|used| self.old.inode(*used) == ino);
            let Some((record, age)) = current.get(at).filter(|_| !new.contains_key(&ino)) else { continue };
            let age = if is_used { 0 } else { age.saturating_add(1) };
            if age <= OLDEST {
                records.push((record, age));
            }
        }
        if records.len() > MOST {
            records.select_nth_unstable_by_key(MOST, |(_, age)| *age);
            records.truncate(MOST);
        }
        records.sort_unstable_by_key(|(record, _)| record.stamp.ino());
        records
    }
}

fn file(dir: &Path, binding: &Binding) -> PathBuf {
    let name: String = binding.name[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    dir.join(name)
}

/// Whoever opens a pipe that stands there must not wait for its other end, and a link is none of ours.
fn at_once() -> i32 {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    i32::try_from(flags.bits()).unwrap_or_default()
}

/// The records in the file; none if it is not there, not whole or bound to something else.
fn read(path: &Path, binding: &Binding) -> Records {
    let open = || -> io::Result<Vec<u8>> {
        let file = File::options().read(true).custom_flags(at_once()).open(path)?;
        let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len().min(LARGEST)).unwrap_or(0));
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    open().ok().and_then(|bytes| Records::parse(bytes, &binding.whole)).unwrap_or_default()
}

/// Removes the memos that were written longest ago, where there are too many, and what a killed build left.
fn prune(dir: &Path, own: &Path) -> io::Result<()> {
    let mut memos = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if path != own && entry.file_name() != LOCK {
            memos.push((entry.metadata()?.modified()?, path));
        }
    }
    memos.sort();
    let is_left_over = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".new-"));
    let (left_over, mut memos): (Vec<_>, Vec<_>) = memos.into_iter().partition(|(_, path)| is_left_over(path));
    memos.truncate((memos.len() + 1).saturating_sub(MOST_MEMOS));
    left_over.iter().chain(&memos).try_for_each(|(_, path)| fs::remove_file(path))
}
