//! What a flag's value may look like: Go's booleans, numbers and durations, and pairs. Each error says what is allowed.

use jiff::SignedDuration;

/// Go's `strconv.ParseBool`, which pflag uses.
pub(super) fn go_bool(word: &str) -> Result<bool, String> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{word:?} is not a boolean (true or false)")),
    }
}

/// `NAME=VALUE`.
pub(super) fn pair(word: &str) -> Result<(String, String), String> {
    match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{word:?} is not of the form NAME=VALUE")),
    }
}

/// `NAME=VALUE`, or `NAME` alone for the value that the environment has.
pub(super) fn pair_or_name(word: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    if name.is_empty() { Err(format!("{word:?} has no name")) } else { Ok((name.to_owned(), value)) }
}

/// How often something is tried again.
pub(super) fn count(word: &str) -> Result<u32, String> {
    word.parse().map_err(|_| format!("{word:?} is not a number of times (0, 1, 2, …)"))
}

/// A number of bytes as Docker writes it, as `500m` or `10g`.
pub(super) fn size(word: &str) -> Result<u64, String> {
    crate::dockerfile::size_in_bytes(word)
        .ok_or_else(|| format!("{word:?} is not a size (a number of bytes, or as 500m, 10g)"))
}

/// Go's `time.ParseDuration`: numbers with units, as `336h`, `1h30m`, `1.5h`, `-100ms`; `0` needs none.
pub(super) fn duration(word: &str) -> Result<SignedDuration, String> {
    let (sign, terms) = match word.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let nanoseconds = if terms == "0" { Some(0) } else { sum(terms) };
    let within = nanoseconds.and_then(|total| i64::try_from(sign * total).ok());
    within.map(SignedDuration::from_nanos).ok_or_else(|| {
        format!("{word:?} is not a duration (a number with h, m, s, ms, us or ns, as 336h, 1h30m, 1.5h or 100ms)")
    })
}

/// The nanoseconds of one term or more.
fn sum(mut terms: &str) -> Option<i128> {
    let mut total = 0_i128;
    loop {
        let (nanoseconds, rest) = term(terms)?;
        total = total.checked_add(nanoseconds)?;
        if rest.is_empty() {
            return Some(total);
        }
        terms = rest;
    }
}

/// The first term, a number with its unit, and what follows it.
fn term(text: &str) -> Option<(i128, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest.find(|letter: char| letter == '.' || letter.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit = nanoseconds(unit)?;
    let number = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
    // What is beyond a nanosecond of an hour is nothing.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let nanoseconds = number(whole)?.checked_mul(unit)?.checked_add(number(fraction)? * unit / scale)?;
    Some((nanoseconds, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()))
}

fn nanoseconds(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, seconds: Option<f64>) {
        assert_eq!(duration(word).ok().map(|found| found.as_secs_f64()), seconds, "{word:?}");
    }

    #[test]
    fn durations_are_those_of_go() {
        check("336h", Some(1_209_600.0));
        check("1h30m", Some(5400.0));
        check("1.5h", Some(5400.0));
        check("100ms", Some(0.1));
        check("-1m", Some(-60.0));
        check("+1m", Some(60.0));
        check("0", Some(0.0));
        check("-0", Some(0.0));
        check("0s", Some(0.0));
        check(".5s", Some(0.5));
        check("5.s", Some(5.0));
        check("1h1m1s1ms1us1ns", Some(3_661.001_001_001));
        check("1\u{b5}s", Some(0.000_001));
        check("1\u{3bc}s", Some(0.000_001));
        check("0.1000000000000000000000000000001h", Some(360.0));
        check("2562047h", Some(2562047.0 * 3600.0));
        for wrong in ["", "-", "+", "5", "h", ".s", "1d", "1w", "1h ", " 1h", "1 h", "1h5", "--1h", "1H", "2562048h"] {
            check(wrong, None);
        }
        check(&"9".repeat(60), None);
        check(&format!("{}h", "9".repeat(60)), None);
        assert!(duration("2 weeks").expect_err("none").contains("336h"));
    }

    #[test]
    fn booleans_are_those_of_go() {
        for (word, expected) in [("1", true), ("t", true), ("TRUE", true), ("True", true), ("0", false), ("F", false)] {
            assert_eq!(go_bool(word), Ok(expected), "{word}");
        }
        for word in ["yes", "no", "on", "tRUE", "", " true"] {
            assert!(go_bool(word).expect_err("no boolean").contains("true or false"), "{word}");
        }
    }
}
