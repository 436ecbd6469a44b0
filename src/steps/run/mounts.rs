//! What an isolated command sees around its root: fresh /proc, /dev and /sys, and the host's network names.
//!
//! Everything is mounted after pivot_root(2), by absolute paths, and whatever an image may have put a link in the way of after
//! the old root is gone: it lies over the new one until then, and a `..` at the root leads into it. The set is Docker's (OCI runtime spec, config-linux.md, default file systems and masked paths), without cgroups
//! and message queues. A device node works in /dev alone and only if it is ours. Nothing is promised about mount points:
//! `stubs` has made those that the image lacks.

mod asked;

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, statat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind,
    mount_bind_recursive, mount_change, mount_remount, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};

use super::error::{Error, failed};
use super::mount::{Security, Surroundings};
use super::stubs::{Kind, Need};

pub(super) use asked::points as asked_points;

/// Mode, owner and group of the host's files that are laid over the image's.
const OWN_FILE: (u32, u32, u32) = (0o644, 0, 0);

/// Directories that get a file system of their own.
const DIRECTORIES: [&str; 3] = ["proc", "dev", "sys"];

/// Files of the host that a command needs to find anything on the network.
const NETWORK_FILES: [&str; 2] = ["etc/resolv.conf", "etc/hosts"];

const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("/proc/kcore", "core"),
    ("pts/ptmx", "ptmx"),
];

/// Files and directories about the host that the command can neither read nor write.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Settings of the host that root may write without a capability.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// No setuid programs, no devices, no programs at all.
const DATA_ONLY: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// The host's network files as they are now: path inside the root, contents.
pub(super) struct NetworkFiles(Vec<(&'static str, Vec<u8>)>);

impl NetworkFiles {
    /// Reads them; a host without one of them gives none of it.
    pub(super) fn read() -> Self {
        NetworkFiles(
            NETWORK_FILES.iter().filter_map(|path| Some((*path, fs::read(Path::new("/").join(path)).ok()?))).collect(),
        )
    }

    /// Where [`enter`] will mount something.
    pub(super) fn mount_points(&self) -> impl Iterator<Item = Need> {
        let files = self.0.iter().map(|(path, _)| Need { path: path.into(), kind: Kind::File(vec![]) });
        DIRECTORIES.iter().map(|path| Need { path: path.into(), kind: Kind::Directory }).chain(files)
    }

    /// What a step needs most where nothing can be mounted.
    pub(super) fn stand_ins(&self) -> impl Iterator<Item = Need> {
        let files =
            self.0.iter().map(|(path, contents)| Need { path: path.into(), kind: Kind::File(contents.clone()) });
        let devices = DEVICES.iter().map(|(name, major, minor)| {
            let kind = Kind::Device(rustix::fs::makedev(*major, *minor));
            Need { path: Path::new("dev").join(name), kind }
        });
        devices.chain(files)
    }
}

/// Makes `root` the root of this process, which has a mount namespace of its own, with all that belongs in it.
pub(super) fn enter(root: &Path, files: &NetworkFiles, surroundings: &Surroundings) -> Result<(), Error> {
    let sources = asked::open(surroundings)?;
    let devices = devices_of_the_host();
    let old = swap_root(root)?;
    let confined = surroundings.security == Security::Sandbox;
    // A user namespace may mount these two only while it sees those of the host.
    ["/proc", "/sys"].iter().try_for_each(|path| expect_directory(path))?;
    mount_at("/proc", "proc", DATA_ONLY, "")?;
    let system = if confined { DATA_ONLY | MountFlags::RDONLY } else { DATA_ONLY };
    mount_at("/sys", "sysfs", system, "")?;
    leave_old_root(&old)?;
    fill_dev(&devices)?;
    files.0.iter().try_for_each(|(path, contents)| lay_over(path, contents, OWN_FILE))?;
    if confined {
        MASKED.iter().try_for_each(|path| mask(path))?;
        READ_ONLY.iter().try_for_each(|path| make_read_only(path))?;
    }
    asked::mount(surroundings, &sources)?;
    if confined {
        ["/", "/dev"].iter().try_for_each(|path| restrict(path, MountFlags::NODEV))?;
    }
    Ok(())
}

/// Binds `root` on itself, since only a mount can be a root, and pivots. The old root stays reachable by its descriptor
/// until [`leave_old_root`]. Nothing here can reach the host's namespace: its propagation is cut first.
fn swap_root(root: &Path) -> Result<OwnedFd, Error> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(failed("make the mounts private"))?;
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", directory, Mode::empty()).map_err(failed("open /"))?;
    mount_bind_recursive(root, root).map_err(failed(format!("bind {root:?} on itself")))?;
    chdir(root).map_err(failed(format!("chdir {root:?}")))?;
    pivot_root(".", ".").map_err(failed(format!("pivot_root {root:?}")))?;
    Ok(old)
}

/// A link in the place of a mount point would be followed.
fn expect_directory(path: &str) -> Result<(), Error> {
    let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(failed(format!("stat {path}")))?;
    let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
    let why = || io::Error::from(io::ErrorKind::NotADirectory);
    if is_directory { Ok(()) } else { Err(failed(format!("mount on {path}"))(why())) }
}

/// A copy of the mount of each device, attached nowhere, for where none can be made.
fn devices_of_the_host() -> Vec<Option<OwnedFd>> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    DEVICES.iter().map(|(name, _, _)| open_tree(CWD, Path::new("/dev").join(name), flags).ok()).collect()
}

