//! File handles, and how to read an inode number out of one without asking the kernel.
//!
//! What a handle's bytes mean is the file system's own business, and one `handle_type` means different things on
//! different file systems. So no layout is believed from its number: it must have given `st_ino` for every handle of the
//! self-test on this very file system, and a handle without a proven layout is left to `open_by_handle_at(2)`.

use std::io;
use std::os::fd::AsFd;

use crate::inode::Inode;
use crate::recording::Lost;
use crate::sys;

/// `struct file_handle` of `name_to_handle_at(2)`, borrowed from an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle<'a> {
    /// `handle_type`.
    pub handle_type: i32,
    /// `f_handle`.
    pub bytes: &'a [u8],
}

/// What is known of an object's identity without asking the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Its inode number, on the device of the root.
    Ino(u64),
    /// Its handle, whose layout is not proven: type and bytes.
    Handle(Box<(i32, Box<[u8]>)>),
}

/// Where a layout keeps the inode number. The two numbers of a handle's type and length name a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// `FILEID_INO32_GEN` and its variant with the parent: u32 inode first (ext4, f2fs, xfs with 32-bit numbers).
    Ino32,
    /// tmpfs: u32 generation, u64 inode.
    GenIno64,
    /// `FILEID_INO64_GEN`: u64 inode first (xfs and others).
    Ino64,
    /// btrfs: u64 inode, u64 subvolume. Numbers are unique only within the subvolume.
    InSubvolume {
        /// The subvolume that the number counts in.
        subvolume: u64,
    },
}

impl Layout {
    /// What `handle` may be, going by its type and length.
    fn guess(handle: Handle<'_>) -> Option<Layout> {
        match (handle.handle_type, handle.bytes.len()) {
            (1, 8) | (2, 16) => Some(Layout::Ino32),
            (1, 12) => Some(Layout::GenIno64),
            (0x81, 12) | (0x82, 24) => Some(Layout::Ino64),
            (77, 20) => Some(Layout::InSubvolume { subvolume: u64_at(handle.bytes, 8)? }),
            _ => None,
        }
    }

    /// The inode number in `bytes`; they are at least as long as `guess` saw.
    fn ino(self, bytes: &[u8]) -> Option<u64> {
        match self {
            Layout::Ino32 => Some(u64::from(u32::from_ne_bytes(*bytes.first_chunk()?))),
            Layout::GenIno64 => u64_at(bytes, 4),
            Layout::Ino64 => u64_at(bytes, 0),
            Layout::InSubvolume { .. } => u64_at(bytes, 0),
        }
    }
}

/// The layouts proven on one file system.
#[derive(Clone, Debug, Default)]
pub struct Layouts {
    /// Layouts that were right each time they were tried.
    proven: Vec<(i32, usize, Layout)>,
    /// Handle types and lengths for which a layout was wrong once.
    refuted: Vec<(i32, usize)>,
}

impl Layouts {
    /// Learns from a handle whose inode number is known.
    pub fn learn(&mut self, handle: Handle<'_>, ino: u64) {
        let key = (handle.handle_type, handle.bytes.len());
        let Some(layout) = Layout::guess(handle) else { return };
        let right = layout.ino(handle.bytes) == Some(ino);
        let known = self.proven.iter().find(|(kind, length, _)| (*kind, *length) == key);
        match (right, known) {
            (true, None) if !self.refuted.contains(&key) => self.proven.push((key.0, key.1, layout)),
            (true, Some((_, _, before))) if *before == layout => {}
            (true, None) => {}
            _ => {
                self.proven.retain(|(kind, length, _)| (*kind, *length) != key);
                self.refuted.push(key);
            }
        }
    }

    /// The identity in `handle`: the inode number where the layout is proven.
    pub fn identify(&self, handle: Handle<'_>) -> Identity {
        match self.ino(handle) {
            Some(ino) => Identity::Ino(ino),
            None => Identity::Handle(Box::new((handle.handle_type, handle.bytes.into()))),
        }
    }

    /// The inode number in `handle`, if its layout is proven. In another btrfs subvolume it is not.
    fn ino(&self, handle: Handle<'_>) -> Option<u64> {
        let guess = Layout::guess(handle)?;
        let key = (handle.handle_type, handle.bytes.len(), guess);
        self.proven.contains(&key).then(|| guess.ino(handle.bytes)).flatten()
    }
}

