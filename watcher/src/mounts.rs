//! Which mounts lie at or below a directory, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
//!
//! A mount that comes or goes while a step runs hides or shows a part of the tree without any event. Only the mounts of
//! our own mount namespace are seen, and one that came and went again is not.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The mounts at or below one directory: of each, its id, device, root and mount point.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mounts(BTreeSet<Vec<u8>>);

impl Mounts {
    /// Those at or below `root`, an absolute path without symlinks.
    pub fn below(root: &Path) -> io::Result<Self> {
        Ok(Mounts::parse(&std::fs::read("/proc/self/mountinfo")?, root.as_os_str().as_bytes()))
    }

    /// Those of `table`, in the form of mountinfo, at or below `root`.
    fn parse(table: &[u8], root: &[u8]) -> Self {
        Mounts(table.split(|byte| *byte == b'\n').filter_map(|line| mount_below(line, root)).collect())
    }
}

/// The mount points that a table in the form of mountinfo names, as they are: any bytes.
pub fn mount_points(table: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let fields = |line: &'_ [u8]| line.split(|byte| *byte == b' ').nth(4).map(unescape);
    table.split(|byte| *byte == b'\n').filter_map(fields)
}

/// The identifying fields of one line, if its mount point is at or below `root`.
fn mount_below(line: &[u8], root: &[u8]) -> Option<Vec<u8>> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').take(5).collect();
    let point = unescape(fields.get(4)?);
    let rest = point.strip_prefix(root)?;
    let below = root == b"/" || rest.is_empty() || rest.starts_with(b"/");
    below.then(|| [fields[0], fields[2], fields[3], fields[4]].join(&b' '))
}

/// A path of mountinfo, in which blanks and backslashes are `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        match octal(rest) {
            Some(byte) => {
                path.push(byte);
                rest = &rest[4..];
            }
            None => {
                path.push(*first);
                rest = after;
            }
        }
    }
    path
}

/// The byte that an escape at the start of `bytes` stands for.
fn octal(bytes: &[u8]) -> Option<u8> {
    let [b'\\', digits @ ..] = bytes.first_chunk::<4>()? else { return None };
    let digits = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"21 1 254:0 / / rw - ext4 /dev/vda rw\n\
        22 21 0:20 / /proc rw shared:3 - proc proc rw\n\
        30 21 0:30 / /build rw - tmpfs t rw\n\
        31 30 0:31 /sub /build/a\\040b\\134c rw - tmpfs t rw\n\
        32 21 0:32 / /builder rw - tmpfs t rw\n\nbroken\n";

    #[test]
    fn mounts_at_and_below_the_root_count() {
        let check = |root: &[u8], expected: &[&[u8]]| {
            let expected = Mounts(expected.iter().map(|line| line.to_vec()).collect());
            assert_eq!(Mounts::parse(TABLE, root), expected, "{}", root.escape_ascii());
        };
        check(b"/build", &[b"30 0:30 / /build", b"31 0:31 /sub /build/a\\040b\\134c"]);
        check(b"/build/a b\\c", &[b"31 0:31 /sub /build/a\\040b\\134c"]);
        check(b"/build/a", &[]);
        check(b"/proc/1", &[]);
        assert_eq!(Mounts::parse(TABLE, b"/").0.len(), 5);
    }

    #[test]
    fn a_mount_point_is_any_bytes() {
        let table = b"1 0 0:1 / / rw - t t rw\n2 1 0:2 / /a\xff\\012 rw - t t rw\nbroken\n";
        assert_eq!(mount_points(table).collect::<Vec<_>>(), [b"/".to_vec(), b"/a\xff\n".to_vec()]);
    }

    #[test]
    fn only_octal_escapes_are_undone() {
        let check = |field: &[u8], expected: &[u8]| assert_eq!(unescape(field), expected);
        check(br"a\040b", b"a b");
        check(br"\134040", br"\040");
        check(br"\04", br"\04");
        check(br"\0", br"\0");
        check(br"\999", br"\999");
        check(br"\777", br"\777");
    }
}
