//! The bytes of a tar between whoever writes it and whoever compresses it, in order.
//!
//! The writer shall not wait where a step is about to begin, and a layer has no bound. So what is too much for the memory that all
//! queues of a build share goes into a file without a name, and is read back from there. Where nothing is about to begin, or the
//! file may not grow, the writer waits. The file takes at most a quarter of the space that was free, since steps need it, and
//! none of a file system in memory; the place of what was read is written to again. (Holes would give it back early, but ext4 of
//! older kernels writes out first what a hole is made of.)

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::fstatfs;
use tracing::debug;

/// Bytes that pass at once.
const PIECE: usize = 1 << 18;

/// What is no longer than this is kept in memory anyway, in bytes: most layers are, and a file would cost more.
const SMALL: usize = 1 << 15;

/// The share of the free space that may be used.
const SHARE: u64 = 4;

/// `statfs(2)`'s types of the file systems whose space is memory: tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// The memory that the queues of a build share.
#[derive(Debug)]
pub struct Memory {
    most: usize,
    used: Mutex<usize>,
    freed: Condvar,
}

/// Bytes in that memory.
struct Held {
    bytes: Vec<u8>,
    memory: Arc<Memory>,
}

/// What a writer does where the memory is full.
#[derive(Clone, Debug)]
pub enum Pace {
    /// It puts what is too much into a file in this directory.
    Spill(PathBuf),
    /// It waits for the reader.
    Wait,
}

/// What is under way, and from where it is read.
enum Piece {
    Memory(Held),
    File { file: Arc<File>, at: u64, length: usize },
}

/// How much is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    More,
    Whole,
    /// The writer was dropped.
    Cut,
}

