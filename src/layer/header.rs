//! Tar headers: ustar, with pax records where a field cannot say it.
//!
//! A record is written only for what does not fit: long names and link targets, large numbers, times before 1970 or below
//! a second, extended attributes. Names are bytes, in the header and in the records (as GNU tar writes them).
//! POSIX.1-2001 `pax`, "ustar Interchange Format" and "pax Extended Header".

use anyhow::{Result, bail};

use crate::rootfs::{Timestamp, Xattrs};

pub(super) const BLOCK: usize = 512;

/// The `typeflag` of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    File = b'0' as isize,
    HardLink = b'1' as isize,
    Symlink = b'2' as isize,
    CharDevice = b'3' as isize,
    BlockDevice = b'4' as isize,
    Directory = b'5' as isize,
    Fifo = b'6' as isize,
    Pax = b'x' as isize,
}

/// What one entry says. `name` is as in the tar: a directory's ends with a slash.
pub(super) struct Header<'a> {
    pub(super) name: &'a [u8],
    pub(super) flag: Flag,
    pub(super) link: &'a [u8],
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) mtime: Timestamp,
    pub(super) device: (u32, u32),
    pub(super) xattrs: Option<&'a Xattrs>,
}

impl Default for Header<'_> {
    fn default() -> Self {
        Header {
            name: b"",
            flag: Flag::File,
            link: b"",
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Timestamp::default(),
            device: (0, 0),
            xattrs: None,
        }
    }
}

const NAME_MAX: usize = 100;
/// The largest number in a field of eight bytes, and of twelve.
const SHORT_MAX: u64 = 0o7777777;
const LONG_MAX: u64 = 0o77777777777;

