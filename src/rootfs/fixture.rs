//! For tests: a root beside a directory that nothing may touch, layers made entry by entry, and the check that a record
//! agrees with the disk.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tar_core::EntryType;
use tar_core::builder::EntryBuilder;

use super::{Kind, Node, Root, RootPath, Tree, UnpackError, Unpacker, walk};

/// `outside/` and `root/` in a temporary directory.
pub(super) struct Fixture {
    pub(super) root: Root,
    directory: tempfile::TempDir,
}

pub(super) fn path(text: &str) -> RootPath {
    RootPath::clean(text).expect("no NUL")
}

impl Fixture {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("outside")).expect("mkdir");
        fs::create_dir(directory.path().join("root")).expect("mkdir");
        fs::write(directory.path().join("outside/canary"), "alive").expect("write");
        let root = Root::open(&directory.path().join("root")).expect("the root");
        Fixture { root, directory }
    }

    pub(super) fn outside(&self) -> PathBuf {
        self.directory.path().join("outside")
    }

    pub(super) fn on_disk(&self, text: &str) -> PathBuf {
        path(text).below(self.root.path())
    }

    /// Nothing outside the root was made, changed or linked to.
    pub(super) fn assert_outside_untouched(&self) {
        let names: Vec<_> =
            fs::read_dir(self.outside()).expect("readdir").map(|e| e.expect("entry").file_name()).collect();
        assert_eq!(names, ["canary"]);
        assert_eq!(fs::read(self.outside().join("canary")).expect("the canary"), b"alive");
        let canary = fs::metadata(self.outside().join("canary")).expect("the canary");
        assert_eq!((canary.mode() & 0o7777, canary.nlink()), (0o644, 1));
        let mut above: Vec<_> =
            fs::read_dir(self.directory.path()).expect("readdir").map(|e| e.expect("entry").file_name()).collect();
        above.sort();
        assert_eq!(above, ["outside", "root"]);
    }

    /// Unpacks layers into the empty root, and checks the record.
    pub(super) fn unpack(&self, layers: &[Layer]) -> Result<Tree, UnpackError> {
        let mut unpacker = Unpacker::new(&self.root)?;
        for layer in layers {
            unpacker.layer(&layer.bytes()[..])?;
        }
        let tree = unpacker.finish()?;
        assert_agrees(&self.root, &tree);
        self.assert_outside_untouched();
        Ok(tree)
    }
}

/// The record has each path of the disk as the disk has it, and no other.
pub(super) fn assert_agrees(root: &Root, tree: &Tree) {
    let mut seen = 0;
    walk(root, &RootPath::root(), |path, node| {
        let recorded = tree.get(path).unwrap_or_else(|| panic!("{path} is not recorded"));
        assert_eq!(recorded, &expected(root, path, node, recorded), "{path}");
        seen += 1;
        Ok::<(), std::io::Error>(())
    })
    .expect("a walk");
    assert_eq!(seen, tree.len(), "the record has paths that the disk has not");
}

fn expected(root: &Root, path: &RootPath, mut node: Node, recorded: &Node) -> Node {
    node.foreign = recorded.foreign;
    if let (false, Kind::File { digest, .. }) = (recorded.foreign, &mut node.entry_mut().kind) {
        *digest = Some(root.digest(path).expect("a digest"));
    }
    node
}

/// A layer: entries in the order of the calls.
#[derive(Clone, Default)]
pub(super) struct Layer(Vec<u8>);

impl Layer {
    pub(super) fn new() -> Self {
        Layer::default()
    }

    pub(super) fn dir(self, name: &str) -> Self {
        self.add(name, EntryType::Directory, b"", |entry| entry.mode(0o755).expect("mode"))
    }

    pub(super) fn file(self, name: &str, content: &str) -> Self {
        self.add(name, EntryType::Regular, content.as_bytes(), |e| e)
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.add(name, EntryType::Symlink, b"", |entry| entry.link_name(target))
    }

    pub(super) fn link(self, name: &str, target: &str) -> Self {
        self.add(name, EntryType::Link, b"", |entry| entry.link_name(target))
    }

    /// Any entry: mode 0644, time 1000, owner 0, unless `set` says otherwise.
    pub(super) fn add(
        mut self,
        name: impl AsRef<[u8]>,
        kind: EntryType,
        content: &[u8],
        set: impl FnOnce(&mut EntryBuilder) -> &mut EntryBuilder,
    ) -> Self {
        let mut entry = EntryBuilder::new_ustar();
        entry.path(name.as_ref()).entry_type(kind);
        entry.mode(0o644).and_then(|e| e.mtime(1000)).and_then(|e| e.size(content.len() as u64)).expect("fields");
        set(&mut entry);
        self.0.extend(entry.finish_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The tar stream.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.0[..], &[0; 1024]].concat()
    }
}

/// A reader that hands out so many bytes at a time.
pub(super) struct Trickle<'a>(pub(super) &'a [u8], pub(super) usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.1.min(buffer.len()).min(self.0.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}
