//! Every kind of change that a step can make of a small tree, by name, and where each must be looked for. Shared with the
//! tests of whole stages.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use rustix::fs::{AtFlags, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, XattrFlags};

/// What an operation must nominate.
#[derive(Clone, Copy, Debug)]
pub enum Must {
    Path(&'static str),
    Tree(&'static str),
    /// The inode that this path had before.
    Inode(&'static str),
}
use Must::{Inode, Path as P, Tree as T};

/// An operation in the root, its first argument, with a directory outside of it, the second.
pub type Act = fn(&Path, &Path);

pub type Operation = (&'static str, Act, &'static [Must]);

/// Each with its name and what must be nominated.
pub const OPERATIONS: &[Operation] = &[
    ("create and write", |r, _| fs::write(r.join("d/n"), "x").unwrap(), &[P("d/n"), P("d")]),
    ("create empty", |r, _| drop(File::create_new(r.join("n")).unwrap()), &[P("n"), P("")]),
    ("name of other bytes", |r, _| fs::write(r.join("d").join(OsStr::from_bytes(b"\xff\n")), "x").unwrap(), &[P("d")]),
    ("open with O_TRUNC", |r, _| drop(File::create(r.join("d/f")).unwrap()), &[P("d/f"), Inode("d/f")]),
    ("append", |r, _| append(&r.join("d/f")), &[P("d/f"), Inode("d/f")]),
    ("truncate by path", |r, _| python("os.truncate(sys.argv[1], 1)", &r.join("d/f")), &[P("d/f")]),
    ("mtime of a file", |r, _| touch(&r.join("d/f")), &[P("d/f")]),
    ("mtime of a directory", |r, _| touch(&r.join("d")), &[P("d")]),
    ("mtime of a symlink", |r, _| touch(&r.join("s")), &[P("s")]),
    ("mapped store", |r, _| python(MAPPED, &r.join("d/f")), &[P("d/f"), Inode("d/f")]),
    ("write through a second name", |r, _| append(&r.join("e/alias")), &[P("e/alias"), Inode("d/h")]),
    ("link", |r, _| fs::hard_link(r.join("d/f"), r.join("e/l")).unwrap(), &[P("e/l"), P("e"), Inode("d/f")]),
    ("transient link in a new directory", transient_link, &[Inode("d/f"), T("new")]),
    ("transient link in an old directory", |r, _| link_write_unlink(r, "e/l"), &[Inode("d/f")]),
    ("link from outside", |r, o| link_outside(r, o), &[Inode("d/f")]),
    ("O_TMPFILE and linkat", tmpfile, &[P("d/n"), P("d")]),
    ("rename", |r, _| fs::rename(r.join("d/f"), r.join("e/n")).unwrap(), &[P("d/f"), P("e/n"), P("d"), P("e")]),
    ("rename within a directory", |r, _| fs::rename(r.join("d/f"), r.join("d/n")).unwrap(), &[P("d/f"), P("d/n")]),
    ("rename over a file", |r, _| fs::rename(r.join("d/f"), r.join("e/x")).unwrap(), &[P("d/f"), P("e/x")]),
    ("rename over a link", |r, _| fs::rename(r.join("d/f"), r.join("e/alias")).unwrap(), &[P("e/alias"), Inode("d/h")]),
    ("rename a directory", |r, _| fs::rename(r.join("d"), r.join("n")).unwrap(), &[T("d"), T("n")]),
    ("rename over a directory", |r, _| fs::rename(r.join("d"), r.join("empty")).unwrap(), &[T("d"), T("empty")]),
    ("exchange files", |r, _| exchange(r, "d/f", "e/x"), &[P("d/f"), P("e/x")]),
    ("exchange directories", |r, _| exchange(r, "d", "e"), &[T("d"), T("e")]),
    ("exchange file and directory", |r, _| exchange(r, "d", "e/x"), &[P("d"), P("e/x")]),
    ("directory moved in", |r, o| fs::rename(o.join("full"), r.join("d/n")).unwrap(), &[T("d/n"), P("d")]),
    ("directory moved out", |r, o| fs::rename(r.join("d"), o.join("gone")).unwrap(), &[T("d"), P("")]),
    ("directory moved through a new one", there_and_back, &[T("d"), T("new")]),
    ("directories and a file", |r, _| deep(&r.join("a/b/c")), &[T("a"), P("a"), P("")]),
    ("directory replaced by a symlink", replace_by_symlink, &[T("e"), P("e")]),
    ("directory replaced by itself", |r, _| replace_directory(&r.join("empty")), &[T("empty")]),
    ("file replaced", |r, _| replace_file(&r.join("d/f")), &[P("d/f")]),
    ("remove", |r, _| fs::remove_file(r.join("d/f")).unwrap(), &[P("d/f"), P("d")]),
    ("remove a directory", |r, _| fs::remove_dir(r.join("empty")).unwrap(), &[T("empty"), P("")]),
    ("remove a tree", |r, _| fs::remove_dir_all(r.join("d")).unwrap(), &[T("d"), P("d"), P("")]),
    ("make a directory", |r, _| fs::create_dir(r.join("d/n")).unwrap(), &[T("d/n"), P("d")]),
    ("symlink", |r, _| symlink("d", r.join("d/n")).unwrap(), &[P("d/n")]),
    ("mode of a file", |r, _| mode(&r.join("d/f")), &[P("d/f")]),
    ("mode of a directory", |r, _| mode(&r.join("d")), &[P("d")]),
    ("mode of the root", |r, _| mode(r), &[P("")]),
    ("owner of a file", |r, _| std::os::unix::fs::lchown(r.join("d/f"), Some(1), Some(2)).unwrap(), &[P("d/f")]),
    ("owner of a directory", |r, _| std::os::unix::fs::lchown(r.join("d"), Some(1), Some(2)).unwrap(), &[P("d")]),
    ("owner of a symlink", |r, _| std::os::unix::fs::lchown(r.join("s"), Some(1), Some(2)).unwrap(), &[P("s")]),
    ("attribute of a file", |r, _| attribute(&r.join("d/f")), &[P("d/f")]),
    ("attribute of a directory", |r, _| attribute(&r.join("d")), &[P("d")]),
    ("fifo", |r, _| node(&r.join("d/n"), FileType::Fifo), &[P("d/n")]),
    ("device", |r, _| node(&r.join("d/n"), FileType::CharacterDevice), &[P("d/n")]),
    ("socket", |r, _| drop(UnixListener::bind(r.join("d/n")).unwrap()), &[P("d/n")]),
    ("fallocate", fallocate, &[P("d/f")]),
    ("copy_file_range", copy_range, &[P("d/f")]),
    ("sendfile", send_file, &[P("d/f")]),
    ("splice", |r, _| python(SPLICE, &r.join("d/f")), &[P("d/f")]),
    ("write past the cache", |r, _| python(DIRECT, &r.join("d/f")), &[P("d/f")]),
    ("asynchronous write", |r, _| python(ASYNCHRONOUS, &r.join("d/f")), &[P("d/f")]),
    ("write to a file whose name is gone", write_nameless, &[P("e/alias"), Inode("d/h")]),
    ("bind mount in another mount namespace", bind_mount, &[P("d/f")]),
    ("chroot", |r, _| run(Command::new("unshare").arg("-m").arg("sh").arg("-c").arg(CHROOT).arg(r)), &[P("d/f")]),
];

/// The hole, which only a look at the whole tree closes: a file is written through a name in a directory that is not
/// watched, or through one that is gone again, and inotify names no object. What is missed of each operation.
pub const NOT_HEARD: &[(&str, &[&str])] = &[
    ("transient link in a new directory", &["d/f", "Inode(\"d/f\")"]),
    ("transient link in an old directory", &["d/f", "Inode(\"d/f\")"]),
    ("link from outside", &["d/f", "Inode(\"d/f\")"]),
];

/// Stores to mapped memory and lets go by exiting: neither a write nor a close of a descriptor.
const MAPPED: &str = "
fd = os.open(sys.argv[1], os.O_RDWR)
memory = mmap.mmap(fd, 1)
os.close(fd)
memory[0] = 77";

const SPLICE: &str = "
out, into = os.pipe()
os.write(into, b'spliced')
os.splice(out, os.open(sys.argv[1], os.O_WRONLY), 7)";

const DIRECT: &str = "
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_DIRECT)
os.writev(fd, [mmap.mmap(-1, 4096)])";

/// io_submit(2), of which some file systems tell only when the file is closed.
const ASYNCHRONOUS: &str = "
import ctypes, platform, struct
call, long = ctypes.CDLL(None).syscall, ctypes.c_long
setup, submit, events = {'x86_64': (206, 209, 208), 'aarch64': (0, 2, 4)}[platform.machine()]
fd, context, data = os.open(sys.argv[1], os.O_WRONLY), ctypes.c_ulong(), ctypes.create_string_buffer(b'later')
assert call(long(setup), long(1), ctypes.byref(context)) == 0
request = struct.pack('QIiHhIQQqQII', 0, 0, 0, 1, 0, fd, ctypes.addressof(data), 5, 0, 0, 0, 0)
request = ctypes.create_string_buffer(request)
requests, done = (ctypes.c_void_p * 1)(ctypes.addressof(request)), ctypes.create_string_buffer(32)
assert call(long(submit), context, long(1), requests) == 1
assert call(long(events), context, long(1), long(1), done, None) == 1
assert struct.unpack('QQqq', done.raw)[2] == 5";

/// Writes from within a chroot that has but a shell.
const CHROOT: &str = r#"mkdir "$0"/../outside/jail && cd "$0"/../outside/jail && mkdir bin lib lib64 usr root &&
for part in bin lib lib64 usr; do mount --rbind /$part $part; done && mount --bind "$0" root &&
chroot . /bin/sh -c 'echo x >> /root/d/f'"#;

pub fn append(path: &Path) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
}

fn python(script: &str, path: &Path) {
    run(Command::new("python3").arg("-c").arg(format!("import os, sys, mmap\n{script}")).arg(path));
}

fn touch(path: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let times = Timestamps { last_access: now, last_modification: Timespec { tv_sec: 77, tv_nsec: 1 } };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn link_write_unlink(root: &Path, name: &str) {
    fs::hard_link(root.join("d/f"), root.join(name)).unwrap();
    append(&root.join(name));
    fs::remove_file(root.join(name)).unwrap();
}

fn transient_link(root: &Path, _: &Path) {
    fs::create_dir(root.join("new")).unwrap();
    link_write_unlink(root, "new/l");
    fs::remove_dir(root.join("new")).unwrap();
}

fn link_outside(root: &Path, outside: &Path) {
    fs::hard_link(root.join("d/f"), outside.join("l")).unwrap();
    append(&outside.join("l"));
}

fn write_nameless(root: &Path, _: &Path) {
    let mut file = OpenOptions::new().append(true).open(root.join("e/alias")).unwrap();
    fs::remove_file(root.join("e/alias")).unwrap();
    file.write_all(b"late").unwrap();
}

fn tmpfile(root: &Path, _: &Path) {
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let fd = rustix::fs::open(root.join("e"), flags, Mode::RUSR | Mode::WUSR).unwrap();
    let mut file = File::from(fd);
    let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let cwd = rustix::fs::CWD;
    file.write_all(b"before").unwrap();
    rustix::fs::linkat(cwd, name, cwd, root.join("d/n"), AtFlags::SYMLINK_FOLLOW).unwrap();
    file.write_all(b"after").unwrap();
}

fn exchange(root: &Path, one: &str, other: &str) {
    let cwd = rustix::fs::CWD;
    rustix::fs::renameat_with(cwd, root.join(one), cwd, root.join(other), RenameFlags::EXCHANGE).unwrap();
}

fn there_and_back(root: &Path, _: &Path) {
    fs::create_dir(root.join("new")).unwrap();
    fs::rename(root.join("d"), root.join("new/d")).unwrap();
    append(&root.join("new/d/f"));
    fs::write(root.join("new/d/n"), "x").unwrap();
    fs::rename(root.join("new/d"), root.join("d")).unwrap();
    fs::remove_dir(root.join("new")).unwrap();
}

pub fn deep(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join("n"), "x").unwrap();
}

fn replace_by_symlink(root: &Path, _: &Path) {
    fs::remove_dir_all(root.join("e")).unwrap();
    symlink("d", root.join("e")).unwrap();
}

fn replace_directory(path: &Path) {
    fs::remove_dir(path).unwrap();
    fs::create_dir(path).unwrap();
    fs::write(path.join("n"), "x").unwrap();
}

fn replace_file(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::write(path, "other").unwrap();
}

fn mode(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o710)).unwrap();
}