struct State {
    pieces: VecDeque<Piece>,
    /// Places in the file whose pieces were read.
    free: Vec<u64>,
    end: End,
    /// Whether there is a reader.
    is_read: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The end where bytes go in. Dropped before it is finished, it has the reader fail.
pub struct SpoolWriter {
    shared: Arc<Shared>,
    memory: Arc<Memory>,
    pace: Pace,
    file: Option<Spill>,
    piece: Vec<u8>,
    spilled: u64,
}

/// A file that takes what is too much.
struct Spill {
    file: Arc<File>,
    end: u64,
    room: u64,
}

/// The end where they come out. Once it is dropped, the writer fails.
pub struct SpoolReader {
    shared: Arc<Shared>,
    piece: Option<Held>,
    from_file: Vec<u8>,
    at: usize,
}

/// An empty queue.
pub fn spool(memory: &Arc<Memory>, pace: Pace) -> (SpoolWriter, SpoolReader) {
    let state = State { pieces: VecDeque::new(), free: Vec::new(), end: End::More, is_read: true };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    let reader = SpoolReader { shared: shared.clone(), piece: None, from_file: Vec::new(), at: 0 };
    let memory = memory.clone();
    (SpoolWriter { shared, memory, pace, file: None, piece: Vec::new(), spilled: 0 }, reader)
}

impl Memory {
    /// Room for `most` bytes, and at least for one piece of each end of a queue.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Memory { most: most.max(PIECE), used: Mutex::new(0), freed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps `bytes` if there is room or they are few, otherwise gives them back.
    fn try_hold(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Held, Vec<u8>> {
        let mut used = self.lock();
        if bytes.len() > SMALL && *used + bytes.len() > self.most {
            return Err(bytes);
        }
        *used += bytes.len();
        Ok(Held { bytes, memory: self.clone() })
    }

    /// Waits for room. What takes it is read in the order in which it came, so the oldest makes room without anybody's help.
    fn hold(self: &Arc<Self>, bytes: Vec<u8>) -> Held {
        let is_full = |used: &mut usize| *used + bytes.len() > self.most;
        let mut used = self.freed.wait_while(self.lock(), is_full).unwrap_or_else(PoisonError::into_inner);
        *used += bytes.len();
        Held { bytes, memory: self.clone() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.memory.lock() -= self.bytes.len();
        self.memory.freed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spill {
    /// A file in `dir`; nothing where none can be had or there is no room for it.
    fn open(dir: &Path) -> Option<Spill> {
        let opened = tempfile::tempfile_in(dir).and_then(|file| Ok((room(&file)?, file)));
        let opened = opened.inspect_err(|error| debug!("nothing is spilled into {}: {error}", dir.display()));
        let (room, file) = opened.ok()?;
        Some(Spill { file: Arc::new(file), end: 0, room })
    }

    /// Puts `bytes` there, at a place that is `free` or at the end, if that is not too far.
    fn put(&mut self, bytes: &[u8], free: Option<u64>) -> Option<Piece> {
        let at = free.unwrap_or(self.end);
        let end = self.end.max(at + PIECE as u64);
        if end > self.room {
            return None;
        }
        if let Err(error) = self.file.write_all_at(bytes, at) {
            debug!("nothing more is spilled: {error}");
            self.room = 0;
            return None;
        }
        self.end = end;
        Some(Piece::File { file: self.file.clone(), at, length: bytes.len() })
    }
}

/// How large a file may become where this one is.
fn room(file: &File) -> io::Result<u64> {
    let found = fstatfs(file)?;
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "their types differ between architectures")]
    let (kind, free) = (found.f_type as u64, (found.f_bavail as u64).saturating_mul(found.f_bsize as u64));
    Ok(if IN_MEMORY.contains(&(kind & 0xffff_ffff)) { 0 } else { free / SHARE })
}

impl SpoolWriter {
    /// Says that this is all. Returns how many bytes went through the file.
    ///
    /// # Errors
    /// There is no reader.
    pub fn finish(mut self) -> io::Result<u64> {
        self.pass_on()?;
        self.end(End::Whole);
        Ok(self.spilled)
    }

    /// Whether the reader was dropped, so that nothing more is taken.
    pub fn is_refused(&self) -> bool {
        !self.shared.lock().is_read
    }

    fn end(&self, end: End) {
        let mut state = self.shared.lock();
        if state.end == End::More {
            state.end = end;
        }
        self.shared.changed.notify_all();
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.piece);
        let piece = match self.memory.try_hold(bytes) {
            Ok(held) => Piece::Memory(held),
            Err(bytes) => match self.spill(&bytes) {
                Some(piece) => {
                    self.piece = bytes;
                    self.piece.clear();
                    piece
                }
                None => Piece::Memory(self.memory.hold(bytes)),
            },
        };
        let mut state = self.shared.lock();
        if !state.is_read {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the layer any more"));
        }
        if let Piece::File { length, .. } = &piece {
            self.spilled += *length as u64;
        }
        state.pieces.push_back(piece);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn spill(&mut self, bytes: &[u8]) -> Option<Piece> {
        let Pace::Spill(dir) = &self.pace else { return None };
        if self.file.is_none() {
            match Spill::open(dir) {
                Some(file) => self.file = Some(file),
                None => self.pace = Pace::Wait,
            }
        }
        let file = self.file.as_mut()?;
        let free = self.shared.lock().free.pop();
        file.put(bytes, free)
    }
}

impl Write for SpoolWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE {
            self.pass_on()?;
            // More is likely to come.
            self.piece.reserve_exact(PIECE);
        }
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        self.end(End::Cut);
    }
}

impl SpoolReader {
    /// Waits for the next piece; nothing after the last.
    fn next(&self) -> io::Result<Option<Piece>> {
        let mut state = self.shared.lock();
        loop {
            if let Some(piece) = state.pieces.pop_front() {
                return Ok(Some(piece));
            }
            match state.end {
                End::Whole => return Ok(None),
                End::Cut => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the tar was not written whole")),
                End::More => state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn current(&self) -> &[u8] {
        let bytes = self.piece.as_ref().map_or(self.from_file.as_slice(), |held| held.bytes.as_slice());
        bytes.get(self.at..).unwrap_or_default()
    }
}

impl BufRead for SpoolReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current().is_empty() {
            self.piece = None;
            self.from_file.clear();
            self.at = 0;
            match self.next()? {
                Some(Piece::Memory(held)) => self.piece = Some(held),
                Some(Piece::File { file, at, length }) => {
                    self.from_file.resize(length, 0);
                    file.read_exact_at(&mut self.from_file, at)?;
                    self.shared.lock().free.push(at);
                }
                None => {}
            }
        }
        Ok(self.current())
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl Drop for SpoolReader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_read = false;
        // The memory is others' as well.
        let left = std::mem::take(&mut state.pieces);
        drop(state);
        drop(left);
    }
}

#[cfg(test)]
mod tests;
