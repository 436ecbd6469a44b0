//! Instructions executed on small trees on the disk: what they leave, and whether they told of all that they touched.

mod add;
mod attack;
mod copy;
mod flags;
mod history;
mod metadata;
mod rules;
mod state;
mod workdir;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{AtFlags, CWD, FileType, Timespec, Timestamps, mknodat, utimensat};
use tempfile::TempDir;

use super::run::{Control, Isolation, Program};
use super::{CheckOut, Error, Fetch, Fetched, Repository, Rights, Sources, StageState, Touched, Tree, Vault, execute};
use crate::context::Context;
use crate::dockerfile::{self, Escape, Instruction};
use crate::oci::ConfigFile;
use crate::plan::Args;
use crate::rootfs::{self, Node, Root, RootPath};

/// The time of every file that [`build`] makes, in seconds.
const THEN: i64 = 1_000_000_000;

/// A stage with an empty root, a build context and a finished stage, each a directory.
struct Fixture {
    dir: TempDir,
    state: StageState,
}

/// A directory that stands for the network: `http://shelf/NAME` is its file NAME.
struct Shelf(PathBuf);

impl Fetch for Shelf {
    fn fetch(&self, address: &str, checksum: Option<&str>) -> anyhow::Result<Fetched> {
        let name = address.strip_prefix("http://shelf/").expect("an address of the shelf").to_owned();
        anyhow::ensure!(checksum.is_none_or(|sum| sum == "sha256:right"), "{address}: another checksum");
        let file = fs::File::open(self.0.join(&name))?;
        Ok(Fetched { file, name, modified: rootfs::Timestamp { sec: THEN, nsec: 0 } })
    }

    fn check_out(&self, ask: &CheckOut<'_>) -> anyhow::Result<Repository> {
        let name = ask.address.strip_prefix("git://shelf/").context("a git repository of the shelf")?;
        anyhow::ensure!(ask.checksum.is_none_or(|sum| sum == "abcdef0"), "{name}: another commit");
        let (name, top) = name.split_once("#:").unwrap_or((name, ""));
        let name = if ask.keep_git_dir == Some(true) { format!("{name}-kept") } else { name.to_owned() };
        let top = RootPath::clean(top).expect("a path");
        Ok(Repository { root: Root::open(&self.0.join(&name))?, top, commit: name, place: std::rc::Rc::new(()) })
    }
}

/// Which tree an instruction copies from.
#[derive(Clone, Copy)]
enum From {
    Context,
    Stage,
}

