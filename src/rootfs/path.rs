//! A path inside the root of the image: bytes, relative, clean. It cannot name anything outside.
//!
//! It does not promise that the path resolves inside the root: a symlink on the way may lead elsewhere. `Root` sees to that.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// A clean path relative to the root: no leading or doubled slash, no `.` or `..`, no NUL. The empty path is the root.
///
/// It is ordered by bytes, so that everything below `a/b` stands together, right after `a/b` and whatever sorts before
/// `a/b/`. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootPath(Arc<[u8]>);

impl RootPath {
    /// The root itself.
    pub fn root() -> Self {
        RootPath(Arc::from(&b""[..]))
    }

    /// Cleans `path` as if it were absolute: `..` at the top stays at the top, as in `chroot(2)`. `None` if it has a NUL.
    pub fn clean(path: impl AsRef<[u8]>) -> Option<Self> {
        let path = path.as_ref();
        if path.contains(&0) {
            return None;
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop();
                }
                name => parts.push(name),
            }
        }
        Some(RootPath(Arc::from(parts.join(&b'/'))))
    }

    /// The same of bytes that are shared if they are clean already.
    pub fn shared(path: &Arc<[u8]>) -> Option<Self> {
        let is_clean = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
        match path.is_empty() || path.split(|b| *b == b'/').all(is_clean) {
            true => Some(RootPath(Arc::clone(path))),
            false => RootPath::clean(path),
        }
    }

    /// This path with `name`, one component, appended. `name` must not be empty, `.`, `..`, or contain `/` or NUL.
    pub fn join_name(&self, name: &[u8]) -> Self {
        debug_assert!(!name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0));
        if self.is_root() {
            return RootPath(Arc::from(name));
        }
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        bytes.push(b'/');
        bytes.extend_from_slice(name);
        RootPath(Arc::from(bytes))
    }

    /// This path with `rest`, any number of components, appended.
    pub fn join(&self, rest: &RootPath) -> Self {
        match (self.is_root(), rest.is_root()) {
            (true, _) => rest.clone(),
            (_, true) => self.clone(),
            _ => RootPath(Arc::from([&self.0[..], b"/", &rest.0[..]].concat())),
        }
    }

    /// A key for range look-ups in an ordered record; it need not be clean and must not be used as a path.
    pub(super) fn from_sorted_key(bytes: Vec<u8>) -> Self {
        RootPath(Arc::from(bytes))
    }

    /// The bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as one relative to the root's directory handle: `.` for the root.
    pub fn relative(&self) -> &OsStr {
        OsStr::from_bytes(if self.is_root() { b"." } else { &self.0 })
    }

    /// This path below the directory `root` of the host. It is text: resolving it follows symlinks out of the root.
    pub fn below(&self, root: &Path) -> std::path::PathBuf {
        if self.is_root() { root.to_owned() } else { root.join(OsStr::from_bytes(&self.0)) }
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The parent and the last component; `None` for the root.
    pub fn split(&self) -> Option<(RootPath, &[u8])> {
        if self.is_root() {
            return None;
        }
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(slash) => Some((RootPath(Arc::from(&self.0[..slash])), &self.0[slash + 1..])),
            None => Some((RootPath::root(), &self.0)),
        }
    }

    /// The parent; `None` for the root.
    pub fn parent(&self) -> Option<RootPath> {
        self.split().map(|(parent, _)| parent)
    }

    /// The last component; `None` for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.0.rsplit(|b| *b == b'/').next().filter(|name| !name.is_empty())
    }

    /// All ancestors, nearest first, the root last; without the path itself.
    pub fn ancestors(&self) -> impl Iterator<Item = RootPath> {
        std::iter::successors(self.parent(), RootPath::parent)
    }

    /// Whether this is `other` or below it.
    pub fn is_at_or_below(&self, other: &RootPath) -> bool {
        other.is_root()
            || (self.0.starts_with(&other.0) && (self.0.len() == other.0.len() || self.0[other.0.len()] == b'/'))
    }

    /// What is left of this path below `other`, if it is at or below it.
    pub fn strip_prefix(&self, other: &RootPath) -> Option<RootPath> {
        if !self.is_at_or_below(other) {
            return None;
        }
        let rest = &self.0[other.0.len()..];
        Some(RootPath(Arc::from(rest.strip_prefix(b"/").unwrap_or(rest))))
    }
}

impl From<RootPath> for Arc<[u8]> {
    fn from(path: RootPath) -> Self {
        path.0
    }
}

/// By its bytes, which order and hash as the path does.
impl Borrow<[u8]> for RootPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// As an absolute path of the image, lossy: for messages only.
impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str) {
        assert_eq!(RootPath::clean(input).expect("no NUL").as_bytes(), expected.as_bytes(), "{input:?}");
    }

    #[test]
    fn cleaning_stays_inside() {
        check("/", "");
        check("", "");
        check("../../etc/passwd", "etc/passwd");
        check("/a//b/./c/../d/", "a/b/d");
        check("..", "");
        assert!(RootPath::clean("a\0b").is_none());
        for path in ["", "a", "a/b", ".a/..b", "/", "/a", "a/", "a//b", ".", "a/..", "a\0b", "../b"] {
            let bytes = Arc::from(path.as_bytes());
            assert_eq!(RootPath::shared(&bytes), RootPath::clean(path), "{path:?}");
        }
    }

    #[test]
    fn a_sibling_with_a_longer_name_is_not_below() {
        let path = |p: &str| RootPath::clean(p).expect("no NUL");
        assert!(path("a/b").is_at_or_below(&path("a")));
        assert!(!path("a-b").is_at_or_below(&path("a")));
        assert!(path("x").is_at_or_below(&RootPath::root()));
        assert_eq!(path("a/b/c").strip_prefix(&path("a")), Some(path("b/c")));
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), Some(RootPath::root()));
        assert_eq!(RootPath::root().parent(), None);
        assert_eq!(path("a/b").ancestors().count(), 2);
    }
}