impl Header<'_> {
    /// The blocks of the header, those of its pax records first.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let records = self.records()?;
        let mut blocks = Vec::with_capacity(4 * BLOCK);
        if !records.is_empty() {
            let pax = Header {
                name: b"././@PaxHeader",
                flag: Flag::Pax,
                mode: 0o644,
                size: records.len() as u64,
                ..Header::default()
            };
            blocks.extend_from_slice(&pax.ustar()?);
            blocks.extend_from_slice(&records);
            blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        }
        blocks.extend_from_slice(&self.ustar()?);
        Ok(blocks)
    }

    fn records(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut number = |key: &[u8], value: u64, max: u64| {
            if value > max {
                record(&mut out, key, value.to_string().as_bytes());
            }
        };
        number(b"uid", u64::from(self.uid), SHORT_MAX);
        number(b"gid", u64::from(self.gid), SHORT_MAX);
        number(b"size", self.size, LONG_MAX);
        if self.name.len() > NAME_MAX {
            record(&mut out, b"path", self.name);
        }
        if self.link.len() > NAME_MAX {
            record(&mut out, b"linkpath", self.link);
        }
        if self.mtime.nsec != 0 || !fits_mtime(self.mtime.sec) {
            record(&mut out, b"mtime", decimal(self.mtime).as_bytes());
        }
        for (name, value) in self.xattrs.into_iter().flatten() {
            if name.contains(&b'=') {
                bail!(
                    "the extended attribute {:?} cannot be in a layer: its name has a =",
                    String::from_utf8_lossy(name)
                );
            }
            record(&mut out, &[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
        Ok(out)
    }

    fn ustar(&self) -> Result<[u8; BLOCK]> {
        let (major, minor) = self.device;
        if u64::from(major.max(minor)) > SHORT_MAX {
            bail!("the device number {major}:{minor} does not fit a tar header");
        }
        let mut block = [0; BLOCK];
        put(&mut block[0..100], self.name);
        octal(&mut block[100..108], u64::from(self.mode));
        octal(&mut block[108..116], fitting(u64::from(self.uid), SHORT_MAX));
        octal(&mut block[116..124], fitting(u64::from(self.gid), SHORT_MAX));
        octal(&mut block[124..136], fitting(self.size, LONG_MAX));
        octal(&mut block[136..148], u64::try_from(self.mtime.sec).map_or(0, |sec| fitting(sec, LONG_MAX)));
        block[156] = self.flag as u8;
        put(&mut block[157..257], self.link);
        put(&mut block[257..265], b"ustar\x0000");
        octal(&mut block[329..337], u64::from(major));
        octal(&mut block[337..345], u64::from(minor));
        checksum(&mut block);
        Ok(block)
    }
}

fn fits_mtime(sec: i64) -> bool {
    u64::try_from(sec).is_ok_and(|sec| sec <= LONG_MAX)
}

fn fitting(value: u64, max: u64) -> u64 {
    if value > max { 0 } else { value }
}

/// As much of `value` as fits; the rest is in a record.
fn put(field: &mut [u8], value: &[u8]) {
    let len = value.len().min(field.len());
    field[..len].copy_from_slice(&value[..len]);
}

/// Octal digits that fill the field but for a last NUL.
fn octal(field: &mut [u8], value: u64) {
    let last = field.len() - 1;
    let mut rest = value;
    for digit in field[..last].iter_mut().rev() {
        *digit = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    field[last] = 0;
}

/// The sum of all bytes, its own field taken as spaces: six octal digits, NUL, space.
fn checksum(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..155], sum);
}

/// `LEN KEY=VALUE\n`, where LEN counts itself.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() > len {
        len += 1;
    }
    out.extend_from_slice(len.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Seconds as a decimal number without trailing zeros; before 1970 the nanoseconds count towards zero.
fn decimal(time: Timestamp) -> String {
    let total = i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec);
    let sign = if total < 0 { "-" } else { "" };
    let (sec, nsec) = (total.unsigned_abs() / 1_000_000_000, total.unsigned_abs() % 1_000_000_000);
    let text = format!("{sign}{sec}.{nsec:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_decimal(sec: i64, nsec: u32, expected: &str) {
        assert_eq!(decimal(Timestamp { sec, nsec }), expected);
    }

    #[test]
    fn times_are_decimal_numbers() {
        check_decimal(0, 0, "0");
        check_decimal(100, 0, "100");
        check_decimal(1, 500_000_000, "1.5");
        check_decimal(1, 1, "1.000000001");
        check_decimal(-1, 0, "-1");
        check_decimal(-5, 500_000_000, "-4.5");
        check_decimal(-1, 999_999_999, "-0.000000001");
    }

    #[test]
    fn a_record_counts_its_own_length() {
        let check = |value: usize, expected: usize| {
            let mut out = Vec::new();
            record(&mut out, b"path", &vec![b'a'; value]);
            assert_eq!(out.len(), expected);
            assert!(out.starts_with(format!("{expected} path=").as_bytes()));
        };
        check(0, 8);
        check(1, 9);
        check(2, 11);
        check(90, 99);
        check(91, 101);
        check(989, 999);
        check(990, 1001);
    }

    #[test]
    fn what_fits_has_no_records() {
        let plain = |header: Header<'_>| header.encode().expect("encodes").len() == BLOCK;
        let name = [b'n'; 101];
        let at = |sec, nsec| Timestamp { sec, nsec };
        assert!(plain(Header { name: &name[..100], uid: 0o7777777, mtime: at(1, 0), ..Header::default() }));
        assert!(!plain(Header { name: &name, ..Header::default() }));
        assert!(!plain(Header { link: &name, ..Header::default() }));
        assert!(!plain(Header { uid: 0o10000000, ..Header::default() }));
        assert!(!plain(Header { size: 8 << 30, ..Header::default() }));
        assert!(plain(Header { size: (8 << 30) - 1, ..Header::default() }));
        assert!(!plain(Header { mtime: at(1, 1), ..Header::default() }));
        assert!(!plain(Header { mtime: at(-1, 0), ..Header::default() }));
    }

    #[test]
    fn an_attribute_name_that_pax_cannot_say_is_refused() {
        let xattrs = Xattrs::from_iter([(b"user.a=b"[..].into(), b"v"[..].into())]);
        let error = Header { xattrs: Some(&xattrs), ..Header::default() }.encode().expect_err("refused");
        assert!(error.to_string().contains("user.a=b"));
    }
}