fn attribute(path: &Path) {
    rustix::fs::lsetxattr(path, "user.test", b"value", XattrFlags::empty()).unwrap();
}

fn node(path: &Path, kind: FileType) {
    let device = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, Mode::RUSR, device).unwrap();
}

fn fallocate(root: &Path, _: &Path) {
    let file = OpenOptions::new().write(true).open(root.join("d/f")).unwrap();
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 10_000).unwrap();
}

fn copy_range(root: &Path, _: &Path) {
    let from = File::open(root.join("e/x")).unwrap();
    let to = OpenOptions::new().write(true).open(root.join("d/f")).unwrap();
    assert!(rustix::fs::copy_file_range(&from, None, &to, None, 3).unwrap() > 0);
}

fn send_file(root: &Path, _: &Path) {
    let from = File::open(root.join("e/x")).unwrap();
    let to = OpenOptions::new().write(true).open(root.join("d/f")).unwrap();
    assert!(rustix::fs::sendfile(&to, &from, None, 3).unwrap() > 0);
}

fn bind_mount(root: &Path, outside: &Path) {
    let script = r#"mount --bind "$0" "$1" && echo x >> "$1"/f"#;
    let target = outside.join("full");
    run(Command::new("unshare").args(["-m", "sh", "-c", script]).arg(root.join("d")).arg(target));
}

/// Makes the tree that each operation finds.
pub fn build(root: &Path, outside: &Path) {
    for directory in [root, outside] {
        for child in fs::read_dir(directory).unwrap() {
            let path = child.unwrap().path();
            let is_dir = fs::symlink_metadata(&path).unwrap().is_dir();
            if is_dir { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
    }
    for path in ["d/sub", "e", "empty"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    for path in ["d/f", "d/h", "d/sub/deep", "e/x"] {
        fs::write(root.join(path), path).unwrap();
    }
    fs::hard_link(root.join("d/h"), root.join("e/alias")).unwrap();
    symlink("d/f", root.join("s")).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    deep(&outside.join("full/sub"));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