fn leave_old_root(old: &OwnedFd) -> Result<(), Error> {
    fchdir(old).map_err(failed("chdir to the old root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(failed("unmount the old root"))?;
    chdir("/").map_err(failed("chdir /"))
}

fn mount_at(target: &str, kind: &str, flags: MountFlags, options: &str) -> Result<(), Error> {
    let options = std::ffi::CString::new(options).map_err(failed("mount options"))?;
    mount(kind, target, kind, flags, options.as_c_str()).map_err(failed(format!("mount {kind} on {target}")))
}

/// The nodes lie on a file system that the visible /dev covers. Each appears there as a mount of its own, which still opens
/// a device when /dev around it no longer does ([`restrict`]).
fn fill_dev(host: &[Option<OwnedFd>]) -> Result<(), Error> {
    mount_at("/dev", "tmpfs", DATA_ONLY.difference(MountFlags::NODEV), "mode=700,size=64k")?;
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let nodes = rustix::fs::open("/dev", directory, Mode::empty()).map_err(failed("open /dev"))?;
    mount_at("/dev", "tmpfs", MountFlags::NOSUID, "mode=755,size=65536k")?;
    for ((name, major, minor), host) in DEVICES.into_iter().zip(host) {
        let device = rustix::fs::makedev(major, minor);
        make_device(name, device, &nodes, host.as_ref()).map_err(failed(format!("make /dev/{name}")))?;
    }
    for (target, name) in LINKS {
        symlink(target, Path::new("/dev").join(name)).map_err(failed(format!("make /dev/{name}")))?;
    }
    fs::create_dir("/dev/pts").map_err(failed("mkdir /dev/pts"))?;
    fs::create_dir("/dev/shm").map_err(failed("mkdir /dev/shm"))?;
    let terminals = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount_at("/dev/pts", "devpts", terminals, "newinstance,ptmxmode=0666,mode=0620,gid=5")?;
    mount_at("/dev/shm", "tmpfs", DATA_ONLY, "mode=1777,size=65536k")
}

/// A node of our own in `nodes`, or, in a user namespace, where none can be made, that of the host.
fn make_device(name: &str, device: u64, nodes: &OwnedFd, host: Option<&OwnedFd>) -> io::Result<()> {
    let path = Path::new("/dev").join(name);
    fs::File::create(&path)?;
    let mode = Mode::from_raw_mode(0o666);
    match (rustix::fs::mknodat(nodes, name, FileType::CharacterDevice, mode, device), host) {
        (Err(Errno::PERM), Some(host)) => {
            Ok(move_mount(host, "", CWD, &path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
        }
        (made, _) => {
            made?;
            fchdir(nodes)?;
            mount_bind(name, &path)?;
            Ok(chdir("/")?)
        }
    }
}

/// Takes rights away from the mount at `path`. Without devices, nodes below it are useless: Docker's capabilities allow to
/// make any, and an image can bring some, but none may lead to the host's disks. Mounts below it are others and keep what
/// they allow.
fn restrict(path: impl AsRef<Path>, rights: MountFlags) -> Result<(), Error> {
    let path = path.as_ref();
    // The numbers of these four flags are the same in statvfs(3) and mount(2); remounting would drop those not named.
    let kept = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let now = rustix::fs::statvfs(path).map_err(failed(format!("statvfs {path:?}")))?.f_flag.bits();
    let flags = MountFlags::from_bits_truncate(u32::try_from(now).unwrap_or_default()) & kept;
    mount_remount(path, flags | MountFlags::BIND | rights, "")
        .map_err(failed(format!("restrict the mount at {path:?}")))
}

/// Covers the file at `path` with these bytes: what the command writes there reaches neither the host nor the image. They
/// lie on the tmpfs of /dev, under no name.
fn lay_over(path: impl AsRef<Path>, contents: &[u8], (mode, uid, gid): (u32, u32, u32)) -> Result<(), Error> {
    let (copy, target) = ("/dev/.copy", Path::new("/").join(path));
    let cover = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(copy)?;
        file.write_all(contents)?;
        fchown(&file, Some(uid), Some(gid))?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        mount_bind(copy, &target)?;
        fs::remove_file(copy)
    };
    cover().map_err(failed(format!("lay a file over {target:?}")))
}

/// Covers a file with /dev/null and a directory with an empty one. What the kernel does not have needs no mask.
fn mask(path: &str) -> Result<(), Error> {
    match fs::metadata(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(failed(format!("stat {path}"))(why)),
        Ok(data) if data.is_dir() => mount_at(path, "tmpfs", DATA_ONLY | MountFlags::RDONLY, "size=0k"),
        Ok(_) => mount_bind("/dev/null", path).map_err(failed(format!("mask {path}"))),
    }
}

fn make_read_only(path: &str) -> Result<(), Error> {
    match mount_bind(path, path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(failed(format!("bind {path} on itself")))?,
    }
    let flags = DATA_ONLY | MountFlags::RDONLY | MountFlags::BIND;
    mount_remount(path, flags, "").map_err(failed(format!("make {path} read-only")))
}
