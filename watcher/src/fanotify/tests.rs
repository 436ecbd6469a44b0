//! Bytes recorded from a kernel, and bytes that no kernel sends.

use libc::{
    FAN_EVENT_INFO_TYPE_DFID as SELF, FAN_EVENT_INFO_TYPE_DFID_NAME as AT, FAN_EVENT_INFO_TYPE_FID as TARGET,
    FAN_EVENT_INFO_TYPE_NEW_DFID_NAME as NEW, FAN_EVENT_INFO_TYPE_OLD_DFID_NAME as OLD,
};

use super::*;
use crate::samples::{event, hex, named, record, text};

/// Read on Linux 6.18 from ext4, whose root is inode 2.
const RECORDED: [(&str, &str); 5] = [
    // A file f made, written and closed: one merged event.
    (
        "54000000030018000a01000000000000ffffffff9c440000020020009e33feb262e8356608000000010000000200000000000000\
         6600000001001c009e33feb262e8356608000000010000000c000000b59537de",
        "10a 2/f=12",
    ),
    // It is renamed to golden.
    (
        "78000000030018000000001000000000ffffffff9c4400000a0020009e33feb262e8356608000000010000000200000000000000\
         660000000c0024009e33feb262e8356608000000010000000200000000000000676f6c64656e000001001c009e33feb262e83566\
         08000000010000000c000000b59537de",
        "10000000 2/f>2/golden=12",
    ),
    // A directory d is made, and its mode changed.
    (
        "54000000030018000001004000000000ffffffff9c440000020020009e33feb262e8356608000000010000000200000000000000\
         6400000001001c009e33feb262e83566080000000100000001080000d07a72e038000000030018000400004000000000ffffffff\
         9c440000020020009e33feb262e83566080000000100000001080000d07a72e02e000000",
        "40000100 2/d=2049, 40000004 2049/.",
    ),
    // A link d/link to the file.
    (
        "34000000030018000400000000000000ffffffff9c44000001001c009e33feb262e8356608000000010000000c000000b59537de\
         58000000030018000001000000000000ffffffff9c440000020024009e33feb262e83566080000000100000001080000d07a72e0\
         6c696e6b0000000001001c009e33feb262e8356608000000010000000c000000b59537de",
        "4=12, 100 2049/link=12",
    ),
    // golden is removed.
    (
        "34000000030018000400000000000000ffffffff9c44000001001c009e33feb262e8356608000000010000000c000000b59537de\
         58000000030018000002000000000000ffffffff9c440000020024009e33feb262e8356608000000010000000200000000000000\
         676f6c64656e000001001c009e33feb262e8356608000000010000000c000000b59537de",
        "4=12, 200 2/golden=12",
    ),
];

#[test]
fn recorded_events_are_decoded() {
    for (bytes, expected) in RECORDED {
        assert_eq!(text(&hex(bytes)), expected);
    }
    assert_eq!(text(&[]), "");
}

#[test]
fn the_builder_of_these_tests_builds_what_the_kernel_sends() {
    let built = named(0x10a, 2, b"f", 12);
    let mut recorded = hex(RECORDED[0].0);
    assert_eq!(built.len(), recorded.len());
    for range in [20..24, 28..36, 48..52, 60..68, 80..84] {
        recorded[range.clone()].copy_from_slice(&built[range]); // pid, fsid, generation
    }
    assert_eq!(built, recorded);
}

#[test]
fn unusual_events_are_decoded() {
    let check = |bytes: Vec<u8>, expected: &str| assert_eq!(text(&bytes), expected);
    check(event(FAN_Q_OVERFLOW, &[]), "4000");
    check(event(FAN_MODIFY | FAN_ONDIR, &[record(SELF, 5, b"")]), "40000002 5/.");
    check(event(FAN_DELETE, &[record(AT, 5, b"n")]), "200 5/n");
    check(named(FAN_CREATE, 5, b"\xff\n", 6), r"100 5/\xff\n=6");
    check(named(FAN_CREATE, 5, &[b'x'; 255], 6), &format!("100 5/{}=6", "x".repeat(255)));
    let name = |kind, name: &[u8]| record(kind, 5, name);
    check(event(FAN_RENAME, &[name(NEW, b"n"), name(TARGET, b""), name(OLD, b"o")]), "10000000 5/o>5/n=5");
}

#[test]
fn hostile_events_are_losses() {
    let check = |bytes: Vec<u8>, expected: &str| {
        assert_eq!(text(&bytes), format!("an event could not be decoded: {expected}"), "{bytes:x?}");
    };
    let change = |offset: usize, byte: u8| {
        let mut bytes = named(FAN_CREATE, 5, b"name", 6);
        bytes[offset] = byte;
        bytes
    };
    check(vec![0], "an event cut short");
    check(change(0, 0), "event metadata of another size");
    check(change(0, 23), "event metadata of another size");
    check(change(0, 255), "an event longer than what was read");
    check(change(4, 2), "event metadata of another version");
    check(change(6, 32), "event metadata of another size");
    check(change(15, 0x80), "an event of a class that was not asked for");
    check(change(9, 0), "an event of no class");
    check(change(16, 0), "an event with a file descriptor");
    check(change(24, 4), "a record of an unknown type");
    check(change(24, TARGET), "an event with two records of one type");
    check(change(26, 0), "an event cut short");
    check(change(26, 19), "an event cut short");
    check(change(26, 255), "a record longer than its event");
    check(change(36, 0), "a file handle of an impossible length");
    check(change(39, 1), "a file handle of an impossible length");
    check(change(36, 255), "a file handle of an impossible length");
    check(change(52, 0), "a name that is no name");
    check(change(52, b'/'), "a name that is no name");
    check(named(FAN_CREATE, 5, b"..", 6), "a name that is no name");
    check(event(FAN_CREATE, &[record(AT, 5, b""), record(TARGET, 6, b"")]), "a name without an end");
    check(named(FAN_CREATE, 5, b".", 6), "an entry event without a name");
    check(event(FAN_CREATE, &[record(TARGET, 6, b"")]), "an entry event without a name");
    check(event(FAN_RENAME, &[record(OLD, 5, b"o"), record(TARGET, 6, b"")]), "a rename without a new name");
    check(event(FAN_RENAME, &[record(OLD, 5, b"o"), record(NEW, 6, b".")]), "a rename without a new name");
    check(event(FAN_RENAME, &[record(NEW, 5, b"n"), record(TARGET, 6, b"")]), "an entry event without a name");
    check(event(FAN_CREATE, &[record(AT, 5, b"o"), record(NEW, 6, b"n")]), "a rename without a new name");
    check(event(FAN_MODIFY, &[record(AT, 5, b"n")]), "an event without a target");
    check(event(FAN_MODIFY, &[]), "an event without a target");
    check(event(FAN_CREATE | FAN_MODIFY, &[record(AT, 5, b"n")]), "an event without a target");
    check(event(FAN_ATTRIB | FAN_ONDIR, &[record(TARGET, 5, b"")]), "a directory's event without a name");
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let whole = RECORDED.map(|(bytes, _)| hex(bytes)).concat();
    let mut refused = 0;
    for length in 0..whole.len() {
        refused += usize::from(decode(&whole[..length]).is_err());
    }
    // A cut between two of the eight events is none.
    assert_eq!(refused, whole.len() - 8);
    for offset in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[offset] ^= 1 << bit;
            let _ = decode(&bytes);
        }
    }
}
