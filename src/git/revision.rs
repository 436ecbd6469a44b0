//! Which commit of a repository is meant, and how its references are asked for that (gitrevisions(7), as `git fetch` has it).

use anyhow::{Result, anyhow};
use gix_hash::ObjectId;
use gix_protocol::handshake::Ref;

/// What names a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// The remote's `HEAD`: its default branch.
    Default,
    /// A reference: a branch before a tag before anything else below `refs/`.
    Named(String),
    /// A branch, without `refs/heads/`.
    Branch(String),
    /// A tag, without `refs/tags/`.
    Tag(String),
    /// A whole commit id: 40 digits.
    Commit(String),
}

/// The reference that a revision led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Its whole name; for `HEAD` that of the branch, if it is known.
    pub name: Vec<u8>,
    /// What it names: a commit, or an annotated tag.
    pub id: ObjectId,
}

impl Revision {
    /// What stands after `#`, or as `ref=`: a commit where it is a whole id.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let is_id = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text {
            "" | "HEAD" => Revision::Default,
            _ if is_id => Revision::Commit(text.to_ascii_lowercase()),
            _ => Revision::Named(text.to_owned()),
        }
    }

    /// The names that it may mean, the best one first.
    pub(super) fn candidates(&self) -> Vec<String> {
        match self {
            Revision::Default => vec!["HEAD".to_owned()],
            Revision::Named(name) if name.starts_with("refs/") => vec![name.clone()],
            Revision::Named(name) => ["refs/heads/", "refs/tags/", "refs/"].map(|at| format!("{at}{name}")).to_vec(),
            Revision::Branch(name) => vec![format!("refs/heads/{}", short(name, "refs/heads/"))],
            Revision::Tag(name) => vec![format!("refs/tags/{}", short(name, "refs/tags/"))],
            Revision::Commit(_) => Vec::new(),
        }
    }

    /// The reference that it means among those of a remote.
    pub(super) fn choose(&self, refs: &[Ref]) -> Result<Target> {
        let found = self.candidates().into_iter().find_map(|name| target(refs, &name));
        found.ok_or_else(|| match self {
            Revision::Default => anyhow!("it has no default branch; name a branch, a tag or a commit"),
            _ => anyhow!("it has no branch or tag {self}{}", self.hint()),
        })
    }

    fn hint(&self) -> &'static str {
        match self {
            Revision::Named(name) if name.len() >= 7 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                "; a commit is named by all of its 40 digits"
            }
            _ => "",
        }
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Revision::Default => f.write_str("HEAD"),
            Revision::Named(name) | Revision::Branch(name) | Revision::Tag(name) => write!(f, "{name:?}"),
            Revision::Commit(id) => f.write_str(id),
        }
    }
}

fn short<'n>(name: &'n str, space: &str) -> &'n str {
    name.strip_prefix(space).unwrap_or(name)
}

fn target(refs: &[Ref], name: &str) -> Option<Target> {
    refs.iter().find_map(|reference| {
        let (full, id, symbolic) = match reference {
            Ref::Peeled { full_ref_name, tag, .. } => (full_ref_name, tag, None),
            Ref::Direct { full_ref_name, object } => (full_ref_name, object, None),
            Ref::Symbolic { full_ref_name, target, tag, object } => {
                (full_ref_name, tag.as_ref().unwrap_or(object), Some(target))
            }
            Ref::Unborn { .. } => return None,
        };
        let name = (*full == name).then(|| symbolic.unwrap_or(full).to_vec())?;
        Some(Target { name, id: *id })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: u8) -> ObjectId {
        ObjectId::from_bytes_or_panic(&[digit; 20])
    }

    fn direct(name: &str, digit: u8) -> Ref {
        Ref::Direct { full_ref_name: name.into(), object: id(digit) }
    }

    #[test]
    fn branches_come_before_tags() {
        let head =
            Ref::Symbolic { full_ref_name: "HEAD".into(), target: "refs/heads/main".into(), tag: None, object: id(1) };
        let tag = Ref::Peeled { full_ref_name: "refs/tags/v1".into(), tag: id(3), object: id(1) };
        let refs = [
            direct("refs/tags/x", 9),
            head,
            direct("refs/heads/main", 1),
            direct("refs/heads/x", 2),
            tag,
            direct("refs/pull/4/head", 5),
        ];
        let check = |revision: Revision, name: &str, digit: u8| {
            let expected = Target { name: name.into(), id: id(digit) };
            assert_eq!(revision.choose(&refs).expect("found"), expected, "{revision}");
        };
        check(Revision::of(""), "refs/heads/main", 1);
        check(Revision::of("x"), "refs/heads/x", 2);
        check(Revision::of("refs/tags/x"), "refs/tags/x", 9);
        check(Revision::of("v1"), "refs/tags/v1", 3);
        check(Revision::of("pull/4/head"), "refs/pull/4/head", 5);
        check(Revision::Tag("x".into()), "refs/tags/x", 9);
        check(Revision::Branch("refs/heads/x".into()), "refs/heads/x", 2);
        let missing = |text: &str| Revision::of(text).choose(&refs).expect_err("missing").to_string();
        assert!(missing("y").contains("\"y\""));
        assert!(missing("05d2d74").contains("40 digits"));
        assert!(Revision::Branch("v1".into()).choose(&refs).is_err());
        assert!(Revision::Default.choose(&[]).is_err());
    }

    #[test]
    fn whole_ids_are_commits() {
        let id = "05D2d74403d23d99daf70f4eb4fc0ff16cae7f1a";
        assert_eq!(Revision::of(id), Revision::Commit(id.to_ascii_lowercase()));
        assert_eq!(Revision::of(&id[1..]), Revision::Named(id[1..].to_owned()));
    }
}
