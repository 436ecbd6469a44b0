//! Durations as Go writes them: `1h30m`, `1.5s`, `300ms`, `0`.

/// Nanoseconds of each unit.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// The nanoseconds that `text` says, negative ones too; `None` if it is no duration or does not fit.
pub(super) fn nanoseconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (_, size) = UNITS.iter().find(|(unit, _)| *unit == &rest[..end])?;
        total += number * size;
        rest = &rest[end..];
    }
    (total < 9_223_372_036_854_775_807.0).then_some((sign * total) as i64)
}

/// `nanoseconds` as Go prints them: `1m30s`, `1.5s`, `100ms`, `0s`.
pub(super) fn print(nanoseconds: i64) -> String {
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
