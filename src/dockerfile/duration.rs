//! Durations as Go writes them: `1h30m`, `1.5s`, `300ms`, `0`.

/// Nanoseconds of each unit.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The nanoseconds that `text` says, negative ones too; `None` if it is no duration or does not fit.
pub(super) fn nanoseconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (_, size) = UNITS.iter().find(|(unit, _)| *unit == &after[..end])?;
        total = total.checked_add(multiple(number, *size)?)?;
        rest = &after[end..];
    }
    i64::try_from(total).ok().map(|total| sign * total)
}

/// `number`, digits with perhaps a point among them, times `size`; what is smaller than one is dropped.
fn multiple(number: &str, size: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    let fraction = &fraction[..fraction.len().min(18)];
    let part = digits(fraction)? * size / 10u128.pow(u32::try_from(fraction.len()).ok()?);
    digits(whole)?.checked_mul(size)?.checked_add(part)
}

/// `nanoseconds` as Go prints them: `1m30s`, `1.5s`, `100ms`, `0s`.
pub fn print(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let value = nanoseconds.unsigned_abs();
    if value == 0 {
        return "0s".to_owned();
    }
    let small = [(1_000, "ns", 1), (1_000_000, "\u{b5}s", 1_000), (1_000_000_000, "ms", 1_000_000)];
    if let Some((_, unit, size)) = small.iter().find(|(limit, _, _)| value < *limit) {
        return format!("{sign}{}{unit}", decimal(value, *size));
    }
    let (hours, minutes) = (value / 3_600_000_000_000, value / 60_000_000_000 % 60);
    let seconds = decimal(value % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / size`, `size` being a power of ten, without zeros at the end.
fn decimal(value: u64, size: u64) -> String {
    let digits = size.ilog10() as usize;
    match value % size {
        0 => (value / size).to_string(),
        rest => format!("{}.{}", value / size, format!("{rest:0digits$}").trim_end_matches('0')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("0s", Some(0)),
            ("5s", Some(5_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            (".5s", Some(500_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("300ms", Some(300_000_000)),
            ("2us", Some(2_000)),
            ("2\u{b5}s", Some(2_000)),
            ("7ns", Some(7)),
            ("-1s", Some(-1_000_000_000)),
            ("+1s", Some(1_000_000_000)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1x", None),
            ("1 s", None),
            ("1.2.3s", None),
            (".s", None),
            ("0.0000000001s", Some(0)),
            ("9223372036854775807ns", Some(i64::MAX)),
            ("9223372036854775808ns", None),
            ("1d", None),
            ("9999999999h", None),
        ] {
            assert_eq!(nanoseconds(text), expected, "{text:?}");
        }
    }

    #[test]
    fn printed_as_go_does() {
        for (value, expected) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5\u{b5}s"),
            (300_000_000, "300ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (60_000_000_000, "1m0s"),
            (90_000_000_000, "1m30s"),
            (5_400_000_000_000, "1h30m0s"),
            (-1_000_000_000, "-1s"),
        ] {
            assert_eq!(print(value), expected);
            assert_eq!(nanoseconds(expected), Some(value), "{expected}");
        }
    }
}
