//! Proves on the file system at hand what a recording relies on: that each kind of change is reported under its name, and
//! that inode numbers can be had from the handles. Facts differ between kernels and file systems; versions do not tell.
//!
//! All is done in a directory of its own in scratch, which is removed again.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::fanotify::{self, Event};
use crate::handle::{self, Handle, Identity, Layouts};
use crate::hearing::{Queue, unreadable};
use crate::inode::Inode;
use crate::refused::Refused;

mod operations;

use operations::{CHANGED, MADE, Operation, REMOVED, clean};

/// How often, and how long, the self-test waits for what was not heard of: a child that another thread makes has our open files
/// until it becomes its program, and only the last one that closes a file is heard.
const CLOSES: u32 = 100;
const CLOSE: Duration = Duration::from_millis(2);

/// What the self-test found out.
#[derive(Debug)]
pub struct Proven {
    /// The layouts of handles that are right here.
    pub layouts: Layouts,
    /// The scratch directory, as events name it.
    pub scratch: Identity,
}

/// Runs the self-test in `scratch`, at `path`, for a root with the identity `root`.
pub fn run(queue: &mut Queue, root: Inode, scratch: &OwnedFd, path: &Path) -> Result<Proven, Refused> {
    let name = unique("probe");
    let made = |call| {
        let path = path.join(&name);
        move |error: rustix::io::Errno| Refused::File { call, path: path.clone(), source: error.into() }
    };
    rustix::fs::mkdirat(scratch, &name, Mode::RWXU).map_err(made("mkdirat"))?;
    let tried = open(scratch, &name).map_err(made("openat")).and_then(|probe| {
        let tried = try_all(queue, root, scratch, &name, &probe, path);
        clean(&probe);
        tried
    });
    rustix::fs::unlinkat(scratch, &name, AtFlags::REMOVEDIR).map_err(made("rmdir"))?;
    tried
}

/// The test itself, in the empty directory `probe`, which is `name` in `scratch`.
fn try_all(
    queue: &mut Queue,
    root: Inode,
    scratch: &OwnedFd,
    name: &str,
    probe: &OwnedFd,
    path: &Path,
) -> Result<Proven, Refused> {
    let statx = |file: &OwnedFd, name: &str| inode_of(file, name, &path.join(name));
    let mut ear = Ear::default();
    ear.listen(queue)?;
    let own = ear.find(name).ok_or(Refused::Unheard { operation: "a directory made" })?;
    let mut samples = vec![(own.directory, Inode::of(scratch).map_err(file("statx", path))?)];
    let directory = own.target.ok_or(Refused::Unheard { operation: "the identity of a directory" })?;
    samples.push((directory.clone(), Inode::of(probe).map_err(file("statx", path))?));

    ear.perform(queue, probe, &directory, &MADE, path)?;
    for operation in &MADE {
        let target = ear.places.get(&(directory.clone(), operation.name.into())).and_then(|seen| seen.target.clone());
        let target = target.ok_or(Refused::Unheard { operation: "the identity of a file" })?;
        samples.push((target, statx(probe, operation.name)?));
    }
    let scratch = samples[0].0.clone();
    let layouts = prove(root, probe, &samples)?;
    ear.perform(queue, probe, &directory, &CHANGED, path)?;
    ear.perform(queue, probe, &directory, &REMOVED, path)?;
    Ok(Proven { scratch: layouts.identify(borrow(&scratch)), layouts })
}

/// A handle's type and bytes, owned.
type Raw = (i32, Box<[u8]>);

/// The handle in `raw`.
fn borrow(raw: &Raw) -> Handle<'_> {
    Handle { handle_type: raw.0, bytes: &raw.1 }
}

/// The bytes of `handle`.
fn own(handle: Handle<'_>) -> Raw {
    (handle.handle_type, handle.bytes.into())
}