impl Fixture {
    fn new() -> Self {
        let dir = TempDir::new().expect("temporary directory");
        for name in ["context", "stage", "root"] {
            fs::create_dir(dir.path().join(name)).expect("mkdir");
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        fs::write(dir.path().join("Dockerfile"), "FROM scratch").expect("write");
        let state = StageState::new(ConfigFile::default(), Args::default(), Escape::Backslash);
        Fixture { dir, state }
    }

    fn path(&self, tree: &str) -> PathBuf {
        self.dir.path().join(tree)
    }

    fn context(self, lines: &[&str]) -> Self {
        build(&self.path("context"), lines);
        self
    }

    fn stage(self, lines: &[&str]) -> Self {
        build(&self.path("stage"), lines);
        self
    }

    fn root(self, lines: &[&str]) -> Self {
        build(&self.path("root"), lines);
        self
    }

    fn users(self) -> Self {
        self.root(&["d etc", "f etc/passwd app:x:1000:1001::/home/app:/bin/sh\\n", "f etc/group staff:x:50:app\\n"])
    }

    /// Executes instructions one after the other, and checks after each that it told of what it changed.
    fn run(&mut self, text: &str) -> Touched {
        self.try_run(text, From::Context).unwrap_or_else(|e| panic!("{text}: {e:#}"))
    }

    fn run_from_stage(&mut self, text: &str) -> Touched {
        self.try_run(text, From::Stage).unwrap_or_else(|e| panic!("{text}: {e:#}"))
    }

    /// The message of the error that the instruction must end with.
    fn refused(&mut self, text: &str) -> String {
        match self.try_run(text, From::Context) {
            Ok(touched) => panic!("{text}: {touched:?}"),
            Err(Error::Other(error)) => format!("{error:#}"),
            Err(error) => error.to_string(),
        }
    }

    fn try_run(&mut self, text: &str, from: From) -> Result<Touched, Error> {
        let root = Root::open(&self.path("root")).expect("root");
        let context = Context::open_dir(&self.path("context"), Some(&self.path("Dockerfile"))).expect("context");
        let files = Root::open(&self.path("context")).expect("context");
        let stage = Root::open(&self.path("stage")).expect("stage");
        let tree = match from {
            From::Context => Tree::Context { root: &files, context: &context },
            From::Stage => Tree::Files(&stage),
        };
        let control = Control::new(Program::own().expect("own program"));
        let context_tree = Tree::Context { root: &files, context: &context };
        let sources = Sources {
            tree,
            control: &control,
            isolation: Isolation::Chroot,
            context: context_tree,
            mounts: &[],
            vault: &Vault::default(),
            fetch: &Shelf(self.path("shelf")),
            own: &self.path("own"),
            caches: &crate::steps::Caches::below(&self.path("caches")),
            rights: Rights::Sandboxed,
        };
        let mut touched = Ok(Touched::Nothing);
        for instruction in instructions(text) {
            let before = rootfs::scan(&root).expect("scan");
            touched = execute(&instruction, &mut self.state, &root, &sources);
            let after = rootfs::scan(&root).expect("scan");
            if let Ok(touched) = &touched {
                assert_told(touched, &before, &after, text);
            }
        }
        touched
    }

    fn tree(&self) -> Vec<String> {
        let mut lines = Vec::new();
        describe(&self.path("root"), Path::new(""), &mut lines);
        lines
    }

    fn check(&self, expected: &[&str]) {
        assert_eq!(self.tree(), expected);
    }
}

/// The instructions of a Dockerfile without FROM.
fn instructions(text: &str) -> Vec<Instruction> {
    let file =
        dockerfile::parse(format!("FROM scratch\n{text}\n").as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
    file.instructions.into_iter().skip(1).map(|located| located.instruction).collect()
}

/// Every path that differs is among those told, or below one.
fn assert_told(touched: &Touched, before: &rootfs::Tree, after: &rootfs::Tree, text: &str) {
    let empty = BTreeSet::new();
    let told = match touched {
        Touched::Nothing | Touched::Directory(_) => &empty,
        Touched::Paths(paths) => paths,
        Touched::Unknown => return,
    };
    assert!(!matches!(touched, Touched::Paths(paths) if paths.is_empty()), "{text}: an empty set");
    let all: BTreeSet<&RootPath> = before.iter().chain(after.iter()).map(|(path, _)| path).collect();
    for path in all {
        let same = shape(before.get(path)) == shape(after.get(path));
        assert!(same || told.iter().any(|told| path.is_at_or_below(told)), "{text}: {path} is not told");
    }
}

/// What counts as a change: all but the times of directories, and the link counts.
fn shape(node: Option<&Node>) -> Option<Node> {
    let mut node = node?.clone();
    (node.ctime, node.nlink) = Default::default();
    if node.entry.is_directory() {
        node.entry_mut().mtime = Default::default();
    }
    Some(node)
}

/// Makes what the lines say: `KIND PATH [ARGUMENT] [:MODE] [@UID:GID]`, KIND being `d`, `f` (content; `\n` is a newline),
/// `l` (target), `h` (another name of a file) or `p`.
fn build(top: &Path, lines: &[&str]) {
    for line in lines {
        let mut words: Vec<&str> = line.split(' ').collect();
        let owner = words.pop_if(|word| word.starts_with('@'));
        let mode = words.pop_if(|word| word.len() > 3 && word.starts_with(':'));
        let path = top.join(words[1]);
        make(top, words[0], &path, &words[2..].join(" "), line);
        if let Some((uid, gid)) = owner.and_then(|owner| owner[1..].split_once(':')) {
            lchown(&path, uid.parse().ok(), gid.parse().ok()).expect(line);
        }
        if !matches!(words[0], "l" | "h") {
            let default = if words[0] == "d" { "755" } else { "644" };
            let mode = u32::from_str_radix(mode.map_or(default, |mode| &mode[1..]), 8).expect(line);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect(line);
        }
    }
    for line in lines.iter().filter(|line| !line.starts_with('l')) {
        age(&top.join(line.split(' ').nth(1).unwrap_or_default()), line);
    }
}

fn make(top: &Path, kind: &str, path: &Path, argument: &str, line: &str) {
    match kind {
        "d" => fs::create_dir(path).expect(line),
        "f" => fs::write(path, argument.replace("\\n", "\n")).expect(line),
        "l" => symlink(argument, path).expect(line),
        "h" => fs::hard_link(top.join(argument), path).expect(line),
        "p" => mknodat(CWD, path, FileType::Fifo, 0o644.into(), 0).expect(line),
        other => panic!("{other}: {line}"),
    }
}

fn age(path: &Path, line: &str) {
    let then = Timespec { tv_sec: THEN, tv_nsec: 0 };
    let times = Timestamps { last_access: then, last_modification: then };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect(line);
}

/// A line for each path: `MODE UID:GID PATH` and a slash for directories, the content of files, the target of links.
/// What has the time of the source is marked with `=`.
fn describe(top: &Path, below: &Path, lines: &mut Vec<String>) {
    let mut names: Vec<_> =
        fs::read_dir(top.join(below)).expect("list").map(|e| e.expect("entry").file_name()).collect();
    names.sort();
    for name in names {
        let relative = below.join(name);
        let path = top.join(&relative);
        let meta = fs::symlink_metadata(&path).expect("stat");
        let what = match meta.file_type() {
            kind if kind.is_dir() => "/".to_owned(),
            kind if kind.is_symlink() => format!(" -> {}", fs::read_link(&path).expect("readlink").display()),
            kind if kind.is_file() => format!(" {}", fs::read_to_string(&path).expect("read")),
            kind if kind.is_fifo() => " fifo".to_owned(),
            kind => panic!("{kind:?}"),
        };
        let old = if meta.mtime() == THEN { "=" } else { "" };
        let mode = if meta.file_type().is_symlink() { 0 } else { meta.mode() & 0o7777 };
        lines.push(format!("{mode:o} {}:{} {}{what}{old}", meta.uid(), meta.gid(), relative.display()));
        if meta.is_dir() {
            describe(top, &relative, lines);
        }
    }
}
