//! Users and groups as the image's own /etc/passwd and /etc/group name them; see passwd(5), group(5).
//!
//! The rules are those of runc for a process (`USER`) and of BuildKit for files (`--chown`); they differ for a number
//! without a group. The files are the image's, so hostile: they are read inside the root, up to [`LARGEST`] bytes, and lines
//! that do not parse are passed over, as libc does.

use std::io::{self, Read};

use super::Root;

/// More of a file than this is not read: it is an error.
pub const LARGEST: u64 = 16 << 20;

/// Why a name could not be looked up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// The image has no such user.
    #[error("the image has no user {0:?} in /etc/passwd")]
    UnknownUser(String),
    /// The image has no such group.
    #[error("the image has no group {0:?} in /etc/group")]
    UnknownGroup(String),
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whom a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups, without `gid` unless the image lists the user there too.
    pub groups: Vec<u32>,
    /// Home directory: `/root` for user 0 and `/` for others where the image names none.
    pub home: Vec<u8>,
}

/// Whom a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Whom `USER spec` names: `user[:group]`, names or numbers; empty is user 0.
///
/// A number need not be in the image; its group is then 0. With an explicit group there are no supplementary ones.
pub fn resolve(root: &Root, spec: &str) -> Result<Credentials, UserError> {
    let files = Files { passwd: read(root, b"/etc/passwd")?, group: read(root, b"/etc/group")? };
    credentials(&files, spec)
}

/// Whom `--chown=spec` names: `user[:group]`, names or numbers.
///
/// A lone number is the group's number too; a lone name brings its primary group.
pub fn resolve_owner(root: &Root, spec: &str) -> Result<Owner, UserError> {
    if let Some(owner) = numeric_owner(spec) {
        return Ok(owner);
    }
    owner(&Files { passwd: read(root, b"/etc/passwd")?, group: read(root, b"/etc/group")? }, spec)
}

#[derive(Debug, Default)]
struct Files {
    passwd: Vec<u8>,
    group: Vec<u8>,
}

#[derive(Debug)]
struct User<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

#[derive(Debug)]
struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

impl Files {
    fn users(&self) -> impl Iterator<Item = User<'_>> {
        self.passwd.split(|b| *b == b'\n').filter_map(|line| {
            let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
            let home = fields.get(5).copied().unwrap_or_default();
            Some(User { name: fields[0], uid: number(fields.get(2)?)?, gid: number(fields.get(3)?)?, home })
        })
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        self.group.split(|b| *b == b'\n').filter_map(|line| {
            let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
            let members = fields.get(3).copied().unwrap_or_default();
            Some(Group { name: fields[0], gid: number(fields.get(2)?)?, members })
        })
    }

    /// The first user of that name or number.
    fn user(&self, wanted: &str) -> Option<User<'_>> {
        let uid = number(wanted.as_bytes());
        self.users().find(|user| user.name == wanted.as_bytes() || Some(user.uid) == uid)
    }

    fn gid(&self, wanted: &str) -> Result<u32, UserError> {
        let gid = number(wanted.as_bytes());
        let listed = self.groups().find(|group| group.name == wanted.as_bytes() || Some(group.gid) == gid);
        listed.map(|group| group.gid).or(gid).ok_or_else(|| UserError::UnknownGroup(wanted.to_owned()))
    }

    fn memberships(&self, name: &[u8]) -> Vec<u32> {
        let has = |group: &Group<'_>| group.members.split(|b| *b == b',').any(|member| member == name);
        self.groups().filter(has).map(|group| group.gid).collect()
    }
}

fn credentials(files: &Files, spec: &str) -> Result<Credentials, UserError> {
    let (wanted, group) = halves(spec);
    let wanted = if wanted.is_empty() { "0" } else { wanted };
    let user = files.user(wanted);
    let uid = user.as_ref().map(|user| user.uid).or(number(wanted.as_bytes()));
    let uid = uid.ok_or_else(|| UserError::UnknownUser(wanted.to_owned()))?;
    let home = match &user {
        Some(user) if !user.home.is_empty() => user.home.to_vec(),
        _ if uid == 0 => b"/root".to_vec(),
        _ => b"/".to_vec(),
    };
    let (gid, groups) = match (group, &user) {
        (Some(group), _) => (files.gid(group)?, Vec::new()),
        (None, Some(user)) => (user.gid, files.memberships(user.name)),
        (None, None) => (0, Vec::new()),
    };
    Ok(Credentials { uid, gid, groups, home })
}

