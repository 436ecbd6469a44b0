//! Reading ahead: a stream is read (decoded, hashed) on a thread of its own, a few blocks before whoever uses it.

use std::io::{Read, Result};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, Builder};

const BLOCK: usize = 256 << 10;
/// So many blocks wait at most.
const BLOCKS: usize = 4;

/// What was read ahead.
#[derive(Debug)]
pub struct Ahead {
    blocks: Receiver<Result<Vec<u8>>>,
    used: Sender<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
}

/// Calls `consume` with what another thread reads of `stream`, to its end unless `consume` leaves something. That `stream`
/// has been read to its end says that `consume` met no error of it.
///
/// # Errors
/// There is no thread to be had.
pub fn ahead<T>(stream: &mut (impl Read + Send), consume: impl FnOnce(&mut Ahead) -> T) -> Result<T> {
    thread::scope(|scope| {
        let ((full, blocks), (used, empty)) = (sync_channel(BLOCKS), channel());
        Builder::new().spawn_scoped(scope, move || supply(stream, &full, &empty))?;
        let mut ahead = Ahead { blocks, used, block: Vec::new(), at: 0 };
        let consumed = consume(&mut ahead);
        drop(ahead);
        Ok(consumed)
    })
}

/// Reads blocks until the end, an error, or nobody wants them any more.
fn supply(stream: &mut impl Read, full: &SyncSender<Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut block = empty.try_recv().unwrap_or_default();
        block.resize(BLOCK, 0);
        let read = fill(stream, &mut block).map(|length| {
            block.truncate(length);
            block
        });
        let is_last = read.as_ref().map_or(true, |block| block.len() < BLOCK);
        if full.send(read).is_err() || is_last {
            return;
        }
    }
}

fn fill(stream: &mut impl Read, block: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match stream.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.at == self.block.len() {
            let used = std::mem::take(&mut self.block);
            if !used.is_empty() {
                // Where nobody reads any more, nobody needs room either.
                let _ = self.used.send(used);
            }
            self.at = 0;
            self.block = match self.blocks.recv() {
                Ok(read) => read?,
                Err(_) => return Ok(0),
            };
        }
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
