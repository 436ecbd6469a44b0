//! Extracts a tar archive into a directory of the root, as ADD does: no name in it is a whiteout.
//!
//! The directory is the top of the world for the archive: an absolute name or link starts there, a link cannot leave it, and
//! a name that climbs above it is refused. A member replaces what stands in its place, whole trees too; only directories
//! merge. Directories that the archive does not name belong to root and have mode 0755.

use std::io::{self, Read};

use super::archive::{self, Chunk, Member, Reader, What};
use super::copy::Owner;
use super::error::Error;
use super::{Entry, Kind, Result, Root, RootPath};

const IMPLIED_MODE: u32 = 0o755;
/// As many links as the kernel follows on one path.
const LINKS: usize = 40;

/// Why an archive could not be extracted.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// It is malformed.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// A name leads out of the destination.
    #[error("{0:?} is outside of the destination")]
    Outside(String),
    /// The root could not be changed.
    #[error(transparent)]
    Root(#[from] Error),
}

/// Extracts the uncompressed archive `tar` into the directory at the exact `path`, which must exist. Owners are those of the
/// archive where `owner` keeps them. Adds what it wrote to `touched`.
pub fn extract(
    root: &Root,
    path: &RootPath,
    tar: impl Read,
    owner: Owner,
    touched: &mut Vec<RootPath>,
) -> std::result::Result<(), ExtractError> {
    let mut reader = Reader::new(tar);
    let mut extraction = Extraction { root, top: path, owner, directories: Vec::new(), touched };
    while let Some(Member { name, what }) = reader.next_member()? {
        match local(&name)? {
            name if name.is_root() => {}
            name => extraction.member(&name, what, &mut reader)?,
        }
    }
    extraction.finish()?;
    Ok(())
}

/// The name as a path below the destination; an absolute one is taken from there.
fn local(name: &[u8]) -> std::result::Result<RootPath, ExtractError> {
    let outside = || ExtractError::Outside(String::from_utf8_lossy(name).into_owned());
    let mut depth = 0usize;
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => depth = depth.checked_sub(1).ok_or_else(outside)?,
            _ => depth += 1,
        }
    }
    RootPath::clean(name).ok_or_else(outside)
}

struct Extraction<'a> {
    root: &'a Root,
    top: &'a RootPath,
    owner: Owner,
    /// Whose attributes are set at the end, when nothing in them changes any more.
    directories: Vec<(RootPath, Entry)>,
    touched: &'a mut Vec<RootPath>,
}

impl Extraction<'_> {
    fn member<R: Read>(
        &mut self,
        name: &RootPath,
        what: What,
        reader: &mut Reader<R>,
    ) -> std::result::Result<(), ExtractError> {
        let path = match &what {
            What::New(entry) if entry.is_directory() => self.resolve(name, Last::Follow)?,
            _ => self.resolve(name, Last::Keep)?,
        };
        if path == *self.top {
            return Ok(());
        }
        if self.root.is_protected(&path) {
            tracing::warn!("{path} belongs to this machine and is not extracted");
            return Ok(());
        }
        self.parents(&path)?;
        match what {
            What::Link(target) => {
                let target = self.resolve(&local(&target)?, Last::Keep)?;
                self.link(&path, &target)?;
            }
            What::New(entry) => self.make(&path, self.owned(entry), reader)?,
        }
        self.touched.push(path);
        Ok(())
    }

    fn make<R: Read>(&mut self, path: &RootPath, entry: Entry, reader: &mut Reader<R>) -> Result<()> {
        let made = match entry.kind {
            Kind::Directory => return self.directory(path, entry),
            Kind::File { .. } => {
                self.make_way(path)?;
                self.root.write_file(path, &mut Contents::new(reader), &entry)?
            }
            _ => {
                self.make_way(path)?;
                self.root.make_node(path, &entry)?
            }
        };
        super::copy::report(path, &made);
        Ok(())
    }

    fn directory(&mut self, path: &RootPath, entry: Entry) -> Result<()> {
        let stands = self.root.observe(path)?.is_some_and(|node| node.entry.is_directory());
        if !stands {
            self.make_way(path)?;
            self.root.create_dir(path, 0o700, 0, 0)?;
        }
        self.directories.push((path.clone(), entry));
        Ok(())
    }

    fn link(&mut self, path: &RootPath, target: &RootPath) -> Result<()> {
        if path == target {
            return Ok(());
        }
        self.make_way(path)?;
        self.root.hard_link(path, target)
    }

    /// Removes what a member replaces.
    fn make_way(&mut self, path: &RootPath) -> Result<()> {
        super::copy::vacate(self.root, path, self.touched)
    }

    fn parents(&mut self, path: &RootPath) -> Result<()> {
        if let Some(parent) = path.parent() {
            self.touched.extend(self.root.create_dir_all(&parent, IMPLIED_MODE, 0, 0)?);
        }
        Ok(())
    }

    /// The exact path of `name`, links followed inside the destination. The tail may be missing.
    fn resolve(&self, name: &RootPath, last: Last) -> Result<RootPath> {
        let mut todo: Vec<Vec<u8>> = parts(name.as_bytes());
        let mut at = RootPath::root();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                at = at.parent().unwrap_or(at);
                continue;
            }
            let next = at.join_name(&part);
            let link = match self.root.observe(&self.top.join(&next))?.map(|node| node.entry.kind.clone()) {
                Some(Kind::Symlink(link)) if last == Last::Follow || !todo.is_empty() => link,
                _ => {
                    at = next;
                    continue;
                }
            };
            links += 1;
            if links > LINKS {
                let error = io::Error::new(io::ErrorKind::InvalidInput, format!("{name}: too many links"));
                return Err(error.into());
            }
            if link.starts_with(b"/") {
                at = RootPath::root();
            }
            todo.extend(parts(&link));
        }
        Ok(self.top.join(&at))
    }

    fn owned(&self, mut entry: Entry) -> Entry {
        if let Owner::Given(owner) = self.owner {
            (entry.uid, entry.gid) = (owner.uid, owner.gid);
        }
        entry
    }

    fn finish(self) -> Result<()> {
        for (path, entry) in self.directories.iter().rev() {
            // A later member may have replaced it.
            if self.root.observe(path)?.is_some_and(|node| node.entry.is_directory()) {
                super::copy::report(path, &self.root.set_attributes(path, entry)?);
            }
        }
        Ok(())
    }
}

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Follow,
    Keep,
}

