//! What a command sees for as long as it runs, and no longer: the mounts of a RUN, its network and its rights.
//!
//! Plain data for the supervisor. `mounts` makes real mounts of it where that is allowed, `lend` does without.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What surrounds a command besides its root. The default is nothing, the builder's network and no more rights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// In the order of their making: a later one may lie in an earlier one.
    pub mounts: Vec<Mount>,
    /// The network.
    pub network: Network,
    /// The rights.
    pub security: Security,
    /// A directory of ours, empty and outside of the image, for what a mount shadows and for the journal; needed with
    /// [`Surroundings::mounts`].
    pub own: OsString,
}

/// Something at a path of the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, inside the root; links on the way and at the end are followed there. Never `/`.
    pub target: OsString,
    /// What stands there.
    pub what: What,
}

/// What a mount shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A directory, file or socket of this machine. Without real mounts it is moved there and back, so it must be ours.
    Lent {
        /// Where it is.
        source: OsString,
        /// Whether the command may write to it; without real mounts it may in any case.
        access: Access,
        /// What becomes of it afterwards.
        after: After,
    },
    /// An empty directory in memory where mounting is allowed, on the disk otherwise.
    Memory {
        /// Bytes at most; without real mounts there is no limit.
        size: Option<u64>,
    },
    /// A file with these bytes. It is not on a disk, unless there is neither a real mount nor a file system in memory.
    Secret {
        /// Its content.
        bytes: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A file of root, mode 0755, that can be executed.
    Script(Vec<u8>),
}

/// Whether a mount can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// No.
    ReadOnly,
    /// Yes.
    ReadWrite,
}

/// What becomes of something lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum After {
    /// It is where it was, with what the command made of it.
    Kept,
    /// Nobody needs it any more.
    Dropped,
}

/// The network of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The builder's.
    #[default]
    Builders,
    /// A loopback device and nothing else.
    None,
}

/// The rights of a command that is isolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    /// Docker's default capabilities, no devices, no settings of the host.
    #[default]
    Sandbox,
    /// All that the builder has.
    Insecure,
}

/// Without the bytes of a secret.
impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Lent { source, access, after } => write!(f, "Lent({source:?}, {access:?}, {after:?})"),
            What::Memory { size } => write!(f, "Memory({size:?})"),
            What::Script(bytes) => write!(f, "Script({} bytes)", bytes.len()),
            What::Secret { mode, uid, gid, .. } => write!(f, "Secret({mode:o}, {uid}:{gid})"),
        }
    }
}

/// Mode, owner and group of a script.
pub(super) const SCRIPT: (u32, u32, u32) = (0o755, 0, 0);

impl Surroundings {
    /// The directory for the journal and what is shadowed.
    pub(super) fn own(&self) -> PathBuf {
        PathBuf::from(&self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let what = What::Secret { bytes: b"hunter2".to_vec(), mode: 0o400, uid: 1, gid: 2 };
        let mount = Mount { target: "/s".into(), what };
        let shown = format!("{:?}", Surroundings { mounts: vec![mount], ..Surroundings::default() });
        let bytes = format!("{:?}", b"hunter2");
        assert!(shown.contains("400") && !shown.contains("hunter2") && !shown.contains(&bytes), "{shown}");
    }
}
