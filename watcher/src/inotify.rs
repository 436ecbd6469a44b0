//! Decodes what `read(2)` on an inotify instance returns: bytes in, events out, nothing else. See inotify(7).
//!
//! Whatever our watches cannot send is refused, so that an event that is not understood is a loss and never a silent gap.

use libc::{IN_ATTRIB, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO};
use libc::{IN_IGNORED, IN_ISDIR, IN_Q_OVERFLOW, IN_UNMOUNT};

use crate::options::{EventClass, EventClasses};
use crate::recording::Lost;

/// The size of `struct inotify_event` without its name: wd, mask, cookie, len.
const HEAD: usize = 16;

/// A watch descriptor. The kernel counts up and does not use one again before it has counted to 2³¹.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watch(pub i32);

/// One event. The kernel merges only a repetition of the event before it, so their order is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The watch of the directory that it happened in.
    pub watch: Watch,
    /// `IN_*` bits.
    pub mask: u32,
    /// One component, or `.` for the directory itself.
    pub name: &'a [u8],
}

impl Event<'_> {
    /// Whether the event is about directory entries: something was made, removed or moved.
    pub fn is_entry(&self) -> bool {
        self.mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO) != 0
    }

    /// Whether the object is a directory.
    pub fn is_directory(&self) -> bool {
        self.mask & IN_ISDIR != 0
    }

    /// Whether events were lost before this one.
    pub fn is_overflow(&self) -> bool {
        self.mask & IN_Q_OVERFLOW != 0
    }

    /// Whether the directory's file system was unmounted.
    pub fn is_unmount(&self) -> bool {
        self.mask & IN_UNMOUNT != 0
    }

    /// Whether the watch is no more: the directory is gone, or we removed it.
    pub fn is_gone(&self) -> bool {
        self.mask & IN_IGNORED != 0
    }
}

/// The bits of inotify for `events`; `OnDir` is `IN_ISDIR`.
pub fn mask(events: EventClasses) -> u32 {
    let bits = |class| match class {
        EventClass::Create => IN_CREATE,
        EventClass::Delete => IN_DELETE,
        EventClass::Rename => IN_MOVED_FROM | IN_MOVED_TO,
        EventClass::Attrib => IN_ATTRIB,
        EventClass::Modify => IN_MODIFY,
        EventClass::CloseWrite => IN_CLOSE_WRITE,
        EventClass::OnDir => IN_ISDIR,
    };
    EventClass::ALL.into_iter().filter(|class| events.contains(*class)).fold(0, |mask, class| mask | bits(class))
}

/// Every event of one `read(2)`.
pub fn decode(mut bytes: &[u8]) -> Result<Vec<Event<'_>>, Lost> {
    let mut events = Vec::with_capacity(bytes.len() / 32);
    while !bytes.is_empty() {
        let length = u32_at(bytes, 12)? as usize;
        let rest = bytes.get(HEAD..).ok_or(Lost::Malformed("an event cut short"))?;
        let name = rest.get(..length).ok_or(Lost::Malformed("an event longer than what was read"))?;
        events.push(check(Watch(u32_at(bytes, 0)? as i32), u32_at(bytes, 4)?, name)?);
        bytes = &rest[length..];
    }
    Ok(events)
}

/// The event with these fields, if it is one that a watch of ours may send.
fn check(watch: Watch, mask: u32, field: &[u8]) -> Result<Event<'_>, Lost> {
    let event = Event { watch, mask, name: name(field)? };
    if event.is_overflow() || event.is_gone() || event.is_unmount() {
        return Ok(event);
    }
    let known = self::mask(EventClasses::all());
    if mask & !known != 0 || mask & !IN_ISDIR == 0 {
        return Err(Lost::Malformed("an event of a class that was not asked for"));
    }
    if event.is_entry() && event.name == b"." {
        return Err(Lost::Malformed("an entry event without a name"));
    }
    Ok(event)
}

/// The name in `field`, which ends it with NULs; an empty one means the directory.
fn name(field: &[u8]) -> Result<&[u8], Lost> {
    if field.is_empty() {
        return Ok(b".");
    }
    let end = field.iter().position(|byte| *byte == 0).ok_or(Lost::Malformed("a name without an end"))?;
    let name = &field[..end];
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        return Err(Lost::Malformed("a name that is no name"));
    }
    Ok(name)
}

