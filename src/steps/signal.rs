//! STOPSIGNAL: which names and numbers are signals of Linux (signal(7)). The config keeps the text as it was written.

/// Signals by name, without `SIG`; the real-time ones are written `RTMIN`, `RTMIN+n`, `RTMAX-n`, `RTMAX`.
const NAMES: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// The highest signal number of Linux.
const HIGHEST: u32 = 64;
/// How far `RTMIN+n` and `RTMAX-n` go: the C library offers 34 to 64.
const REAL_TIME: std::ops::RangeInclusive<u32> = 1..=30;

/// Whether `text` names a signal: a number from 1, or a name in any case, with or without `SIG`.
pub(super) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<u32>() {
        return (1..=HIGHEST).contains(&number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES.contains(&name) || is_real_time(name)
}

fn is_real_time(name: &str) -> bool {
    let offset = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) | (_, Some("")) => return true,
        (Some(rest), _) => rest.strip_prefix('+'),
        (_, Some(rest)) => rest.strip_prefix('-'),
        _ => None,
    };
    offset.and_then(|n| n.parse().ok()).is_some_and(|n: u32| REAL_TIME.contains(&n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: bool) {
        assert_eq!(is_signal(text), expected, "{text:?}");
    }

    #[test]
    fn names_and_numbers() {
        for good in ["SIGTERM", "term", "SigKill", "9", "1", "64", "RTMIN", "SIGRTMIN+3", "RTMAX-14", "sigrtmax"] {
            check(good, true);
        }
        for bad in
            ["", "SIG", "0", "65", "-9", "SIGFOO", "RTMIN+0", "RTMIN-1", "RTMAX+1", "RTMIN+31", "SIGSIGTERM", "9 "]
        {
            check(bad, false);
        }
    }
}
