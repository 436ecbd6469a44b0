//! Decodes what `read(2)` on a fanotify group returns: bytes in, events out, nothing else.
//!
//! It is written for groups with `FAN_REPORT_DFID_NAME_TARGET` and refuses whatever such a group cannot send, so that an
//! event that is not understood is a loss and never a silent gap. The kernel aligns nothing beyond four bytes inside an
//! event, so everything is read by byte offsets. See fanotify(7) and `linux/fanotify.h`.

use libc::{FAN_ATTRIB, FAN_CLOSE_WRITE, FAN_CREATE, FAN_DELETE, FAN_MODIFY, FAN_ONDIR, FAN_Q_OVERFLOW, FAN_RENAME};

use crate::handle::Handle;
use crate::options::EventClasses;
use crate::recording::Lost;

/// `FANOTIFY_METADATA_VERSION`.
const VERSION: u8 = libc::FANOTIFY_METADATA_VERSION;
/// The size of `struct fanotify_event_metadata`, and the value of its `metadata_len`.
const METADATA: usize = 24;
/// What precedes `f_handle` in `struct fanotify_event_info_fid`: header 4, fsid 8, handle_bytes 4, handle_type 4.
const FID: usize = 20;

/// One event; unread events of one object come merged, so the mask is a set without order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// `FAN_*` bits.
    pub mask: u64,
    /// Where it happened: the old name of a rename. A directory's own events have the directory itself and the name `.`;
    /// an event that is not about any name (a changed link count) has none.
    pub at: Option<Place<'a>>,
    /// The new name of a rename.
    pub to: Option<Place<'a>>,
    /// The object that it happened to, except in a directory's own events.
    pub target: Option<Handle<'a>>,
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The directory.
    pub directory: Handle<'a>,
    /// One component, or `.` for the directory itself.
    pub name: &'a [u8],
}

impl Event<'_> {
    /// Whether the event is about directory entries: something was made, removed or moved.
    pub fn is_entry(&self) -> bool {
        self.mask & (FAN_CREATE | FAN_DELETE | FAN_RENAME) != 0
    }

    /// Whether the object is a directory.
    pub fn is_directory(&self) -> bool {
        self.mask & FAN_ONDIR != 0
    }

    /// Whether events were lost before this one.
    pub fn is_overflow(&self) -> bool {
        self.mask & FAN_Q_OVERFLOW != 0
    }
}

/// Every event of one `read(2)`.
pub fn decode(mut bytes: &[u8]) -> Result<Vec<Event<'_>>, Lost> {
    let mut events = Vec::with_capacity(bytes.len() / 64);
    while !bytes.is_empty() {
        let length = u32_at(bytes, 0)? as usize;
        let event = bytes.get(..length).ok_or(Lost::Malformed("an event longer than what was read"))?;
        events.push(decode_one(event)?);
        bytes = &bytes[length..];
    }
    Ok(events)
}

/// The event that fills `bytes`.
fn decode_one(bytes: &[u8]) -> Result<Event<'_>, Lost> {
    if bytes.len() < METADATA || usize::from(u16_at(bytes, 6)?) != METADATA {
        return Err(Lost::Malformed("event metadata of another size"));
    }
    if bytes[4] != VERSION {
        return Err(Lost::Malformed("event metadata of another version"));
    }
    let mask = u64_at(bytes, 8)?;
    if mask & !(EventClasses::all().mask() | FAN_Q_OVERFLOW) != 0 {
        return Err(Lost::Malformed("an event of a class that was not asked for"));
    }
    let mut event = Event { mask, at: None, to: None, target: None };
    if event.is_overflow() {
        return Ok(event);
    }
    if u32_at(bytes, 16)? as i32 != libc::FAN_NOFD {
        return Err(Lost::Malformed("an event with a file descriptor"));
    }
    records(&bytes[METADATA..], &mut event)?;
    check(&event)?;
    Ok(event)
}

