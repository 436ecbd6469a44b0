//! Which paths of the root belong to the machine and not to the image: mounts, our own directory, what flags name.

use std::path::Path;

use silt_watcher::mount_points;

use crate::rootfs::RootPath;

/// The mount points strictly below `root`, relative to it, from the content of `/proc/self/mountinfo`.
pub fn mounts_below(root: &Path, mountinfo: &[u8]) -> Vec<RootPath> {
    let below = mount_points(mountinfo).filter_map(|point| inside(root, &point));
    below.filter(|path| !path.is_root()).collect()
}

/// `path`, absolute on the machine, as a path of the root; `None` if it lies outside.
pub fn inside(root: &Path, path: &[u8]) -> Option<RootPath> {
    use std::os::unix::ffi::OsStrExt;
    let root = RootPath::clean(root.as_os_str().as_bytes())?;
    RootPath::clean(path)?.strip_prefix(&root)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = b"\
21 1 0:20 / / rw - overlay overlay rw\n\
22 21 0:21 / /proc rw,nosuid - proc proc rw\n\
23 21 8:1 /x /etc/hosts rw - ext4 /dev/sda1 rw\n\
24 21 8:1 /y /mnt/a\\040b\xff rw - ext4 /dev/sda1 rw\n";

    fn check(root: &str, expected: &[&[u8]]) {
        let found: Vec<Vec<u8>> =
            mounts_below(Path::new(root), MOUNTINFO).iter().map(|path| path.as_bytes().to_vec()).collect();
        assert_eq!(found, expected, "{root}");
    }

    #[test]
    fn mounts_are_relative_to_the_root() {
        check("/", &[b"proc", b"etc/hosts", b"mnt/a b\xff"]);
        check("/mnt", &[b"a b\xff"]);
        check("/mn", &[]);
        check("/etc/hosts", &[]);
    }
}
