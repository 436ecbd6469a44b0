//! Sizes in bytes as Docker writes them: `64m`, `1.5GB`, `512KiB`. A unit is a power of 1024 whether or not it has an `i`.

/// The number of bytes that `text` says; `None` if it is no size, is negative or does not fit.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim_start().to_ascii_lowercase());
    let number: f64 = number.parse().ok()?;
    let letters = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match letters {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    if letters.is_empty() && unit == "ib" {
        return None;
    }
    let size = number * 1024f64.powi(power);
    // 2^63: what Go's int64 holds.
    (size < 9_223_372_036_854_775_808.0).then_some(size as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("10b", Some(10)),
            ("1k", Some(1024)),
            ("1kb", Some(1024)),
            ("1KiB", Some(1024)),
            ("64m", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("2T", Some(2 << 40)),
            ("1 GB", Some(1 << 30)),
            ("", None),
            ("x", None),
            ("-1", None),
            ("1x", None),
            ("1ib", None),
            ("1.2.3", None),
            ("9999999p", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }
}
