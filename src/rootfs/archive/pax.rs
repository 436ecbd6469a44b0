//! What the tar parser leaves of PAX records: strictness, and times below the second. See pax(1), "pax Extended Header".
//!
//! As in the parser the last of several records counts, and an empty value leaves the field of the ustar header.

use crate::rootfs::Timestamp;

const MALFORMED: &str = "malformed PAX record";

/// Checks that all of `records` is well formed, and returns the `mtime` that it sets.
pub(super) fn check(mut records: &[u8]) -> Result<Option<Timestamp>, &'static str> {
    let mut mtime = None;
    while !records.is_empty() {
        let (key, value, rest) = first(records).ok_or(MALFORMED)?;
        records = rest;
        match key {
            b"mtime" if !value.is_empty() => mtime = Some(time(value).ok_or("malformed PAX time")?),
            b"size" | b"uid" | b"gid" if !value.iter().all(u8::is_ascii_digit) => return Err("malformed PAX number"),
            b"size" | b"uid" | b"gid" if value.len() > 19 => return Err("PAX number out of range"),
            _ => {}
        }
    }
    Ok(mtime)
}

/// Key and value of the first record, and the records after it. The parser has the same rule, but where it finds no length
/// it ends without a word.
fn first(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|b| *b == b' ')?;
    let length = std::str::from_utf8(&records[..space]).ok().filter(|digits| !digits.starts_with('+'))?;
    let (record, rest) = records.split_at_checked(length.parse().ok()?)?;
    let pair = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|b| *b == b'=')?;
    Some((&pair[..equals], &pair[equals + 1..], rest))
}

/// Decimal seconds, with a sign and a fraction; digits after the ninth are dropped.
fn time(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let sec: i64 = whole.parse().ok()?;
    let nsec: u32 = format!("{fraction:0<9}")[..9].parse().ok()?;
    Some(match (negative, nsec) {
        (false, _) => Timestamp { sec, nsec },
        (true, 0) => Timestamp { sec: -sec, nsec },
        (true, _) => Timestamp { sec: -sec - 1, nsec: 1_000_000_000 - nsec },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_time(value: &str, expected: Option<(i64, u32)>) {
        assert_eq!(time(value.as_bytes()), expected.map(|(sec, nsec)| Timestamp { sec, nsec }), "{value:?}");
    }

    #[test]
    fn times() {
        check_time("0", Some((0, 0)));
        check_time("1350244992.023960108", Some((1350244992, 23960108)));
        check_time("1.5", Some((1, 500_000_000)));
        check_time("1.", Some((1, 0)));
        check_time("1.9999999999", Some((1, 999_999_999)));
        check_time("-1", Some((-1, 0)));
        check_time("-1.25", Some((-2, 750_000_000)));
        for bad in ["", ".5", "-", "+1", "1e3", "1.-5", "99999999999999999999", " 1"] {
            check_time(bad, None);
        }
    }

    fn check_records(records: &[u8], expected: Result<Option<i64>, &'static str>) {
        let shown = String::from_utf8_lossy(records).into_owned();
        assert_eq!(check(records).map(|time| time.map(|t| t.sec)), expected, "{shown:?}");
    }

    #[test]
    fn records() {
        check_records(b"", Ok(None));
        check_records(b"9 mtime=\n", Ok(None));
        check_records(b"11 mtime=3\n11 mtime=7\n", Ok(Some(7)));
        check_records(b"9 size=1\n", Ok(None));
        check_records(b"11 size=+1\n", Err("malformed PAX number"));
        check_records(b"11 size=-1\n", Err("malformed PAX number"));
        check_records(b"9 size=1\ngarbage", Err("malformed PAX record"));
        check_records(b"9 size=1\n\0\0", Err("malformed PAX record"));
        check_records(b"99 size=1\n", Err("malformed PAX record"));
        check_records(b"0 size=1\n", Err("malformed PAX record"));
        check_records(b"+10 size=1\n", Err("malformed PAX record"));
        check_records(b"7 size\n", Err("malformed PAX record"));
        for length in [99, 100] {
            let record = format!("{length} comment={}\n", "x".repeat(87));
            check_records(&record.as_bytes()[..length], Ok(None));
        }
    }
}
