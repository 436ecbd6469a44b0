//! A root to which operations are done. One that cannot be done does nothing. Names are few, so that operations meet.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, XattrFlags};

use silt_watcher::Inode;

use crate::mapper::Mapper;
use crate::operations::{Operation, Verb};

/// The root, a directory beside it on the same file system, and what was done.
pub struct World {
    root: PathBuf,
    outside: PathBuf,
    mapper: Mapper,
    log: Vec<String>,
    linked: HashSet<Inode>,
}

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "a-1", "a.b", "\u{fc}"];
/// Of one length, so that contents differ where sizes do not.
const CONTENTS: [&[u8]; 4] = [b"one", b"two", b"six", b""];

type Done = io::Result<()>;

impl World {
    /// `root` and `outside` below `dir`, made if they are missing.
    pub fn new(dir: &Path) -> Self {
        let (root, outside) = made(dir);
        World { root, outside, mapper: Mapper::start(), log: Vec::new(), linked: HashSet::new() }
    }

    /// Empties both directories and forgets what was done.
    pub fn clear(&mut self) {
        for dir in [&self.root, &self.outside] {
            for entry in fs::read_dir(dir).expect("readdir") {
                remove(&entry.expect("entry").path()).expect("remove");
            }
        }
        fs::set_permissions(&self.root, PermissionsExt::from_mode(0o755)).expect("chmod");
        self.log.clear();
        self.linked.clear();
    }

    /// Goes over to those below another `dir`, as they are.
    pub fn enter(&mut self, dir: &Path) {
        (self.root, self.outside) = made(dir);
        self.log.clear();
        self.linked.clear();
    }

