//! The outcome of a comparison: what must happen to the base so that it becomes the tree.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;

use crate::rootfs::{Entry, RootPath};

/// What happens to one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It becomes this, whatever it was. The content of a file is on disk; where the digest is there, it must match.
    Put(Arc<Entry>),
    /// It becomes another name of the file that is `Put` at this path, which sorts before it.
    Link(RootPath),
    /// It and everything below it goes. Only the top-most path of what goes is named.
    Remove,
}

/// Changes by path, in byte order. Nothing is below a path that is removed or becomes a non-directory, and all names that
/// a changed file has in the image are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet(BTreeMap<RootPath, Change>);

impl ChangeSet {
    /// What happens to `path`, if anything.
    pub fn get(&self, path: &RootPath) -> Option<&Change> {
        self.0.get(path)
    }

    /// All, in order.
    pub fn iter(&self) -> btree_map::Iter<'_, RootPath, Change> {
        self.0.iter()
    }

    /// How many paths change.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing changed: such a step makes no layer.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first path below any of `directories`.
    pub fn below(&self, directories: &[RootPath]) -> Option<&RootPath> {
        let is_below = |path: &RootPath| directories.iter().any(|dir| path != dir && path.is_at_or_below(dir));
        self.iter().map(|(path, _)| path).find(|path| is_below(path))
    }

    /// What is left without all that happens below `directories`. A file that keeps a name elsewhere is put there.
    pub fn without_below(&self, directories: &[RootPath]) -> ChangeSet {
        let is_below = |path: &RootPath| directories.iter().any(|dir| path != dir && path.is_at_or_below(dir));
        let mut first_names: BTreeMap<&RootPath, &RootPath> = BTreeMap::new();
        let mut left = ChangeSet::default();
        for (path, change) in self.iter().filter(|(path, _)| !is_below(path)) {
            let change = match change {
                Change::Link(first) if is_below(first) => match first_names.get(first) {
                    Some(kept) => Change::Link((*kept).clone()),
                    None => {
                        first_names.insert(first, path);
                        self.get(first).unwrap_or(change).clone()
                    }
                },
                change => change.clone(),
            };
            left.insert(path.clone(), change);
        }
        left
    }

    /// Each path that becomes another name of a file, and the first name of that.
    pub(super) fn into_links(self) -> BTreeMap<RootPath, RootPath> {
        let link = |(path, change)| match change {
            Change::Link(first) => Some((path, first)),
            _ => None,
        };
        self.0.into_iter().filter_map(link).collect()
    }

    /// Notes a change; a later one for the same path replaces it.
    pub(super) fn insert(&mut self, path: RootPath, change: Change) {
        self.0.insert(path, change);
    }
}

impl<'a> IntoIterator for &'a ChangeSet {
    type Item = (&'a RootPath, &'a Change);
    type IntoIter = btree_map::Iter<'a, RootPath, Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromIterator<(RootPath, Change)> for ChangeSet {
    fn from_iter<I: IntoIterator<Item = (RootPath, Change)>>(items: I) -> Self {
        ChangeSet(items.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::{Kind, Timestamp, Xattrs};

    fn path(text: &str) -> RootPath {
        RootPath::clean(text).expect("a path")
    }

    fn put() -> Change {
        let kind = Kind::File { size: 1, digest: None };
        let mtime = Timestamp::default();
        Change::Put(Arc::new(Entry { kind, mode: 0o644, uid: 0, gid: 0, mtime, xattrs: Xattrs::new() }))
    }

    #[test]
    fn what_is_below_goes_and_links_stay_whole() {
        let link = |first: &str| Change::Link(path(first));
        let rows = [
            ("a", put()),
            ("v", put()),
            ("v/x", put()),
            ("v/y", Change::Remove),
            ("va", put()),
            ("w", link("v/x")),
            ("x", link("v/x")),
            ("y", link("a")),
        ];
        let changes: ChangeSet = rows.into_iter().map(|(name, change)| (path(name), change)).collect();
        let left = changes.without_below(&[path("v")]);
        let expected = [("a", put()), ("v", put()), ("va", put()), ("w", put()), ("x", link("w")), ("y", link("a"))];
        assert_eq!(left, expected.into_iter().map(|(name, change)| (path(name), change)).collect());
        assert_eq!(changes.without_below(&[]), changes);
    }
}
