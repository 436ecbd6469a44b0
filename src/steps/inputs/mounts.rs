//! The inputs that mounts are: what they show, and where.

use anyhow::{Result, anyhow};

use super::{Input, Sight, framed};
use crate::context::digests::Owners;
use crate::dockerfile::{Access, Attributes, Mount, MountFlag, Run, Sharing};
use crate::rootfs::RootPath;
use crate::steps::Tree;
use crate::steps::source::find_one;
use crate::steps::state::StageState;

/// The mounts of a RUN in order, each followed by the files of a context that it shows.
pub(super) fn mounts(it: &Run, state: &StageState, sight: &Sight<'_>) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for (number, flag) in it.mounts.iter().enumerate() {
        let mount = flag.resolve::<anyhow::Error>(&|word| state.expand(word))?;
        inputs.push(Input::Mount(number, description(&mount, state, sight)?));
        let tree = *sight.mounts.get(number).ok_or_else(|| anyhow!("mount {number} has no source"))?;
        if let (Some(tree), Some(source)) = (tree, shown(&mount, flag)) {
            inputs.extend(files(&tree, source, sight)?);
        }
    }
    Ok(inputs)
}

/// What of a tree a mount shows, or begins with.
fn shown<'m>(mount: &'m Mount, flag: &MountFlag) -> Option<&'m str> {
    match mount {
        Mount::Bind { source, .. } => Some(source),
        Mount::Cache { source, .. } if flag.from().is_some() => Some(source),
        _ => None,
    }
}

fn files(tree: &Tree<'_>, source: &str, sight: &Sight<'_>) -> Result<Vec<Input>> {
    let found = find_one(tree, if source.is_empty() { "/" } else { source })?;
    let includes = |path: &RootPath, is_directory: bool| tree.selection(path, is_directory);
    let rows = sight.digests.rows(tree.root(), &found.path, Owners::Replaced, &includes)?;
    Ok(rows.into_iter().map(|row| Input::File(row.path, row.digest)).collect())
}

fn description(mount: &Mount, state: &StageState, sight: &Sight<'_>) -> Result<Vec<u8>> {
    let path = |target: &str| Ok::<_, anyhow::Error>(state.path(target)?.as_bytes().to_vec());
    let text =
        |text: &Option<String>| text.as_ref().map_or_else(|| b"-".to_vec(), |text| format!("={text}").into_bytes());
    let presence = |is_there: bool| if is_there { b"there".to_vec() } else { b"missing".to_vec() };
    let fields: Vec<Vec<u8>> = match mount {
        Mount::Bind { source, target, access } => {
            vec![b"bind".to_vec(), source.clone().into_bytes(), path(target)?, self::access(*access)]
        }
        Mount::Cache { id, target, source, sharing, owner, access } => {
            let (access, sharing) = (self::access(*access), self::sharing(*sharing));
            let source = source.clone().into_bytes();
            vec![b"cache".to_vec(), text(id), path(target)?, source, sharing, attributes(owner), access]
        }
        Mount::Tmpfs { target, size } => {
            vec![b"tmpfs".to_vec(), path(target)?, size.map_or_else(Vec::new, |size| size.to_le_bytes().to_vec())]
        }
        Mount::Secret { id, target, env, required, owner } => {
            let is_there = presence(sight.vault.secret(id).is_some());
            let required = vec![u8::from(*required)];
            vec![
                b"secret".to_vec(),
                id.clone().into_bytes(),
                text(target),
                text(env),
                required,
                attributes(owner),
                is_there,
            ]
        }
        Mount::Ssh { id, target, required, owner } => {
            let is_there = presence(sight.vault.agent(id.as_deref().unwrap_or("default")).is_some());
            vec![b"ssh".to_vec(), text(id), text(target), vec![u8::from(*required)], attributes(owner), is_there]
        }
    };
    Ok(framed(fields.iter().map(Vec::as_slice)))
}

fn access(access: Access) -> Vec<u8> {
    match access {
        Access::ReadOnly => b"ro".to_vec(),
        Access::ReadWrite => b"rw".to_vec(),
    }
}

fn sharing(sharing: Sharing) -> Vec<u8> {
    match sharing {
        Sharing::Shared => b"shared".to_vec(),
        Sharing::Private => b"private".to_vec(),
        Sharing::Locked => b"locked".to_vec(),
    }
}

fn attributes(owner: &Attributes) -> Vec<u8> {
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    [owner.mode, owner.uid, owner.gid].map(number).join(",").into_bytes()
}