    /// The files that got another name since the last call. Some of them may be written through a name that nobody knows.
    pub fn take_linked(&mut self) -> HashSet<Inode> {
        std::mem::take(&mut self.linked)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What was done since it was clear.
    pub fn log(&self) -> String {
        self.log.join("\n")
    }

    pub fn note(&mut self, text: &str) {
        self.log.push(text.to_owned());
    }

    pub fn run(&mut self, operations: &[Operation]) {
        for operation in operations {
            // What cannot be done does nothing: a directory is not written to, a missing file not removed.
            let _ = self.apply(operation);
        }
    }

    fn apply(&mut self, o: &Operation) -> Done {
        match o.verb {
            Verb::Create | Verb::Write | Verb::WriteKeepingTime | Verb::RewriteAlike => self.write_some(o),
            Verb::Append | Verb::Truncate | Verb::MapAndStore | Verb::WriteUnlinked => self.write_otherwise(o),
            Verb::Rename | Verb::RenameDirectory | Verb::Exchange => self.rename(o),
            Verb::MoveOut | Verb::MoveIn => self.move_over(o),
            Verb::DirectoryToLink | Verb::LinkToDirectory => self.swap_for_link(o),
            Verb::HardLink | Verb::LinkThroughNewDirectory | Verb::LinkFromOutside => self.link(o),
            Verb::Chmod | Verb::Chown | Verb::Utimes | Verb::Xattr => self.attribute(o),
            Verb::Delete | Verb::DeleteTree | Verb::RemoveDirectory | Verb::Recreate | Verb::RemakeDirectory => {
                self.delete(o)
            }
            Verb::MakeDirectory | Verb::Symlink | Verb::Special | Verb::Socket => self.make(o),
            Verb::TemporaryLinked => self.temporary(o),
        }
    }

    fn say(&mut self, o: &Operation, path: &Path, other: Option<&Path>) {
        let short = |p: &Path| p.strip_prefix(self.root.parent().expect("a parent")).unwrap_or(p).display().to_string();
        let other = other.map(short).unwrap_or_default();
        self.log.push(format!("{:?} {} {other} ({})", o.verb, short(path), o.c % 8));
    }

    fn write_some(&mut self, o: &Operation) -> Done {
        let path = match o.verb {
            Verb::Create => self.new_name(o.a, o.b),
            _ => self.file(o.a)?,
        };
        self.say(o, &path, None);
        let before = fs::symlink_metadata(&path);
        let content = CONTENTS[o.b % CONTENTS.len()];
        match o.verb {
            Verb::RewriteAlike => {
                let content = fs::read(&path)?;
                OpenOptions::new().write(true).truncate(true).open(&path)?.write_all(&content)?;
            }
            Verb::Create => OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(content)?,
            _ => OpenOptions::new().write(true).truncate(true).open(&path)?.write_all(content)?,
        }
        match (o.verb, before) {
            (Verb::WriteKeepingTime | Verb::RewriteAlike, Ok(before)) => {
                set_mtime(&path, before.mtime(), before.mtime_nsec())
            }
            _ => Ok(()),
        }
    }

    fn write_otherwise(&mut self, o: &Operation) -> Done {
        let path = self.file(o.a)?;
        self.say(o, &path, None);
        match o.verb {
            Verb::Append => OpenOptions::new().append(true).open(&path)?.write_all(b"+"),
            Verb::Truncate => OpenOptions::new().write(true).open(&path)?.set_len(o.b as u64 % 5),
            Verb::MapAndStore => self.mapper.store(&path, o.b as u8),
            _ => {
                let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
                fs::remove_file(&path)?;
                file.seek(SeekFrom::End(0))?;
                file.write_all(b"late")
            }
        }
    }

    fn rename(&mut self, o: &Operation) -> Done {
        let from = match o.verb {
            Verb::RenameDirectory => self.directory(o.a)?,
            Verb::Rename => self.file(o.a)?,
            _ => self.any(o.a)?,
        };
        let to = if matches!(o.verb, Verb::Exchange) { self.any(o.b)? } else { self.target(o) };
        self.say(o, &from, Some(&to));
        match o.verb {
            Verb::Exchange => Ok(rustix::fs::renameat_with(CWD, &from, CWD, &to, RenameFlags::EXCHANGE)?),
            _ => fs::rename(from, to),
        }
    }

    /// Where to rename to: now and then over something of the same kind.
    fn target(&self, o: &Operation) -> PathBuf {
        let taken = if matches!(o.verb, Verb::RenameDirectory) { self.directory(o.b) } else { self.file(o.b) };
        match taken {
            Ok(path) if o.c.is_multiple_of(3) => path,
            _ => self.new_name(o.b, o.c),
        }
    }

    fn move_over(&mut self, o: &Operation) -> Done {
        let outer = self.outside.join(NAMES[o.b % NAMES.len()]);
        let inner = if matches!(o.verb, Verb::MoveIn) { self.new_name(o.a, o.c) } else { self.small(o)? };
        self.say(o, &inner, Some(&outer));
        match o.verb {
            Verb::MoveIn => {
                if !outer.is_dir() {
                    remove(&outer)?;
                    fs::create_dir_all(outer.join("x"))?;
                    fs::write(outer.join("x/y"), "moved in")?;
                }
                fs::rename(outer, inner)
            }
            _ => {
                remove(&outer)?;
                fs::rename(inner, outer)
            }
        }
    }

    /// A directory moves and a link to it takes its place; or a link to a directory gives way to what it leads to.
    fn swap_for_link(&mut self, o: &Operation) -> Done {
        if matches!(o.verb, Verb::DirectoryToLink) {
            let (dir, aside) = (self.directory(o.a)?, self.new_name(o.b, o.c));
            self.say(o, &dir, Some(&aside));
            fs::rename(&dir, &aside)?;
            return symlink(aside, dir);
        }
        let link = self.pick(o.a, &|kind| kind.is_symlink())?;
        let dir = fs::canonicalize(&link)?;
        self.say(o, &link, Some(&dir));
        if dir.starts_with(&self.root) && dir.is_dir() && dir != self.root {
            fs::remove_file(&link)?;
            fs::rename(dir, link)?;
        }
        Ok(())
    }

    fn link(&mut self, o: &Operation) -> Done {
        let file = self.pick(o.a, &|kind| !kind.is_dir())?;
        let place = match o.verb {
            Verb::LinkFromOutside => self.outside.join(NAMES[o.b % NAMES.len()]),
            _ => self.new_name(o.b, o.c),
        };
        self.say(o, &file, Some(&place));
        match o.verb {
            Verb::HardLink => self.second_name(&file, &place),
            Verb::LinkFromOutside => {
                remove(&place)?;
                self.second_name(&file, &place)?;
                write_through(&place, o.c)
            }
            _ => {
                fs::create_dir(&place)?;
                self.second_name(&file, &place.join("x"))?;
                let written = write_through(&place.join("x"), o.c);
                fs::remove_file(place.join("x"))?;
                fs::remove_dir(place)?;
                written
            }
        }
    }

    /// A hard link. On an overlay that may give the file another inode.
    fn second_name(&mut self, file: &Path, place: &Path) -> Done {
        self.linked.insert(inode(file)?);
        fs::hard_link(file, place)?;
        self.linked.extend([inode(file)?, inode(place)?]);
        Ok(())
    }

    fn attribute(&mut self, o: &Operation) -> Done {
        let path = match o.verb {
            Verb::Xattr => self.pick(o.a, &|kind| kind.is_file() || kind.is_dir())?,
            _ => self.any(o.a)?,
        };
        self.say(o, &path, None);
        match o.verb {
            Verb::Chmod if fs::symlink_metadata(&path)?.is_symlink() => Ok(()),
            Verb::Chmod => fs::set_permissions(&path, PermissionsExt::from_mode([0o700, 0o755, 0o4711][o.c % 3])),
            Verb::Chown => lchown(&path, Some([0, 7, 3_000_000][o.c % 3]), Some(9)),
            Verb::Utimes => set_mtime(&path, [0, 1_700_000_000][o.b % 2], [0, 1, 500_000_000][o.c % 3]),
            _ if o.c.is_multiple_of(3) => Ok(rustix::fs::lremovexattr(&path, "user.x")?),
            _ => Ok(rustix::fs::lsetxattr(&path, "user.x", CONTENTS[o.b % 4], XattrFlags::empty())?),
        }
    }

    fn delete(&mut self, o: &Operation) -> Done {
        let path = match o.verb {
            Verb::Delete => self.pick(o.a, &|kind| !kind.is_dir())?,
            Verb::Recreate => self.file(o.a)?,
            Verb::DeleteTree => self.small(o)?,
            _ => self.directory(o.a)?,
        };
        self.say(o, &path, None);
        let before = fs::symlink_metadata(&path)?;
        match o.verb {
            Verb::Delete => fs::remove_file(path),
            Verb::RemoveDirectory => fs::remove_dir(path),
            Verb::Recreate => {
                let content = fs::read(&path)?;
                fs::remove_file(&path)?;
                fs::write(&path, content)?;
                fs::set_permissions(&path, before.permissions())?;
                chown(&path, Some(before.uid()), Some(before.gid()))?;
                set_mtime(&path, before.mtime(), before.mtime_nsec())
            }
            Verb::RemakeDirectory => {
                let aside = self.outside.join("aside");
                fs::rename(&path, &aside)?;
                fs::create_dir(&path)?;
                fs::set_permissions(&path, before.permissions())?;
                for entry in fs::read_dir(&aside)?.skip(o.c % 2) {
                    let entry = entry?;
                    fs::rename(entry.path(), path.join(entry.file_name()))?;
                }
                remove(&aside)
            }
            _ => remove(&path),
        }
    }

    fn make(&mut self, o: &Operation) -> Done {
        let path = self.new_name(o.a, o.b);
        self.say(o, &path, None);
        let mode = Mode::from_raw_mode(0o640);
        match o.verb {
            Verb::MakeDirectory if path.components().count() > self.root.components().count() + 3 => Ok(()),
            Verb::MakeDirectory => fs::create_dir(path),
            Verb::Symlink => symlink(["a", "../b", "nowhere"][o.c % 3], path),
            Verb::Socket => UnixListener::bind(path).map(drop),
            _ if o.c.is_multiple_of(2) => Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0)?),
            _ => Ok(rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, mode, rustix::fs::makedev(1, 3))?),
        }
    }

    /// `O_TMPFILE`, given a name later, and written to again through the handle that never had one.
    fn temporary(&mut self, o: &Operation) -> Done {
        let path = self.new_name(o.a, o.b);
        self.say(o, &path, None);
        let dir = path.parent().expect("a parent");
        let flags = OFlags::TMPFILE | OFlags::RDWR;
        let mut file = File::from(rustix::fs::open(dir, flags, Mode::from_raw_mode(0o600))?);
        file.write_all(CONTENTS[o.c % CONTENTS.len()])?;
        rustix::fs::linkat(&file, "", CWD, &path, AtFlags::EMPTY_PATH)?;
        if o.c.is_multiple_of(2) { file.write_all(b"named") } else { Ok(()) }
    }

    /// A name that is free, if one is.
    fn new_name(&self, dir: usize, name: usize) -> PathBuf {
        // The root itself is not among the directories.
        let dir = if name.is_multiple_of(5) { Err(io::ErrorKind::NotFound.into()) } else { self.directory(dir) };
        let dir = dir.unwrap_or_else(|_| self.root.clone());
        let mut names = (0..NAMES.len()).map(|more| dir.join(NAMES[(name / 5 + more) % NAMES.len()]));
        names.find(|path| fs::symlink_metadata(path).is_err()).unwrap_or(dir)
    }

    fn file(&self, number: usize) -> io::Result<PathBuf> {
        self.pick(number, &|kind| kind.is_file())
    }

    fn directory(&self, number: usize) -> io::Result<PathBuf> {
        self.pick(number, &|kind| kind.is_dir())
    }

    fn any(&self, number: usize) -> io::Result<PathBuf> {
        self.pick(number, &|_| true)
    }

    /// Anything, but seldom a directory, which takes all below it along.
    fn small(&self, o: &Operation) -> io::Result<PathBuf> {
        if o.c.is_multiple_of(4) { self.directory(o.a) } else { self.pick(o.a, &|kind| !kind.is_dir()) }
    }

    fn pick(&self, number: usize, wanted: &dyn Fn(&fs::FileType) -> bool) -> io::Result<PathBuf> {
        let mut found = Vec::new();
        list(&self.root, wanted, &mut found)?;
        found.sort();
        if found.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(found.swap_remove(number % found.len()))
    }
}

/// `root` and `outside` below `dir`, made if they are missing.
fn made(dir: &Path) -> (PathBuf, PathBuf) {
    let (root, outside) = (dir.join("root"), dir.join("outside"));
    fs::create_dir_all(&root).expect("mkdir");
    fs::create_dir_all(&outside).expect("mkdir");
    (root, outside)
}

/// What stands at `path`, links not followed.
pub fn inode(path: &Path) -> io::Result<Inode> {
    Inode::of(rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?)
}

fn list(dir: &Path, wanted: &dyn Fn(&fs::FileType) -> bool, found: &mut Vec<PathBuf>) -> Done {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if wanted(&kind) {
            found.push(entry.path());
        }
        if kind.is_dir() {
            list(&entry.path(), wanted, found)?;
        }
    }
    Ok(())
}

fn write_through(path: &Path, number: usize) -> Done {
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(b"w", number as u64 % 3)
}

/// Removes whatever stands at `path`, if anything does.
fn remove(path: &Path) -> Done {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

fn set_mtime(path: &Path, sec: i64, nsec: i64) -> Done {
    let keep = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let times = Timestamps { last_access: keep, last_modification: Timespec { tv_sec: sec, tv_nsec: nsec as _ } };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
