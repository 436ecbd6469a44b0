//! The name that was likely meant where one is mistyped.

/// The candidate nearest to `name`, if it is near enough: one edit for short names, one more for each four letters.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = 1 + name.chars().count().min(64) / 4;
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean X?)` for the nearest candidate; empty if none is near.
pub(super) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`, cases not told apart.
/// A name longer than 64 letters is too far from anything.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().take(65).collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    if a.len() > 64 {
        return usize::MAX;
    }
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<&str>) {
        let names = ["FROM", "RUN", "COPY", "ENV", "ENTRYPOINT", "WORKDIR", "ADD", "EXPOSE"];
        assert_eq!(nearest(name, names), expected, "{name}");
    }

    #[test]
    fn nearest_name() {
        check("FORM", Some("FROM"));
        check("run", Some("RUN"));
        check("COPPY", Some("COPY"));
        check("ENTRYPIONT", Some("ENTRYPOINT"));
        check("WORKDIRECTORY", None);
        check("WORK_DIR", Some("WORKDIR"));
        check("EXPORT", Some("EXPOSE"));
        check("INCLUDE", None);
        check("", None);
        check(&"x".repeat(1 << 20), None);
    }
}
