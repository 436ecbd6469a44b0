//! A busybox root in a directory of its own, and steps that run in it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use silt::steps::run::{Control, Error, Isolation, Outcome, Program, RunSpec, Surroundings, run, shell_form};

/// The isolations of a root that is not `/`.
pub const ELSEWHERE: [Isolation; 2] = [Isolation::Isolated, Isolation::Chroot];

/// A root with busybox under all its names, removed at the end.
pub struct Scene {
    pub dir: tempfile::TempDir,
    pub control: Control,
    pub isolation: Isolation,
}

/// The control of steps that the real executor supervises.
pub fn control() -> Control {
    Control::new(Program::open(Path::new(env!("CARGO_BIN_EXE_executor"))).unwrap())
}

/// Fills `root` with busybox.
pub fn install_busybox(root: &Path) {
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("tmp")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let list = Command::new("/bin/busybox").arg("--list").output().unwrap().stdout;
    for name in String::from_utf8(list).unwrap().lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
}

impl Scene {
    pub fn new(isolation: Isolation) -> Self {
        let dir = tempfile::tempdir().unwrap();
        install_busybox(dir.path());
        Scene { dir, control: control(), isolation }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// A step of `argv` as root in `/`.
    pub fn step<S: Into<OsString>>(&self, argv: impl IntoIterator<Item = S>) -> RunSpec {
        RunSpec {
            root: self.root().to_owned(),
            argv: argv.into_iter().map(Into::into).collect(),
            env: vec!["PATH=/bin".into()],
            cwd: "/".into(),
            uid: 0,
            gid: 0,
            groups: vec![],
            isolation: self.isolation,
            surroundings: Surroundings::default(),
        }
    }

    /// A step of `script` for the shell.
    pub fn script(&self, script: &str) -> RunSpec {
        self.step(shell_form(&["/bin/sh", "-c"], script))
    }

    pub fn run(&self, spec: &RunSpec) -> Result<Outcome, Error> {
        run(spec, &self.control)
    }

    /// Runs `script`, which must succeed, and gives what it printed.
    pub fn output(&self, script: &str) -> String {
        let outcome = self.run(&self.script(&format!("{{ {script}\n}} > /tmp/output")));
        assert_eq!(outcome, Ok(Outcome::Exited(0)), "{:?}: {script}", self.isolation);
        self.read("tmp/output")
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    /// Compiles a C program of this folder into the root's /bin.
    pub fn compile(&self, name: &str) {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/run").join(format!("{name}.c"));
        let target = self.root().join("bin").join(name);
        let status = Command::new("cc").args(["-static", "-O1", "-o"]).arg(target).arg(source).status().unwrap();
        assert!(status.success());
    }
}
