//! One member of an archive: what it makes, and under which name.

use tar_core::EntryType;
use tar_core::parse::ParsedEntry;

use super::Error;
use super::pax;
use crate::rootfs::{Entry, Kind, Timestamp, Xattrs, xattr};

/// A member as its headers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name as written: it may be absolute, hold `..`, or end in a slash.
    pub name: Box<[u8]>,
    /// What it makes.
    pub what: What,
}

/// What a member makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A path of its own. A file's `size` counts holes; its digest is not known.
    New(Entry),
    /// A further name of another path, as written.
    Link(Box<[u8]>),
}

impl Member {
    /// The member that `parsed` describes; `real_size` is that of a sparse file.
    pub(super) fn new(parsed: &ParsedEntry<'_>, real_size: Option<u64>) -> Result<Member, Error> {
        let refuse = |why| Error::Member { name: String::from_utf8_lossy(&parsed.path).into_owned(), why };
        let what = what(parsed, real_size).map_err(refuse)?;
        let name = c_string(&parsed.path).ok_or_else(|| refuse("a NUL in the name"))?;
        Ok(Member { name: name.into(), what })
    }

    /// Whether content follows the headers.
    pub(super) fn has_content(&self) -> bool {
        matches!(&self.what, What::New(Entry { kind: Kind::File { .. }, .. }))
    }
}

/// Without the NULs that pad a GNU long name; `None` if one is left inside.
fn c_string(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    (!bytes[..end].contains(&0)).then_some(&bytes[..end])
}

fn what(parsed: &ParsedEntry<'_>, real_size: Option<u64>) -> Result<What, &'static str> {
    let pax_mtime = parsed.pax.map(pax::check).transpose()?.flatten();
    let target = || -> Result<Box<[u8]>, &'static str> {
        let target = parsed.link_target.as_deref().ok_or("a link without a target")?;
        Ok(c_string(target).ok_or("a NUL in the link's target")?.into())
    };
    let kind = match parsed.entry_type {
        EntryType::Link => return Ok(What::Link(target()?)),
        EntryType::Symlink => Kind::Symlink(target()?),
        EntryType::Regular if is_old_directory(parsed) => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse => file(real_size.unwrap_or(parsed.size))?,
        EntryType::Directory => Kind::Directory,
        EntryType::Char => Kind::CharDevice { major: number(parsed.dev_major), minor: number(parsed.dev_minor) },
        EntryType::Block => Kind::BlockDevice { major: number(parsed.dev_major), minor: number(parsed.dev_minor) },
        EntryType::Fifo => Kind::Fifo,
        _ => return Err("a kind of member that images do not have"),
    };
    let mtime = pax_mtime.unwrap_or(Timestamp { sec: parsed.mtime.cast_signed(), nsec: 0 });
    let (uid, gid) = (id(parsed.uid)?, id(parsed.gid)?);
    Ok(What::New(Entry { kind, mode: parsed.mode & 0o7777, uid, gid, mtime, xattrs: xattrs(parsed) }))
}

/// Archives from before POSIX mark a directory by a slash alone.
fn is_old_directory(parsed: &ParsedEntry<'_>) -> bool {
    parsed.header.as_ustar().typeflag == [0] && parsed.path.ends_with(b"/")
}

fn file(size: u64) -> Result<Kind, &'static str> {
    if i64::try_from(size).is_err() {
        return Err("the size is out of range");
    }
    Ok(Kind::File { size, digest: None })
}

fn number(device: Option<u32>) -> u32 {
    device.unwrap_or(0)
}

/// An owner that chown(2) takes: its highest number means "leave it".
fn id(id: u64) -> Result<u32, &'static str> {
    u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or("the owner is out of range")
}

fn xattrs(parsed: &ParsedEntry<'_>) -> Xattrs {
    let kept = parsed.xattrs.iter().filter(|(name, _)| xattr::is_kept(name) && !name.contains(&0));
    kept.map(|(name, value)| (name.as_ref().into(), value.as_ref().into())).collect()
}