/// The inode that a handle names, as the kernel says; `None` if the object is gone. `mount` is a file on its superblock.
pub fn open(mount: impl AsFd, handle: Handle<'_>) -> io::Result<Option<Inode>> {
    match sys::open_by_handle(mount.as_fd(), handle.handle_type, handle.bytes) {
        Ok(file) => Inode::of(file).map(Some),
        Err(error) if error.raw_os_error() == Some(libc::ESTALE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The inode of an identity; `dev` is the device that proven inode numbers are on.
pub fn inode(mount: impl AsFd, dev: u64, identity: &Identity) -> Result<Option<Inode>, Lost> {
    match identity {
        Identity::Ino(ino) => Ok(Some(Inode { dev, ino: *ino })),
        Identity::Handle(handle) => {
            let (handle_type, bytes) = (handle.0, &handle.1);
            open(mount, Handle { handle_type, bytes }).map_err(|_| Lost::Handle { handle_type })
        }
    }
}

/// The number at `offset`, in the machine's byte order.
fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a handle from its numbers, each of its own width.
    fn bytes(parts: &[(u64, usize)]) -> Vec<u8> {
        parts.iter().flat_map(|(number, width)| number.to_ne_bytes()[..*width].to_vec()).collect()
    }

    #[test]
    fn proven_layouts_are_read() {
        let check = |handle_type, sample: Vec<u8>, ino, other: Vec<u8>, expected: Option<u64>| {
            let mut layouts = Layouts::default();
            layouts.learn(Handle { handle_type, bytes: &sample }, ino);
            let identity = layouts.identify(Handle { handle_type, bytes: &other });
            let raw = Identity::Handle(Box::new((handle_type, other.into())));
            assert_eq!(identity, expected.map_or(raw, Identity::Ino), "type {handle_type:#x}");
        };
        let big = 0x1_2345_6789;
        check(1, bytes(&[(12, 4), (99, 4)]), 12, bytes(&[(13, 4), (7, 4)]), Some(13)); // ext4
        check(1, bytes(&[(99, 4), (12, 8)]), 12, bytes(&[(7, 4), (big, 8)]), Some(big)); // tmpfs
        check(2, bytes(&[(12, 4), (9, 4), (2, 4), (1, 4)]), 12, bytes(&[(5, 4), (9, 4), (2, 4), (1, 4)]), Some(5));
        check(0x81, bytes(&[(12, 8), (99, 4)]), 12, bytes(&[(big, 8), (7, 4)]), Some(big)); // xfs
        check(77, bytes(&[(12, 8), (5, 8), (1, 4)]), 12, bytes(&[(big, 8), (5, 8), (1, 4)]), Some(big)); // btrfs
        // Another subvolume, another length, a handle that is no layout of ours.
        check(77, bytes(&[(12, 8), (5, 8), (1, 4)]), 12, bytes(&[(12, 8), (256, 8), (1, 4)]), None);
        check(1, bytes(&[(12, 4), (99, 4)]), 12, bytes(&[(7, 4), (12, 8)]), None);
        check(0xf8, bytes(&[(12, 8), (1, 8), (2, 8), (3, 8)]), 12, bytes(&[(12, 8), (1, 8), (2, 8), (3, 8)]), None);
        // Proven by a wrong number: FUSE has type 0x81 with the halves swapped and a number of its own.
        check(0x81, bytes(&[(0, 4), (12, 4), (1, 4)]), 12, bytes(&[(0, 4), (12, 4), (1, 4)]), None);
    }

    #[test]
    fn a_layout_that_was_wrong_once_is_never_used() {
        let (right, wrong) = (bytes(&[(12, 8), (1, 4)]), bytes(&[(13, 8), (1, 4)]));
        for order in [[(&right, 12), (&wrong, 99), (&right, 12)], [(&wrong, 99), (&right, 12), (&right, 12)]] {
            let mut layouts = Layouts::default();
            for (bytes, ino) in order {
                layouts.learn(Handle { handle_type: 0x81, bytes }, ino);
            }
            assert!(matches!(layouts.identify(Handle { handle_type: 0x81, bytes: &right }), Identity::Handle(_)));
        }
    }

    #[test]
    fn samples_of_two_subvolumes_prove_nothing() {
        let mut layouts = Layouts::default();
        for subvolume in [5, 256] {
            let bytes = bytes(&[(12, 8), (subvolume, 8), (1, 4)]);
            layouts.learn(Handle { handle_type: 77, bytes: &bytes }, 12);
        }
        let bytes = bytes(&[(12, 8), (5, 8), (1, 4)]);
        assert!(matches!(layouts.identify(Handle { handle_type: 77, bytes: &bytes }), Identity::Handle(_)));
    }
}
