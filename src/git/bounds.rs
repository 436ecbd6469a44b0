//! How much a repository may be: what a hostile one is refused for, with room for the largest honest ones.

use anyhow::{Result, ensure};

/// The most that a server may send in one answer that is no pack, in bytes.
pub(super) const LISTING: u64 = 64 << 20;
/// The largest pack, in bytes.
pub(super) const PACK: u64 = 8 << 30;
/// The largest object, in bytes: it is held in memory.
pub(super) const OBJECT: usize = 1 << 30;
/// The longest target of a symbolic link, in bytes (`PATH_MAX` with its NUL).
pub(super) const LINK: usize = 4095;
/// The most directories below one another.
pub(super) const DEPTH: usize = 512;
/// The most files, links and directories of a checkout, submodules and all.
const ENTRIES: u64 = 4_000_000;
/// The most that files hold in all: a pack may unfold to much more than itself.
const CONTENT: u64 = 64 << 30;

/// What is left for a checkout.
pub(super) struct Room {
    entries: u64,
    content: u64,
}

impl Default for Room {
    fn default() -> Self {
        Room { entries: ENTRIES, content: CONTENT }
    }
}

impl Room {
    /// Takes room for one more entry with `bytes` of content.
    pub(super) fn take(&mut self, bytes: usize) -> Result<()> {
        ensure!(self.entries > 0, "it has more than {ENTRIES} files");
        self.entries -= 1;
        let left = self.content.checked_sub(bytes as u64);
        self.content = left.ok_or_else(|| anyhow::anyhow!("its files are larger than {} GiB", CONTENT >> 30))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends() {
        let mut room = Room { entries: 2, content: 10 };
        room.take(10).expect("room");
        assert!(room.take(1).expect_err("content").to_string().contains("larger"));
        assert!(room.take(0).expect_err("entries").to_string().contains("more than"));
    }
}
