//! gzip on several threads: one member (RFC 1952) of blocks that are compressed each for itself and follow in order.
//!
//! A block may refer to the 32 KiB before it, which are known without compressing them, and ends at a byte (an empty stored block,
//! RFC 1951). Blocks have one size, so the bytes are the same whoever compresses them; a stream of one block is compressed at once,
//! on the writing thread. Memory is bounded by a few blocks a thread.

use std::collections::VecDeque;
use std::io::{Error, Result, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::encode::Level;

/// Bytes of the input in a block.
const BLOCK: usize = 1 << 18;

/// How far back a block may refer: the window of RFC 1951.
const WINDOW: usize = 1 << 15;

/// Bytes in the middle of a block that are tried where it looks like noise.
const TRIED: usize = 1 << 13;

/// Deflate, no flags, no time, no extra flags, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The stream so far: what is not yet a whole block, and the blocks under way.
pub(super) struct Gzip<W: Write> {
    sink: W,
    level: Level,
    threads: usize,
    block: Vec<u8>,
    window: Vec<u8>,
    crc: Crc,
    begun: bool,
    under_way: VecDeque<Receiver<Result<Packed>>>,
    workers: Option<Workers>,
}

/// A block to compress, which others follow.
struct Job {
    block: Vec<u8>,
    window: Vec<u8>,
    done: SyncSender<Result<Packed>>,
}

/// A block that is compressed.
struct Packed {
    bytes: Vec<u8>,
    crc: Crc,
}

impl<W: Write> Gzip<W> {
    pub(super) fn new(sink: W, level: Level, threads: usize) -> Self {
        Gzip {
            sink,
            level,
            threads,
            block: Vec::new(),
            window: Vec::new(),
            crc: Crc::new(),
            begun: false,
            under_way: VecDeque::new(),
            workers: None,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.block.len() == BLOCK {
            self.pass_on()?;
        }
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    pub(super) fn finish(mut self) -> Result<W> {
        let (block, window) = (std::mem::take(&mut self.block), std::mem::take(&mut self.window));
        while let Some(next) = self.under_way.pop_front() {
            self.put(next)?;
        }
        let last = pack(&block, &window, self.level, FlushCompress::Finish)?;
        self.append(&last)?;
        let (sum, amount) = (self.crc.sum().to_le_bytes(), self.crc.amount().to_le_bytes());
        self.sink.write_all(&[sum, amount].concat())?;
        Ok(self.sink)
    }

    /// Gives a whole block, which others follow, to a worker, and takes what is ready from the oldest if there are many.
    fn pass_on(&mut self) -> Result<()> {
        let workers = self.workers.get_or_insert_with(|| Workers::start(self.threads, self.level));
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let window = std::mem::replace(&mut self.window, block[block.len() - WINDOW..].to_vec());
        let (done, packed) = sync_channel(1);
        workers.give(Job { block, window, done })?;
        self.under_way.push_back(packed);
        if self.under_way.len() > 2 * self.threads
            && let Some(oldest) = self.under_way.pop_front()
        {
            self.put(oldest)?;
        }
        Ok(())
    }

    fn put(&mut self, packed: Receiver<Result<Packed>>) -> Result<()> {
        let packed = packed.recv().map_err(|_| Error::other("a thread that compresses ended"))??;
        self.append(&packed)
    }

    fn append(&mut self, packed: &Packed) -> Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            self.sink.write_all(&HEADER)?;
        }
        self.crc.combine(&packed.crc);
        self.sink.write_all(&packed.bytes)
    }
}

/// Threads that compress, until the last job is done.
struct Workers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(threads: usize, level: Level) -> Workers {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let start = |_| {
            let queue = queue.clone();
            std::thread::spawn(move || work(&queue, level))
        };
        Workers { jobs: Some(jobs), threads: (0..threads).map(start).collect() }
    }

    fn give(&self, job: Job) -> Result<()> {
        let given = self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok());
        given.ok_or_else(|| Error::other("the threads that compress ended"))
    }
}

/// A writer that is given up waits for the blocks that are being compressed, and for no more.
impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // It panics only where the compressor does; who waits for its block was told.
            let _ = thread.join();
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>, level: Level) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, window, done }) = next else { return };
        // Nobody waits for it any more: the writer was given up.
        let _ = done.send(pack(&block, &window, level, FlushCompress::Sync));
    }
}

/// Whether a block is not worth compressing: its bytes are about equally frequent, and those in the middle get no smaller, with all
/// before them that they may refer to. It is a function of the block, so that the stream still is one of the input.
fn is_noise(block: &[u8], level: Level) -> Result<bool> {
    if block.len() < 2 * (WINDOW + TRIED) {
        return Ok(false);
    }
    let mut counts = [0_u64; 256];
    block.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    // 256 times this is the square of the length where all are equal; an entropy of 7.9 bits a byte is 1.07 times as much.
    let squares: u64 = counts.iter().map(|count| count * count).sum();
    let length = block.len() as u64;
    if squares * 256 > length * length / 100 * 107 {
        return Ok(false);
    }
    let middle = block.len() / 2;
    let mut compress = Compress::new(Compression::new(level.number()), false);
    compress.set_dictionary(&block[middle - WINDOW..middle])?;
    let mut packed = Vec::with_capacity(TRIED + 64);
    compress.compress_vec(&block[middle..middle + TRIED], &mut packed, FlushCompress::Sync)?;
    Ok(packed.len() > TRIED - TRIED / 32)
}

/// Compresses a block, or stores it where that is no use. With a compressor of its own: one that was used before and reset is quicker by a percent, but what it writes
/// then depends on what it was used for.
fn pack(block: &[u8], window: &[u8], level: Level, end: FlushCompress) -> Result<Packed> {
    let number = if is_noise(block, level)? { 0 } else { level.number() };
    let mut compress = Compress::new(Compression::new(number), false);
    if number > 0 && !window.is_empty() {
        compress.set_dictionary(window)?;
    }
    let mut crc = Crc::new();
    crc.update(block);
    let mut bytes = Vec::with_capacity(if number == 0 { block.len() + 1024 } else { block.len() / 2 + 64 });
    loop {
        let read = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        let status = compress.compress_vec(&block[read..], &mut bytes, end)?;
        let is_done = match end {
            FlushCompress::Finish => status == Status::StreamEnd,
            // Whatever was left in the compressor fitted.
            _ => compress.total_in() == block.len() as u64 && bytes.len() < bytes.capacity(),
        };
        if is_done {
            return Ok(Packed { bytes, crc });
        }
        bytes.reserve(bytes.capacity().max(1 << 12));
    }
}
