//! Which part of a directory COPY and ADD take: the patterns of `--exclude` and those of `--parents`.
//!
//! Both have the syntax of ignore files and count from the directory that is copied. Follows BuildKit.

use anyhow::{Context as _, Result, ensure};

use super::state::StageState;
use crate::dockerfile::ignore::Ignore;
use crate::rootfs::Selection;

/// The patterns of `--exclude`, expanded.
pub(super) fn excludes(state: &StageState, words: &[String]) -> Result<Ignore> {
    let mut patterns = Vec::new();
    for word in words {
        let pattern = state.expand(word)?;
        let is_exception = pattern.starts_with('!');
        patterns.push(line(&pattern, is_exception).with_context(|| format!("--exclude={word}"))?);
    }
    Ignore::parse(patterns.join("\n").as_bytes()).context("--exclude")
}

/// All but what `pattern` names, as an ignore file says it.
pub(super) fn includes(pattern: &str) -> Result<Ignore> {
    let pattern = pattern.trim_matches('/');
    let is_all = pattern.split('/').all(|name| matches!(name, "" | "."));
    let text = if is_all { String::new() } else { format!("*\n!./{}", line(pattern, true)?) };
    Ignore::parse(text.as_bytes()).with_context(|| format!("--parents: {pattern:?}"))
}

/// A pattern as a line of an ignore file; one that begins with `#` is no comment here.
fn line(pattern: &str, is_marked: bool) -> Result<String> {
    ensure!(!pattern.contains(['\n', '\0']), "{pattern:?} is no pattern");
    Ok(if is_marked { pattern.to_owned() } else { format!("./{pattern}") })
}

/// What the patterns say of a path below the directory.
pub(super) fn selection(patterns: &Ignore, path: &[u8], is_directory: bool) -> Selection {
    match patterns.excluded(path) {
        None => Selection::Take,
        Some(_) if is_directory && patterns.may_include_below(path) => Selection::Descend,
        Some(_) => Selection::Skip,
    }
}

/// What both take.
pub(super) fn narrower(one: Selection, other: Selection) -> Selection {
    match (one, other) {
        (Selection::Skip, _) | (_, Selection::Skip) => Selection::Skip,
        (Selection::Descend, _) | (_, Selection::Descend) => Selection::Descend,
        _ => Selection::Take,
    }
}
