//! Which paths of the root belong to the machine and not to the image: mounts, our own directory, what flags name.

use std::path::Path;

use crate::rootfs::RootPath;

/// The mount points strictly below `root`, relative to it, from the text of `/proc/self/mountinfo`
/// (proc_pid_mountinfo(5); white space in a path is written as an octal escape).
pub fn mounts_below(root: &Path, mountinfo: &str) -> Vec<RootPath> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    points.filter_map(|point| inside(root, &point)).filter(|path| !path.is_root()).collect()
}

/// `path`, absolute on the machine, as a path of the root; `None` if it lies outside.
pub fn inside(root: &Path, path: &[u8]) -> Option<RootPath> {
    use std::os::unix::ffi::OsStrExt;
    let root = RootPath::clean(root.as_os_str().as_bytes())?;
    RootPath::clean(path)?.strip_prefix(&root)
}

/// Undoes the kernel's `\ooo` escapes.
fn unescape(field: &str) -> Vec<u8> {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\').and_then(octal);
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 4 } else { 1 };
    }
    out
}

fn octal(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
21 1 0:20 / / rw - overlay overlay rw\n\
22 21 0:21 / /proc rw,nosuid - proc proc rw\n\
23 21 8:1 /x /etc/hosts rw - ext4 /dev/sda1 rw\n\
24 21 8:1 /y /mnt/a\\040b rw - ext4 /dev/sda1 rw\n";

    fn check(root: &str, expected: &[&str]) {
        let found: Vec<Vec<u8>> =
            mounts_below(Path::new(root), MOUNTINFO).iter().map(|path| path.as_bytes().to_vec()).collect();
        assert_eq!(found, expected.iter().map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>(), "{root}");
    }

    #[test]
    fn mounts_are_relative_to_the_root() {
        check("/", &["proc", "etc/hosts", "mnt/a b"]);
        check("/mnt", &["a b"]);
        check("/mn", &[]);
        check("/etc/hosts", &[]);
    }
}