/// The components of a path, last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.rev().map(<[u8]>::to_vec).collect()
}

/// The content of the current member, holes as zeros.
struct Contents<'r, R> {
    reader: &'r mut Reader<R>,
    /// What is left of the last chunk: bytes, or so many zeros.
    bytes: Vec<u8>,
    at: usize,
    zeros: u64,
}

impl<'r, R: Read> Contents<'r, R> {
    fn new(reader: &'r mut Reader<R>) -> Self {
        Contents { reader, bytes: Vec::new(), at: 0, zeros: 0 }
    }
}

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.bytes.len() && self.zeros == 0 {
            self.at = 0;
            self.bytes.clear();
            match self.reader.next_chunk().map_err(io::Error::other)? {
                None => return Ok(0),
                Some(Chunk::Data(data)) => self.bytes.extend_from_slice(data),
                Some(Chunk::Hole(length)) => self.zeros = length,
            }
        }
        if self.zeros > 0 {
            let length = usize::try_from(self.zeros).unwrap_or(usize::MAX).min(buffer.len());
            buffer[..length].fill(0);
            self.zeros -= length as u64;
            return Ok(length);
        }
        let length = (self.bytes.len() - self.at).min(buffer.len());
        buffer[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use tar_core::EntryType;

    use super::*;
    use crate::rootfs::fixture::{Fixture, Layer, path};

    type Told = BTreeSet<RootPath>;

    /// Extracts into `t`, which has a link `out` to the canary's directory, and looks whether the canary is well.
    fn try_extract(fixture: &Fixture, layer: &Layer) -> (Told, std::result::Result<(), ExtractError>) {
        let outside = fixture.outside();
        fixture.root.create_dir_all(&path("t/d"), 0o755, 0, 0).expect("mkdir");
        let _ = std::os::unix::fs::symlink(&outside, fixture.on_disk("t/out"));
        let mut touched = Vec::new();
        let result = extract(&fixture.root, &path("t"), &layer.bytes()[..], Owner::Kept, &mut touched);
        fixture.assert_outside_untouched();
        assert!(touched.iter().all(|told| told.is_at_or_below(&path("t"))), "{touched:?}");
        (touched.into_iter().collect(), result)
    }

    fn check(layer: &Layer, told: &[&str]) -> Fixture {
        let fixture = Fixture::new();
        let (touched, result) = try_extract(&fixture, layer);
        result.expect("extracts");
        assert_eq!(touched, told.iter().map(|told| path(told)).collect());
        fixture
    }

    #[test]
    fn names_that_climb_out_are_refused() {
        for name in ["../x", "a/../../x", "/../x", "d/../../t/x", ".."] {
            for layer in [Layer::new().file(name, "x"), Layer::new().dir(name), Layer::new().link("l", name)] {
                let (told, result) = try_extract(&Fixture::new(), &layer);
                assert!(matches!(result, Err(ExtractError::Outside(_))), "{name}: {result:?}");
                assert!(told.iter().all(|told| *told == path("t/l")), "{name}: {told:?}");
            }
        }
    }

    #[test]
    fn names_are_taken_from_the_destination() {
        check(&Layer::new().file("/abs/x", "1"), &["t/abs", "t/abs/x"]);
        check(&Layer::new().file("./a/./b", "1"), &["t/a", "t/a/b"]);
        check(&Layer::new().file("a/../b", "1"), &["t/b"]);
        let top = Layer::new().dir("./").dir(".").symlink("l", "/").add("l", EntryType::Directory, b"", |e| e);
        let fixture = check(&top, &["t/l"]);
        assert_eq!(fs::metadata(fixture.on_disk("t")).expect("stat").mode() & 0o7777, 0o755);
    }

    #[test]
    fn links_end_inside_the_destination() {
        let fixture = Fixture::new();
        let out = path(fixture.outside().join("x").to_str().expect("UTF-8"));
        let (told, result) = try_extract(&fixture, &Layer::new().file("out/x", "mine"));
        result.expect("extracts");
        assert!(told.contains(&path("t").join(&out)), "{told:?}");
        check(&Layer::new().symlink("l", "../../..").file("l/x", "1"), &["t/l", "t/x"]);
        check(&Layer::new().symlink("l", "/a").dir("l").file("l/x", "1"), &["t/l", "t/a", "t/a/x"]);
        check(&Layer::new().symlink("l", "x").file("l", "1"), &["t/l"]);
        let (_, result) = try_extract(&Fixture::new(), &Layer::new().symlink("l", "l").file("l/x", "1"));
        assert!(matches!(result, Err(ExtractError::Root(_))), "{result:?}");
    }

    #[test]
    fn a_hard_link_has_its_target_inside() {
        let fixture = check(&Layer::new().file("a", "1").link("d/b", "/a").link("a", "a"), &["t/a", "t/d/b"]);
        let inode = |name: &str| fs::metadata(fixture.on_disk(name)).expect("stat").ino();
        assert_eq!(inode("t/a"), inode("t/d/b"));
        let (_, result) = try_extract(&Fixture::new(), &Layer::new().link("l", "out/canary"));
        assert!(matches!(result, Err(ExtractError::Root(_))), "{result:?}");
        let (_, result) = try_extract(&Fixture::new(), &Layer::new().symlink("s", "out/canary").link("l", "s"));
        result.expect("the link itself is linked");
    }

    #[test]
    fn a_member_replaces_another() {
        let layer = Layer::new().dir("x").file("x/y", "1").file("x", "2").dir("x").symlink("x", "d").dir("x");
        let fixture = check(&layer, &["t/x", "t/x/y", "t/d"]);
        assert!(fs::symlink_metadata(fixture.on_disk("t/x")).expect("stat").is_symlink());
    }

    #[test]
    fn what_went_with_a_directory_is_told() {
        let fixture = Fixture::new();
        fixture.root.create_dir_all(&path("t/x/sub/deep"), 0o755, 0, 0).expect("mkdir");
        let (told, result) = try_extract(&fixture, &Layer::new().file("x", "1").dir("x"));
        result.expect("extracts");
        assert_eq!(told, ["t/x", "t/x/sub", "t/x/sub/deep"].map(path).into());
    }

    #[test]
    fn protected_paths_stay() {
        let mut fixture = Fixture::new();
        fixture.root.create_dir_all(&path("t/d/mount"), 0o711, 0, 0).expect("mkdir");
        fixture.root.protect(path("t/d/mount"));
        let layer = Layer::new().dir("d/mount").file("d/mount/x", "1").file("d/y", "2");
        let (told, result) = try_extract(&fixture, &layer);
        result.expect("extracts the rest");
        assert_eq!(told, Told::from([path("t/d/y")]));
        assert_eq!(fs::metadata(fixture.on_disk("t/d/mount")).expect("stat").mode() & 0o7777, 0o711);
        let (_, result) = try_extract(&fixture, &Layer::new().file("d", "in the way"));
        assert!(matches!(result, Err(ExtractError::Root(Error::Protected(_)))), "{result:?}");
    }

    #[test]
    fn contents_and_times_of_directories() {
        let content = [b'x'; 300_000];
        let layer = Layer::new().add("d", EntryType::Directory, b"", |entry| entry.mtime(7).expect("mtime")).add(
            "d/x",
            EntryType::Regular,
            &content,
            |entry| entry.mtime(8).expect("mtime"),
        );
        let fixture = check(&layer, &["t/d", "t/d/x"]);
        assert_eq!(fs::metadata(fixture.on_disk("t/d")).expect("stat").mtime(), 7);
        assert_eq!(fs::read(fixture.on_disk("t/d/x")).expect("read"), content);
    }
}
