//! Queues whose reader is late, quick or gone.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use super::*;

/// Bytes of which no two pieces are the same.
fn sample(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}

fn used(memory: &Arc<Memory>) -> usize {
    *memory.lock()
}

/// A directory on a disk: the usual one may be in memory, where nothing is spilled.
fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory")
}

#[test]
fn a_late_reader_gets_all_in_order_and_memory_stays_bounded() {
    let dir = on_disk();
    let memory = Memory::new(3 * PIECE);
    let data = sample(20 * PIECE + 77);
    let (mut writer, mut reader) = spool(&memory, Pace::Spill(dir.path().to_owned()));
    for part in data.chunks(100_000) {
        writer.write_all(part).expect("written");
        assert!(used(&memory) <= 3 * PIECE);
    }
    let spilled = writer.finish().expect("finished");
    assert_eq!(spilled, 17 * PIECE as u64, "what the memory does not hold is in the file, but for a short end");
    assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0, "which has no name");
    let mut back = Vec::new();
    reader.read_to_end(&mut back).expect("read");
    assert!(back == data);
    assert_eq!(used(&memory), 0);
}

#[test]
fn the_place_of_what_was_read_is_written_to_again() {
    let dir = on_disk();
    let memory = Memory::new(PIECE);
    let (mut writer, mut reader) = spool(&memory, Pace::Spill(dir.path().to_owned()));
    let data = sample(40 * PIECE);
    let mut back = Vec::new();
    for (number, part) in data.chunks(4 * PIECE).enumerate() {
        writer.write_all(part).expect("written");
        let from = back.len();
        back.resize(4 * PIECE * (number + 1) - writer.piece.len(), 0);
        reader.read_exact(&mut back[from..]).expect("read");
    }
    let longest = writer.file.as_ref().expect("a file").end;
    assert!(longest <= 6 * PIECE as u64, "{longest} bytes for 4 pieces at a time");
    writer.finish().expect("finished");
    reader.read_to_end(&mut back).expect("read");
    assert!(back == data);
}

#[test]
fn what_fits_into_memory_is_not_spilled() {
    let memory = Memory::new(4 * PIECE);
    let (mut writer, mut reader) = spool(&memory, Pace::Spill("/no/such/directory".into()));
    let data = sample(3 * PIECE);
    writer.write_all(&data).expect("written");
    assert_eq!(writer.finish().expect("finished"), 0);
    let mut back = Vec::new();
    reader.read_to_end(&mut back).expect("read");
    assert!(back == data);
}

#[test]
fn a_writer_that_may_not_spill_waits_for_the_reader() {
    for pace in [Pace::Wait, Pace::Spill("/no/such/directory".into())] {
        let memory = Memory::new(2 * PIECE);
        let data = sample(30 * PIECE);
        let (mut writer, mut reader) = spool(&memory, pace);
        let back = std::thread::scope(|scope| {
            let written = scope.spawn(|| writer.write_all(&data).and_then(|()| writer.finish()));
            let mut back = Vec::new();
            let mut part = vec![0; 10_000];
            loop {
                assert!(used(&memory) <= 2 * PIECE);
                match reader.read(&mut part).expect("read") {
                    0 => break,
                    count => back.extend_from_slice(&part[..count]),
                }
            }
            assert_eq!(written.join().expect("no panic").expect("written"), 0, "nothing was spilled");
            back
        });
        assert!(back == data);
    }
}

#[test]
fn queues_share_the_memory_and_the_first_makes_room_for_the_second() {
    let memory = Memory::new(2 * PIECE);
    let (mut first, mut from_first) = spool(&memory, Pace::Wait);
    first.write_all(&sample(2 * PIECE)).expect("written");
    first.finish().expect("finished");
    let (mut second, mut from_second) = spool(&memory, Pace::Wait);
    std::thread::scope(|scope| {
        let written = scope.spawn(move || second.write_all(&sample(PIECE)).and_then(|()| second.finish()));
        let mut back = Vec::new();
        from_first.read_to_end(&mut back).expect("read");
        assert_eq!(back.len(), 2 * PIECE);
        from_second.read_to_end(&mut back).expect("read");
        assert_eq!(back.len(), 3 * PIECE);
        written.join().expect("no panic").expect("written");
    });
}

#[test]
fn a_writer_without_a_reader_fails_and_waits_for_nothing() {
    let memory = Memory::new(2 * PIECE);
    let (mut writer, reader) = spool(&memory, Pace::Wait);
    writer.write_all(&sample(2 * PIECE)).expect("written");
    std::thread::scope(|scope| {
        let failed = scope.spawn(|| writer.write_all(&sample(9 * PIECE)));
        drop(reader);
        let error = failed.join().expect("no panic").expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
    assert!(writer.is_refused());
    assert_eq!(used(&memory), 0, "what it had is given back");
}

#[test]
fn a_reader_whose_writer_was_dropped_fails_after_what_there_was() {
    let memory = Memory::new(4 * PIECE);
    let (mut writer, mut reader) = spool(&memory, Pace::Wait);
    writer.write_all(&sample(PIECE + 1)).expect("written");
    drop(writer);
    let mut back = Vec::new();
    let error = reader.read_to_end(&mut back).expect_err("cut");
    assert_eq!((error.kind(), back.len()), (ErrorKind::UnexpectedEof, PIECE));
}
