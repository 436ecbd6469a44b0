//! From the fields of `--mount` to a mount: which keys and values there are, and which go with which type.

use super::{Access, Attributes, Mount, MountType, Sharing, syntax};
use crate::dockerfile::size::bytes;
use crate::dockerfile::{Problem, suggest};

const TYPES: [(&str, MountType); 5] = [
    ("bind", MountType::Bind),
    ("cache", MountType::Cache),
    ("tmpfs", MountType::Tmpfs),
    ("secret", MountType::Secret),
    ("ssh", MountType::Ssh),
];

const KEYS: [&str; 18] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
];

pub(super) fn mount_type(value: &str) -> Result<MountType, Problem> {
    let lower = value.to_lowercase();
    let found = TYPES.iter().find(|(name, _)| *name == lower).map(|(_, kind)| *kind);
    found.ok_or_else(|| {
        let names = TYPES.iter().map(|(name, _)| *name);
        syntax(format!("--mount: unsupported mount type {value:?}{}", suggest::did_you_mean(&lower, names)))
    })
}

/// The fields read so far.
#[derive(Default)]
pub(super) struct Draft {
    kind: MountType,
    pub(super) from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    access: Option<Access>,
    id: Option<String>,
    sharing: Option<Sharing>,
    required: bool,
    size: Option<u64>,
    env: Option<String>,
    owner: Attributes,
}

impl Draft {
    pub(super) fn set_bare(&mut self, key: &str) -> Result<(), Problem> {
        match key {
            "readonly" | "ro" => self.access = Some(Access::ReadOnly),
            "readwrite" | "rw" => self.access = Some(Access::ReadWrite),
            "required" => {
                self.only_for(key, &[MountType::Secret, MountType::Ssh])?;
                self.required = true;
            }
            _ => return Err(syntax(format!("--mount: {key:?} needs a value: {key}=VALUE"))),
        }
        Ok(())
    }

    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), Problem> {
        let owned = || Some(value.to_owned()).filter(|value| !value.is_empty());
        match key {
            "type" => self.kind = mount_type(value)?,
            "from" => self.from = owned(),
            "source" | "src" => self.source = owned(),
            "target" | "dst" | "destination" => self.target = owned(),
            "readonly" | "ro" => self.access = Some(access(boolean(key, value)?)),
            "readwrite" | "rw" => self.access = Some(access(!boolean(key, value)?)),
            "required" => {
                self.only_for(key, &[MountType::Secret, MountType::Ssh])?;
                self.required = boolean(key, value)?;
            }
            "size" => {
                self.only_for(key, &[MountType::Tmpfs])?;
                let size = bytes(value).ok_or_else(|| syntax(format!("--mount: invalid size {value:?}")))?;
                self.size = Some(size);
            }
            "id" => self.id = owned(),
            "sharing" => self.sharing = Some(sharing(value)?),
            "env" => self.env = owned(),
            "mode" => self.owner.mode = Some(number(key, value, 8)?),
            "uid" => self.owner.uid = Some(number(key, value, 10)?),
            "gid" => self.owner.gid = Some(number(key, value, 10)?),
            _ => {
                let suggestion = suggest::did_you_mean(key, KEYS);
                return Err(syntax(format!("--mount: unexpected key {key:?}{suggestion}")));
            }
        }
        Ok(())
    }

    fn only_for(&self, key: &str, kinds: &[MountType]) -> Result<(), Problem> {
        if kinds.contains(&self.kind) { Ok(()) } else { Err(self.misplaced(key)) }
    }

    fn misplaced(&self, key: &str) -> Problem {
        let name = TYPES.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name);
        syntax(format!("--mount: {key:?} does not go with type={name}"))
    }

    fn check(&self) -> Result<(), Problem> {
        let has_attributes = self.owner != Attributes::default();
        let (is_secret, is_cache) = (self.kind == MountType::Secret, self.kind == MountType::Cache);
        let misplaced = [
            (has_attributes && matches!(self.kind, MountType::Bind | MountType::Tmpfs), "mode, uid or gid"),
            (self.sharing.is_some() && !is_cache, "sharing"),
            (self.env.is_some() && !is_secret, "env"),
            (self.from.is_some() && is_secret, "from"),
        ];
        match misplaced.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, key)) => Err(self.misplaced(key)),
            None => Ok(()),
        }
    }

    pub(super) fn finish(self) -> Result<Mount, Problem> {
        self.check()?;
        let needs_target = matches!(self.kind, MountType::Bind | MountType::Cache | MountType::Tmpfs);
        if needs_target && self.target.is_none() {
            return Err(syntax("--mount needs a target: target=/directory"));
        }
        let source = self.source.clone().unwrap_or_default();
        let target = self.target.clone().unwrap_or_default();
        let Draft { id, sharing, owner, required, .. } = self;
        Ok(match self.kind {
            MountType::Bind => Mount::Bind { source, target, access: self.access.unwrap_or(Access::ReadOnly) },
            MountType::Cache => {
                let (sharing, access) = (sharing.unwrap_or_default(), self.access.unwrap_or(Access::ReadWrite));
                Mount::Cache { id, target, source, sharing, owner, access }
            }
            MountType::Tmpfs => Mount::Tmpfs { target, size: self.size },
            MountType::Secret => {
                let id = secret_id(self.source, id, self.target.as_deref())?;
                Mount::Secret { id, target: self.target, env: self.env, required, owner }
            }
            MountType::Ssh => Mount::Ssh { id, target: self.target, required, owner },
        })
    }
}

fn secret_id(source: Option<String>, id: Option<String>, target: Option<&str>) -> Result<String, Problem> {
    let base = |target: &str| target.trim_end_matches('/').rsplit('/').next().map(str::to_owned);
    match (source, id) {
        (Some(_), Some(_)) => Err(syntax("--mount: a secret takes source or id, not both")),
        (None, None) => target
            .and_then(base)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| syntax("--mount: a secret needs an id: id=NAME")),
        (source, id) => Ok(source.or(id).unwrap_or_default()),
    }
}

fn access(read_only: bool) -> Access {
    if read_only { Access::ReadOnly } else { Access::ReadWrite }
}

/// As Go's `strconv.ParseBool`.
fn boolean(key: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(syntax(format!("--mount: {key}={value}: it is true or false"))),
    }
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32, Problem> {
    let number = u32::from_str_radix(value, radix).ok().filter(|_| !value.starts_with('+'));
    let what = if radix == 8 { "an octal number" } else { "a number" };
    number.ok_or_else(|| syntax(format!("--mount: {key}={value}: it is not {what}")))
}

fn sharing(value: &str) -> Result<Sharing, Problem> {
    match value.to_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        other => {
            let suggestion = suggest::did_you_mean(other, ["shared", "private", "locked"]);
            Err(syntax(format!("--mount: unsupported sharing {value:?}{suggestion}")))
        }
    }
}