/// Learns the layouts from handles with known inodes, and checks that each can be turned into its inode one way or the
/// other. `mount` is a file on the superblock.
fn prove(root: Inode, mount: &OwnedFd, samples: &[(Raw, Inode)]) -> Result<Layouts, Refused> {
    if let Some((_, other)) = samples.iter().find(|(_, inode)| inode.dev != root.dev) {
        return Err(Refused::Device { root: root.dev, file: other.dev });
    }
    let mut layouts = Layouts::default();
    samples.iter().for_each(|(raw, inode)| layouts.learn(borrow(raw), inode.ino));
    for (raw, inode) in samples {
        if layouts.identify(borrow(raw)) != Identity::Ino(inode.ino) {
            let refuse = |source| Refused::Handle { handle_type: raw.0, length: raw.1.len(), source };
            match handle::open(mount, borrow(raw)) {
                Ok(Some(opened)) if opened == *inode => {}
                Ok(_) => return Err(refuse(io::Error::other("it names another file"))),
                Err(error) => return Err(refuse(error)),
            }
        }
    }
    Ok(layouts)
}

/// All that was heard of a name: every mask, and the last object.
#[derive(Clone, Debug)]
struct Heard {
    directory: Raw,
    target: Option<Raw>,
    mask: u64,
}

/// What was heard since the last operations, by directory and name. Others may be writing too.
#[derive(Debug, Default)]
struct Ear {
    places: HashMap<(Raw, Vec<u8>), Heard>,
}

impl Ear {
    /// Does `operations` in `probe`, whose handle is `directory`, and checks that each was heard.
    fn perform(
        &mut self,
        queue: &mut Queue,
        probe: &OwnedFd,
        directory: &Raw,
        operations: &[Operation],
        path: &Path,
    ) -> Result<(), Refused> {
        self.places.clear();
        for operation in operations {
            (operation.act)(probe, operation.name)
                .map_err(|error| file(operation.what, &path.join(operation.name))(error.into()))?;
        }
        let mut tries = 0..CLOSES;
        loop {
            self.listen(queue)?;
            let missing = operations.iter().find(|operation| {
                let heard = self.places.get(&(directory.clone(), operation.name.into()));
                heard.is_none_or(|heard| heard.mask & operation.mask != operation.mask)
            });
            let Some(operation) = missing else { return Ok(()) };
            if tries.next().is_none() {
                return Err(Refused::Unheard { operation: operation.what });
            }
            std::thread::sleep(CLOSE);
        }
    }

    /// Reads all that is queued. Events are queued before the calls that cause them return; the bound is for a file system that
    /// others write to without a pause.
    fn listen(&mut self, queue: &mut Queue) -> Result<(), Refused> {
        const READS: usize = 1000;
        for _ in 0..READS {
            let bytes = queue.read().map_err(unreadable).map_err(Refused::SelfTest)?;
            if bytes.is_empty() {
                break;
            }
            fanotify::decode(bytes).map_err(Refused::SelfTest)?.iter().for_each(|event| self.hear(event));
        }
        Ok(())
    }

    /// Remembers an event under each of its names.
    fn hear(&mut self, event: &Event<'_>) {
        for place in event.at.iter().chain(&event.to) {
            let directory = own(place.directory);
            let key = (directory.clone(), place.name.to_vec());
            let heard = self.places.entry(key).or_insert(Heard { directory, target: None, mask: 0 });
            heard.mask |= event.mask;
            heard.target = event.target.map(own).or(heard.target.take());
        }
    }

    /// What was heard of `name` in any directory.
    fn find(&self, name: &str) -> Option<Heard> {
        self.places.iter().find(|((_, other), _)| other == name.as_bytes()).map(|(_, heard)| heard.clone())
    }
}

/// The identity of `name` in `directory`, which is at `path`.
fn inode_of(directory: &OwnedFd, name: &str, path: &Path) -> Result<Inode, Refused> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(io::Error::from);
    opened.and_then(Inode::of).map_err(file("statx", path))
}

/// Makes an error of a call on the file at `path` a refusal.
fn file(call: &'static str, path: &Path) -> impl Fn(io::Error) -> Refused {
    let path = PathBuf::from(path);
    move |source| Refused::File { call, path: path.clone(), source }
}

/// Opens the directory `name` in `directory`.
fn open(directory: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// A name that nobody else uses or can foresee.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{:016x}", RandomState::new().build_hasher().finish())
}
