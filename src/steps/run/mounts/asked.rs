//! The mounts that a step asks for, made in its own mount namespace: they end with it.
//!
//! The sources are opened while the host is still in sight, and mounted once the new root is: no link of the image can lead
//! to another source or another place. A mount point that lies in an earlier mount is made there.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, statat};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::super::error::{Error, failed};
use super::super::mount::{Access, Mount, SCRIPT, Surroundings, What};
use super::super::stubs::{Kind, Need};
use super::{lay_over, mount_at, restrict};

/// Where the image may lack a mount point.
pub(in super::super) fn points(surroundings: &Surroundings) -> Result<impl Iterator<Item = Need>, Error> {
    let needs: Result<Vec<Need>, Error> = surroundings.mounts.iter().map(need).collect();
    Ok(needs?.into_iter())
}

fn need(mount: &Mount) -> Result<Need, Error> {
    let path = Path::new(&mount.target).strip_prefix("/").map_err(failed(format!("mount at {:?}", mount.target)))?;
    Ok(Need { path: path.to_owned(), kind: kind(&mount.what)? })
}

/// A directory or a file, as what is mounted is.
fn kind(what: &What) -> Result<Kind, Error> {
    let is_directory = match what {
        What::Memory { .. } => true,
        What::Secret { .. } | What::Script(_) => false,
        What::Lent { source, .. } => {
            let stat = statat(CWD, source.as_os_str(), AtFlags::SYMLINK_NOFOLLOW);
            let stat = stat.map_err(failed(format!("stat {source:?}")))?;
            FileType::from_raw_mode(stat.st_mode).is_dir()
        }
    };
    Ok(if is_directory { Kind::Directory } else { Kind::File(Vec::new()) })
}

/// A copy of the mount of each source that is one of the host's, attached nowhere.
pub(super) fn open(surroundings: &Surroundings) -> Result<Vec<Option<OwnedFd>>, Error> {
    let open = |mount: &Mount| match &mount.what {
        What::Lent { source, .. } => {
            let flags =
                OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
            open_tree(CWD, source.as_os_str(), flags).map(Some).map_err(failed(format!("open_tree {source:?}")))
        }
        _ => Ok(None),
    };
    surroundings.mounts.iter().map(open).collect()
}

/// Mounts them in their order.
pub(super) fn mount(surroundings: &Surroundings, sources: &[Option<OwnedFd>]) -> Result<(), Error> {
    for (mount, source) in surroundings.mounts.iter().zip(sources) {
        let target = Path::new(&mount.target);
        match (&mount.what, source) {
            (What::Memory { size }, _) => {
                make_point(target, &Kind::Directory)?;
                memory(&mount.target, *size)?;
            }
            (What::Secret { bytes, mode, uid, gid }, _) => {
                make_point(target, &Kind::File(Vec::new()))?;
                lay_over(target, bytes, (*mode, *uid, *gid))?;
            }
            (What::Script(bytes), _) => {
                make_point(target, &Kind::File(Vec::new()))?;
                lay_over(target, bytes, SCRIPT)?;
            }
            (What::Lent { access, .. }, Some(source)) => attach(source, &mount.target, *access)?,
            (What::Lent { .. }, None) => {}
        }
    }
    Ok(())
}

/// Makes what is missing in an earlier mount; in the root the stubs have seen to it.
fn make_point(target: &Path, kind: &Kind) -> Result<(), Error> {
    if target.exists() {
        return Ok(());
    }
    let made = match kind {
        Kind::Directory => fs::create_dir_all(target),
        _ => target.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::File::create_new(target).map(drop)),
    };
    made.map_err(failed(format!("make the mount point {target:?}")))
}

fn memory(target: &OsStr, size: Option<u64>) -> Result<(), Error> {
    let size = size.map(|size| format!(",size={size}")).unwrap_or_default();
    let target = std::str::from_utf8(target.as_bytes()).map_err(failed("the target of a tmpfs"))?;
    mount_at(target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, &format!("mode=1777{size}"))
}

fn attach(source: &OwnedFd, target: &OsStr, access: Access) -> Result<(), Error> {
    let call = || failed(format!("mount at {target:?}"));
    let stat = fstat(source).map_err(call())?;
    let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
    make_point(Path::new(target), &if is_directory { Kind::Directory } else { Kind::File(Vec::new()) })?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let at = rustix::fs::open(target, flags, Mode::empty()).map_err(call())?;
    let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(source, "", &at, "", empty).map_err(call())?;
    let read_only = if access == Access::ReadOnly { MountFlags::RDONLY } else { MountFlags::empty() };
    restrict(target, MountFlags::NODEV | read_only)
}