fn numeric_owner(spec: &str) -> Option<Owner> {
    let (user, group) = halves(spec);
    let uid = number(user.as_bytes())?;
    Some(Owner { uid, gid: group.map_or(Some(uid), |group| number(group.as_bytes()))? })
}

fn owner(files: &Files, spec: &str) -> Result<Owner, UserError> {
    let (user, group) = halves(spec);
    let (uid, own_gid) = match number(user.as_bytes()) {
        Some(uid) => (uid, uid),
        None => {
            let listed = files.users().find(|listed| listed.name == user.as_bytes());
            listed.map(|user| (user.uid, user.gid)).ok_or_else(|| UserError::UnknownUser(user.to_owned()))?
        }
    };
    let gid = match group {
        None => own_gid,
        Some(group) => number(group.as_bytes()).map_or_else(|| files.gid(group), Ok)?,
    };
    Ok(Owner { uid, gid })
}

/// The user and the group of `user[:group]`; an empty group is none.
fn halves(spec: &str) -> (&str, Option<&str>) {
    let (user, group) = spec.split_once(':').unwrap_or((spec, ""));
    (user, Some(group).filter(|group| !group.is_empty()))
}

/// A decimal id. The highest number is none: chown(2) and setuid(2) take it for "leave it".
fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|id| *id != u32::MAX)
}

/// The content of a file of the image; nothing if it is not there.
fn read(root: &Root, path: &[u8]) -> io::Result<Vec<u8>> {
    let exact = root.resolve(path)?;
    let file = match root.open_file(&exact) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        file => file?,
    };
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{exact}: larger than {LARGEST} bytes")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\n# note\nbroken\nbad:x:y:1::/:\n\
            app:x:1000:1001:App,,,:/home/app:/bin/sh\nbare:x:7:8\n1000:x:5:5::/five:\nmax:x:4294967295:1::/:\n";
        let group = b"root:x:0:\nwheel:x:10:root,app\naudio:x:63:app\napp:x:1001:\nbroken\n7000:x:99:\n";
        Files { passwd: passwd.to_vec(), group: group.to_vec() }
    }

    fn check_user(spec: &str, uid: u32, gid: u32, groups: &[u32], home: &str) {
        let expected = Credentials { uid, gid, groups: groups.to_vec(), home: home.as_bytes().to_vec() };
        assert_eq!(credentials(&files(), spec).expect(spec), expected, "{spec:?}");
    }

    #[test]
    fn users() {
        check_user("", 0, 0, &[10], "/root");
        check_user("root", 0, 0, &[10], "/root");
        check_user("app", 1000, 1001, &[10, 63], "/home/app");
        check_user("app:", 1000, 1001, &[10, 63], "/home/app");
        check_user("1000", 1000, 1001, &[10, 63], "/home/app");
        check_user("app:audio", 1000, 63, &[], "/home/app");
        check_user("app:4242", 1000, 4242, &[], "/home/app");
        check_user("12345", 12345, 0, &[], "/");
        check_user("12345:54321", 12345, 54321, &[], "/");
        check_user(":audio", 0, 63, &[], "/root");
        check_user("bare", 7, 8, &[], "/");
        check_user("0:7000", 0, 99, &[], "/root");
        let empty = credentials(&Files::default(), "0").expect("a number");
        assert_eq!(empty, Credentials { uid: 0, gid: 0, groups: vec![], home: b"/root".to_vec() });
    }

    fn check_owner(spec: &str, uid: u32, gid: u32) {
        assert_eq!(owner(&files(), spec).expect(spec), Owner { uid, gid }, "{spec:?}");
    }

    #[test]
    fn owners() {
        check_owner("app", 1000, 1001);
        check_owner("1000", 1000, 1000);
        check_owner("1000:5", 1000, 5);
        check_owner("app:7000", 1000, 7000);
        check_owner("app:audio", 1000, 63);
        check_owner("12345:audio", 12345, 63);
        check_owner("app:77", 1000, 77);
    }

    #[test]
    fn unknown_names() {
        for spec in ["nobody", "broken", "max", "bad", "4294967295", "-1", "1e3"] {
            assert!(
                matches!(credentials(&files(), spec), Err(UserError::UnknownUser(name)) if name == spec),
                "{spec:?}"
            );
            assert!(matches!(owner(&files(), spec), Err(UserError::UnknownUser(name)) if name == spec), "{spec:?}");
        }
        assert!(matches!(credentials(&files(), "app:none"), Err(UserError::UnknownGroup(name)) if name == "none"));
        assert!(matches!(owner(&files(), "5:none"), Err(UserError::UnknownGroup(name)) if name == "none"));
    }
}
