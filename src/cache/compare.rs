//! Why a step was not found: the parts of its key that differ from those of the newest entry of the same step.

use std::collections::BTreeMap;

use super::{Kind, Part, Record};

/// A part that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub kind: Kind,
    /// Which.
    pub name: String,
    /// `changed`, `added` or `removed`.
    pub how: &'static str,
}

/// What differs between the parts of a key and an entry of another key, in the order of [`Kind`] and then of names. A file that
/// two words of an instruction name is compared with itself.
pub fn compare(parts: &[Part], entry: &Record) -> Vec<Difference> {
    let now = entry.like(parts);
    let (now, before) = (by_name(&now), by_name(entry));
    let mut found = Vec::new();
    for (at, digests) in &now {
        match before.get(at) {
            Some(same) if same == digests => {}
            Some(_) => found.push(difference(at, "changed")),
            None => found.push(difference(at, "added")),
        }
    }
    found.extend(before.keys().filter(|at| !now.contains_key(*at)).map(|at| difference(at, "removed")));
    found.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    found
}

type At<'r> = (Kind, &'r str);

fn by_name(record: &Record) -> BTreeMap<At<'_>, Vec<&str>> {
    let mut parts: BTreeMap<At<'_>, Vec<&str>> = BTreeMap::new();
    for (kind, name, digest) in &record.parts {
        if let Some(kind) = Kind::of_name(kind) {
            parts.entry((kind, name)).or_default().push(digest);
        }
    }
    parts
}

fn difference(at: &At<'_>, how: &'static str) -> Difference {
    Difference { kind: at.0, name: at.1.to_owned(), how }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_the_weightiest_first() {
        let part = |kind, name: &str, value: &str| Part::new(kind, name, value);
        let before = [
            part(Kind::Before, "", "k"),
            part(Kind::Instruction, "COPY", "a"),
            part(Kind::File, "a", "1"),
            part(Kind::File, "b", "1"),
            part(Kind::Argument, "A", "1"),
        ];
        let now = [
            part(Kind::Before, "", "k"),
            part(Kind::Instruction, "COPY", "a"),
            part(Kind::File, "c", "1"),
            part(Kind::File, "b", "2"),
            part(Kind::Argument, "A", "2"),
        ];
        let record = Record::of(&before).expect("random");
        assert_eq!(compare(&before, &record), []);
        let found: Vec<_> =
            compare(&now, &record).into_iter().map(|d| format!("{} {} {}", d.kind.name(), d.name, d.how)).collect();
        assert_eq!(found, ["argument A changed", "file a removed", "file b changed", "file c added"]);
    }
}
