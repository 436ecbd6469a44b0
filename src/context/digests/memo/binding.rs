//! What a memo is bound to: this machine since it was started, and one file system on it.
//!
//! The kernel's boot id is the same in every container of a machine and never the same twice, so neither another node nor a
//! volume restored on it, and nothing done to a disk while the machine was down, is taken for what the memo saw. File
//! systems are told by UUID (`FS_IOC_GETFSUUID`, Linux 6.9), and by what statfs(2) makes of it where older kernels do so:
//! ext4 and btrfs. Where none can be learnt there is no memo.

use std::fmt;
use std::io;

use rustix::fs::{fstatfs, fstatvfs};
use sha2::{Digest as _, Sha256};

use crate::rootfs::Root;
use crate::sys::file_system_uuid;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// File systems whose `f_fsid` is made of their UUID.
const FSID_IS_OF_UUID: [u64; 2] = [0xef53, 0x9123_683e];

/// Digests of what a memo is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// Of the file system: names the file.
    pub(super) name: [u8; 32],
    /// Of all.
    pub(super) whole: [u8; 32],
    /// Files on other devices are not remembered.
    pub(super) dev: u64,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Unbound {
    Boot(io::Error),
    FileSystem(io::Error),
    NoUuid,
}

impl Binding {
    /// That of the file system of `tree`.
    pub(super) fn of(tree: &Root) -> Result<Binding, Unbound> {
        let boot = std::fs::read(BOOT_ID).map_err(Unbound::Boot)?;
        let failed = |errno: rustix::io::Errno| Unbound::FileSystem(errno.into());
        let kind = fstatfs(tree.fd()).map_err(failed)?.f_type as u64 & 0xffff_ffff;
        let fsid = fstatvfs(tree.fd()).map_err(failed)?.f_fsid;
        let uuid = file_system_uuid(tree.fd()).map_err(Unbound::FileSystem)?;
        Binding::new(&boot, kind, uuid.as_deref(), fsid, tree.dev())
    }

    pub(super) fn new(boot: &[u8], kind: u64, uuid: Option<&[u8]>, fsid: u64, dev: u64) -> Result<Binding, Unbound> {
        if boot.is_empty() || (uuid.is_none() && (fsid == 0 || !FSID_IS_OF_UUID.contains(&kind))) {
            return Err(Unbound::NoUuid);
        }
        let numbers = [kind, fsid].map(u64::to_le_bytes).concat();
        let name = hash(&[b"silt tree memo, file system", uuid.unwrap_or_default(), &numbers]);
        let whole = hash(&[b"silt tree memo, binding", &name, boot, &dev.to_le_bytes()]);
        Ok(Binding { name, whole, dev })
    }
}

fn hash(fields: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for field in fields {
        hasher.update((field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    hasher.finalize().into()
}

impl fmt::Display for Unbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unbound::Boot(error) => write!(f, "{BOOT_ID}: {error}"),
            Unbound::FileSystem(error) => write!(f, "its file system does not say which it is: {error}"),
            Unbound::NoUuid => f.write_str("its file system has no UUID that this kernel tells"),
        }
    }
}
