//! Names in layers: cleaned to components, and told apart from whiteouts.

use super::Refusal;

const WHITEOUT: &[u8] = b".wh.";
const META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an entry's name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// The root directory.
    Root,
    /// A path: its parents and its own name.
    Path(Vec<&'a [u8]>, &'a [u8]),
    /// What lower layers have at this path is hidden.
    Whiteout(Vec<&'a [u8]>, &'a [u8]),
    /// What lower layers have below this directory is hidden.
    Opaque(Vec<&'a [u8]>),
    /// The bookkeeping of AUFS, which Docker ignores too.
    Bookkeeping,
}

/// The components of a path in a layer. A leading slash, empty ones and `.` mean nothing; `..` is refused.
pub(super) fn components(path: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let parts: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&&b".."[..]) { Err(Refusal::Climbs) } else { Ok(parts) }
}

impl<'a> Name<'a> {
    /// Reads an entry's name.
    pub(super) fn parse(path: &'a [u8]) -> Result<Self, Refusal> {
        let mut parents = components(path)?;
        let Some(name) = parents.pop() else { return Ok(Name::Root) };
        if parents.iter().chain([&name]).any(|part| part.starts_with(META) && *part != OPAQUE) {
            return Ok(Name::Bookkeeping);
        }
        if parents.iter().any(|part| part.starts_with(WHITEOUT)) {
            return Err(Refusal::Whiteout);
        }
        match name.strip_prefix(WHITEOUT) {
            None => Ok(Name::Path(parents, name)),
            Some(_) if name == OPAQUE => Ok(Name::Opaque(parents)),
            Some(b"" | b"." | b"..") => Err(Refusal::Whiteout),
            Some(hidden) => Ok(Name::Whiteout(parents, hidden)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Result<Name<'_>, Refusal>) {
        assert_eq!(Name::parse(path.as_bytes()), expected, "{path:?}");
    }

    #[test]
    fn names() {
        check("", Ok(Name::Root));
        check("./", Ok(Name::Root));
        check("/", Ok(Name::Root));
        check("a", Ok(Name::Path(vec![], b"a")));
        check("./a//b/./c/", Ok(Name::Path(vec![b"a", b"b"], b"c")));
        check("/etc/passwd", Ok(Name::Path(vec![b"etc"], b"passwd")));
        for climbing in ["..", "../a", "a/../b", "a/..", "/../a", "./.."] {
            check(climbing, Err(Refusal::Climbs));
        }
        check("a/...", Ok(Name::Path(vec![b"a"], b"...")));
    }

    #[test]
    fn whiteouts() {
        check("a/.wh.b", Ok(Name::Whiteout(vec![b"a"], b"b")));
        check("a/.wh..wh..opq", Ok(Name::Opaque(vec![b"a"])));
        check(".wh..wh..opq", Ok(Name::Opaque(vec![])));
        check(".wh..hidden", Ok(Name::Whiteout(vec![], b".hidden")));
        check(".wh..wh.plnk/1.2", Ok(Name::Bookkeeping));
        check(".wh..wh.aufs", Ok(Name::Bookkeeping));
        for malformed in [".wh.", ".wh..", ".wh...", "a/.wh.", ".wh.a/b", ".wh..wh..opq/b"] {
            check(malformed, Err(Refusal::Whiteout));
        }
    }
}
