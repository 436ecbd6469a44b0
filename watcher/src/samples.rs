//! Event bytes as the kernel lays them out, for tests.

use libc::{FAN_EVENT_INFO_TYPE_DFID_NAME as AT, FAN_EVENT_INFO_TYPE_FID as TARGET};

use crate::fanotify::decode;

/// Bytes from hexadecimal digits.
pub fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Metadata with `mask` and the records that follow it.
pub fn event(mask: u64, records: &[Vec<u8>]) -> Vec<u8> {
    let records = records.concat();
    let length = (24 + records.len()) as u32;
    let head = [&length.to_ne_bytes()[..], &[3, 0], &24u16.to_ne_bytes(), &mask.to_ne_bytes()];
    [&head.concat()[..], &(-1i32).to_ne_bytes(), &77u32.to_ne_bytes(), &records].concat()
}

/// An information record with a handle of ext4's kind, and a name if it is not empty.
pub fn record(kind: u8, ino: u32, name: &[u8]) -> Vec<u8> {
    let mut tail =
        [&8u32.to_ne_bytes()[..], &1u32.to_ne_bytes(), &ino.to_ne_bytes(), &9u32.to_ne_bytes(), name].concat();
    if !name.is_empty() {
        tail.push(0);
    }
    tail.resize(tail.len().next_multiple_of(4), 0);
    let length = (12 + tail.len()) as u16;
    [&[kind, 0][..], &length.to_ne_bytes(), b"filesyst", &tail].concat()
}

/// An event on `name` in the directory `directory`, of the object `target`.
pub fn named(mask: u64, directory: u32, name: &[u8], target: u32) -> Vec<u8> {
    event(mask, &[record(AT, directory, name), record(TARGET, target, b"")])
}

/// What decoding makes of `bytes`, as a short text: `mask dir/name>dir/name=target`, or the reason of the loss.
pub fn text(bytes: &[u8]) -> String {
    let ino = |bytes: &[u8]| u32::from_ne_bytes(bytes[..4].try_into().unwrap());
    let events = match decode(bytes) {
        Ok(events) => events,
        Err(why) => return why.to_string(),
    };
    let place = |sign: &str, place: crate::fanotify::Place<'_>| {
        format!("{sign}{}/{}", ino(place.directory.bytes), place.name.escape_ascii())
    };
    let one = |event: &crate::fanotify::Event<'_>| {
        let at = event.at.map_or(String::new(), |at| place(" ", at));
        let to = event.to.map_or(String::new(), |to| place(">", to));
        let target = event.target.map_or(String::new(), |target| format!("={}", ino(target.bytes)));
        format!("{:x}{at}{to}{target}", event.mask)
    };
    events.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// An event of inotify: its name is padded to a multiple of the head's size, as the kernel does.
pub fn watched(watch: i32, mask: u32, name: &[u8]) -> Vec<u8> {
    let mut field = name.to_vec();
    if !name.is_empty() {
        field.push(0);
        field.resize(field.len().next_multiple_of(16), 0);
    }
    let length = field.len() as u32;
    [&watch.to_ne_bytes()[..], &mask.to_ne_bytes(), &[0; 4], &length.to_ne_bytes(), &field].concat()
}