/// Reads the information records that follow the metadata.
fn records<'a>(mut bytes: &'a [u8], event: &mut Event<'a>) -> Result<(), Lost> {
    while !bytes.is_empty() {
        let length = usize::from(u16_at(bytes, 2)?);
        let record = bytes.get(..length).ok_or(Lost::Malformed("a record longer than its event"))?;
        let (handle, rest) = fid(record)?;
        match record[0] {
            libc::FAN_EVENT_INFO_TYPE_FID => put(&mut event.target, handle)?,
            libc::FAN_EVENT_INFO_TYPE_DFID => put(&mut event.at, Place { directory: handle, name: b"." })?,
            libc::FAN_EVENT_INFO_TYPE_DFID_NAME | libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME => {
                put(&mut event.at, Place { directory: handle, name: name(rest)? })?;
            }
            libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME => {
                put(&mut event.to, Place { directory: handle, name: name(rest)? })?;
            }
            _ => return Err(Lost::Malformed("a record of an unknown type")),
        }
        bytes = &bytes[length..];
    }
    Ok(())
}

/// Fills a slot that each event has at most once.
fn put<T>(slot: &mut Option<T>, value: T) -> Result<(), Lost> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Lost::Malformed("an event with two records of one type")),
    }
}

/// The handle of a record, and what follows it.
fn fid(record: &[u8]) -> Result<(Handle<'_>, &[u8]), Lost> {
    let length = u32_at(record, 12)? as usize;
    let handle_type = u32_at(record, 16)? as i32;
    let rest = record.get(FID..).ok_or(Lost::Malformed("a record without a file handle"))?;
    if length == 0 || length > rest.len() || length > crate::sys::MAX_HANDLE {
        return Err(Lost::Malformed("a file handle of an impossible length"));
    }
    let (bytes, rest) = rest.split_at(length);
    Ok((Handle { handle_type, bytes }, rest))
}

/// The name that follows a directory's handle, ended by a NUL and padded.
fn name(bytes: &[u8]) -> Result<&[u8], Lost> {
    let end = bytes.iter().position(|byte| *byte == 0).ok_or(Lost::Malformed("a name without an end"))?;
    let name = &bytes[..end];
    if name.is_empty() || name == b".." || name.contains(&b'/') {
        return Err(Lost::Malformed("a name that is no name"));
    }
    Ok(name)
}

/// Refuses an event that says too little: the kernel leaves a record out where it cannot encode a handle.
fn check(event: &Event<'_>) -> Result<(), Lost> {
    let named = |place: &Option<Place<'_>>| place.is_some_and(|place| place.name != b".");
    if event.is_entry() && !named(&event.at) {
        return Err(Lost::Malformed("an entry event without a name"));
    }
    if (event.mask & FAN_RENAME != 0) != event.to.is_some() || (event.to.is_some() && !named(&event.to)) {
        return Err(Lost::Malformed("a rename without a new name"));
    }
    if event.is_directory() && event.at.is_none() {
        return Err(Lost::Malformed("a directory's event without a name"));
    }
    if event.mask & !FAN_ONDIR == 0 {
        return Err(Lost::Malformed("an event of no class"));
    }
    // A name that comes or goes says all by itself (an overlay cannot encode what was removed from its lower layer); a
    // changed object may have names elsewhere.
    let own = event.is_directory() && event.at.is_some_and(|place| place.name == b".");
    if event.target.is_none() && event.mask & (FAN_ATTRIB | FAN_MODIFY | FAN_CLOSE_WRITE) != 0 && !own {
        return Err(Lost::Malformed("an event without a target"));
    }
    Ok(())
}

/// The number at `offset`, or that the bytes end before it.
fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, Lost> {
    Ok(u16::from_ne_bytes(array_at(bytes, offset)?))
}

/// As `u16_at`.
fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, Lost> {
    Ok(u32::from_ne_bytes(array_at(bytes, offset)?))
}

/// As `u16_at`.
fn u64_at(bytes: &[u8], offset: usize) -> Result<u64, Lost> {
    Ok(u64::from_ne_bytes(array_at(bytes, offset)?))
}

/// The `N` bytes at `offset`.
fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], Lost> {
    let rest = bytes.get(offset..).unwrap_or_default();
    rest.first_chunk().copied().ok_or(Lost::Malformed("an event cut short"))
}

#[cfg(test)]
mod tests;
