//! The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?` and backslash escapes, no classes. POSIX.1-2024 XCU 2.14.
//!
//! Time is linear in the value: the patterns become regular expressions.

use regex::Regex;

/// How much a pattern takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Shortest,
    Longest,
}

/// Which matches are replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Occurrences {
    First,
    All,
}

/// `value` without the part at its start that `pattern` matches. `None` if the pattern is malformed.
pub(super) fn without_prefix(value: &str, pattern: &str, extent: Extent) -> Option<String> {
    // What is left is as long as the match is short.
    let rest = if extent == Extent::Shortest { ".*" } else { ".*?" };
    let regex = Regex::new(&format!("(?s)^(?:{})({rest})$", translate(pattern, extent)?)).ok()?;
    Some(kept(&regex, value))
}

/// `value` without the part at its end that `pattern` matches. `None` if the pattern is malformed.
pub(super) fn without_suffix(value: &str, pattern: &str, extent: Extent) -> Option<String> {
    let rest = if extent == Extent::Shortest { ".*" } else { ".*?" };
    let regex = Regex::new(&format!("(?s)^({rest})(?:{})$", translate(pattern, extent)?)).ok()?;
    Some(kept(&regex, value))
}

fn kept(regex: &Regex, value: &str) -> String {
    let kept = regex.captures(value).and_then(|captures| captures.get(1));
    kept.map_or(value, |kept| kept.as_str()).to_owned()
}

/// `value` with the longest leftmost match replaced, or every one. `None` if the pattern is malformed. Once the result is
/// longer than `limit` bytes, no more is added to it.
pub(super) fn replace(
    value: &str,
    pattern: &str,
    replacement: &str,
    which: Occurrences,
    limit: usize,
) -> Option<String> {
    let regex = Regex::new(&format!("(?s){}", translate(pattern, Extent::Longest)?)).ok()?;
    let count = if which == Occurrences::First { 1 } else { usize::MAX };
    let (mut out, mut end) = (String::new(), 0);
    for found in regex.find_iter(value).take(count) {
        if out.len() > limit {
            break;
        }
        out.push_str(&value[end..found.start()]);
        out.push_str(replacement);
        end = found.end();
    }
    out.push_str(&value[end..]);
    Some(out)
}

/// The regular expression of a pattern; `None` if it escapes what needs no escape, or ends in a backslash.
fn translate(pattern: &str, extent: Extent) -> Option<String> {
    let mut regex = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str(if extent == Extent::Longest { ".*" } else { ".*?" }),
            '?' => regex.push('.'),
            '\\' => {
                let escaped = chars.next().filter(|c| matches!(c, '*' | '?' | '\\' | '}' | '/'))?;
                regex.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4])));
            }
            _ => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    Some(regex)
}