/// The number at `offset`, or that the bytes end before it.
fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, Lost> {
    let rest = bytes.get(offset..).unwrap_or_default();
    rest.first_chunk().copied().map(u32::from_ne_bytes).ok_or(Lost::Malformed("an event cut short"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{hex, watched};

    /// What decoding makes of `bytes`, as a short text: `watch mask name`, or the reason of the loss.
    fn text(bytes: &[u8]) -> String {
        match decode(bytes) {
            Ok(events) => {
                let one =
                    |event: &Event<'_>| format!("{} {:x} {}", event.watch.0, event.mask, event.name.escape_ascii());
                events.iter().map(one).collect::<Vec<_>>().join(", ")
            }
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn events_are_decoded() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(text(bytes), expected);
        check(b"", "");
        check(&watched(1, IN_CREATE, b"file"), "1 100 file");
        check(&watched(7, IN_MOVED_FROM | IN_ISDIR, b"\xff\n"), "7 40000040 \\xff\\n");
        check(&watched(7, IN_ATTRIB | IN_ISDIR, b""), "7 40000004 .");
        check(&watched(-1, IN_Q_OVERFLOW, b""), "-1 4000 .");
        let two = [watched(1, IN_DELETE, b"a name of over sixteen"), watched(1, IN_IGNORED, b"")].concat();
        check(&two, "1 200 a name of over sixteen, 1 8000 .");
        // As Linux 6.18 sent them on a little-endian machine: chmod f, rename f, rmdir s, chmod ., rmdir .
        let sent = [
            "0100000004000000000000001000000066000000000000000000000000000000",
            "01000000400000008d4009001000000066000000000000000000000000000000",
            "0100000000020040000000001000000073000000000000000000000000000000",
            "01000000040000400000000000000000",
            "01000000008000000000000000000000",
        ];
        let expected = "1 4 f, 1 40 f, 1 40000200 s, 1 40000004 ., 1 8000 .";
        if cfg!(target_endian = "little") {
            check(&hex(&sent.concat()), expected);
        }
    }

    #[test]
    fn what_a_watch_cannot_send_is_refused() {
        let check = |bytes: &[u8], expected: &str| {
            assert_eq!(text(bytes), format!("an event could not be decoded: {expected}"));
        };
        let good = watched(1, IN_CREATE, b"file");
        check(&good[..10], "an event cut short");
        check(&good[..15], "an event cut short");
        check(&good[..20], "an event longer than what was read");
        check(&watched(1, libc::IN_OPEN, b"file"), "an event of a class that was not asked for");
        check(&watched(1, IN_ISDIR, b"file"), "an event of a class that was not asked for");
        check(&watched(1, 0, b"file"), "an event of a class that was not asked for");
        check(&watched(1, IN_CREATE, b""), "an entry event without a name");
        for name in [&b"."[..], b"..", b"a/b"] {
            check(&watched(1, IN_CREATE, name), "a name that is no name");
        }
        let endless = [&1i32.to_ne_bytes()[..], &IN_CREATE.to_ne_bytes(), &[0; 4], &4u32.to_ne_bytes(), b"file"];
        check(&endless.concat(), "a name without an end");
    }

    #[test]
    fn every_class_has_bits_of_its_own() {
        let all = mask(EventClasses::all());
        for class in EventClass::ALL {
            let without = mask(EventClasses::all().without(class));
            assert_eq!(without & all, without);
            assert_ne!(without, all, "{class:?}");
        }
    }

    #[test]
    fn no_bytes_are_too_odd() {
        // Every change of one byte, and every cut, gives events or a loss.
        let good = [watched(1, IN_CREATE, b"file"), watched(2, IN_MODIFY, b"other")].concat();
        let mut refused = 0;
        for at in 0..good.len() {
            refused += usize::from(decode(&good[..at]).is_err());
            for value in [0, 1, b'/', 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                refused += usize::from(decode(&bytes).is_err());
            }
        }
        assert!(refused > 50, "{refused}");
    }
}
