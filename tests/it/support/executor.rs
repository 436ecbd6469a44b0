//! Runs the built executor on a context made for one test, and checks after each run that nothing of it is left over.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::image;
use super::tree::{Times, assert_same, list};
use super::{Machine, machine, scratch};

/// The program under test.
pub const EXECUTOR: &str = env!("CARGO_BIN_EXE_executor");

/// No build of the tests takes longer than this; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// A build about to be made.
pub struct Build {
    dir: tempfile::TempDir,
    machine: File,
    prefix: Vec<OsString>,
    args: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    without_layout: bool,
    times: Times,
}

impl Build {
    /// A build of this Dockerfile in an empty context, below a build root of its own.
    pub fn new(dockerfile: &str) -> Build {
        Build::on(Machine::Shared, dockerfile)
    }

    /// The same, with a say in who else uses the machine.
    pub fn on(wanted: Machine, dockerfile: &str) -> Build {
        let machine = machine(wanted);
        let dir = scratch();
        fs::create_dir(dir.path().join("context")).unwrap();
        let (prefix, args, variables) = (Vec::new(), Vec::new(), Vec::new());
        let build = Build { dir, machine, prefix, args, variables, times: Times::Exact, without_layout: false };
        let place = |option: &str, name: &str| format!("--{option}={}", build.dir.path().join(name).display());
        let args =
            [place("context", "context"), place("build-root", "build"), place("dockerfile", "context/Dockerfile")];
        build.file("Dockerfile", dockerfile).args(args)
    }

    /// Puts a file into the context.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Build {
        let path = self.dir.path().join("context").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Makes an OCI layout's tag `latest` known as a named context, so that `FROM name` takes it.
    pub fn base(self, name: &str, layout: &Path) -> Build {
        self.arg(format!("--build-context={name}=oci-layout://{}:latest", layout.display()))
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Build {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Build {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Build {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Expects an image whose times are no later than this, in seconds since the epoch, whatever the files have.
    pub fn at_most(mut self, seconds: i64) -> Build {
        self.times = Times::AtMost(seconds);
        self
    }

    /// Starts the executor through another program, such as `setpriv`, given with its arguments; the first of several starts the
    /// others.
    pub fn through(mut self, program: &[&str]) -> Build {
        self.prefix.extend(program.iter().map(OsString::from));
        self
    }

    /// Has the largest resident set of the run measured.
    pub fn measured(self) -> Build {
        let report = self.dir.path().join("peak").display().to_string();
        self.through(&["/usr/bin/time", "-f", "%M", "-o", &report])
    }

    /// Writes no layout, for which layers are fetched that are nowhere here.
    pub fn without_layout(mut self) -> Build {
        self.without_layout = true;
        self
    }

    /// The directory that holds `context`, `build` and what the run writes.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the image is written as an OCI layout; an argument of the test's own says so before it.
    fn layout(&self) -> Option<PathBuf> {
        let given = |arg: &OsString| Some(PathBuf::from(arg.to_str()?.strip_prefix("--oci-layout-path=")?));
        self.args.iter().find_map(given)
    }

    /// Starts it. Whatever else becomes of the image, an OCI layout is written for [`Built::succeeded`] to read.
    pub fn start(mut self) -> Running {
        let layout = self.layout().unwrap_or_else(|| {
            let layout = self.dir.path().join("image");
            if !self.without_layout {
                self.args.push(format!("--oci-layout-path={}", layout.display()).into());
            }
            layout
        });
        let files = self.last_stage_has_files().then_some(self.times);
        let program = self.prefix.first().map_or(OsStr::new(EXECUTOR), OsString::as_os_str);
        let mut command = Command::new(program);
        if !self.prefix.is_empty() {
            command.args(&self.prefix[1..]).arg(EXECUTOR);
        }
        let output = |name: &str| File::create(self.dir.path().join(name)).unwrap();
        command.args(&self.args).env("BENCHMARK_FILE", self.dir.path().join("benchmark.json"));
        command.envs(self.variables);
        command.stdin(Stdio::null()).stdout(output("stdout")).stderr(output("stderr"));
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running { child, dir: self.dir, layout, files, _machine: self.machine }
    }

    /// Whether the stage that is built last has a step that needs files. Without one the build root holds another tree.
    fn last_stage_has_files(&self) -> bool {
        let target = self.args.iter().find_map(|arg| arg.to_str()?.strip_prefix("--target="));
        let dockerfile = fs::read_to_string(self.dir.path().join("context/Dockerfile")).unwrap_or_default();
        has_files(&dockerfile, target)
    }

    /// Runs it to its end.
    pub fn run(self) -> Built {
        self.start().finish()
    }

    /// Runs it without pushing and expects success.
    pub fn succeed(self) -> Built {
        self.run().succeeded()
    }

    /// Runs it and expects a failure of the kind that [`Built::failed`] describes.
    pub fn fail(self, code: i32, said: &[&str]) -> Built {
        self.run().failed(code, said)
    }
}

/// A build under way.
pub struct Running {
    child: Child,
    dir: tempfile::TempDir,
    layout: PathBuf,
    files: Option<Times>,
    _machine: File,
}

impl Running {
    /// The executor's process id (that of the program it is started through, where there is one).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The tree that the build works on.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("build/rootfs")
    }

    /// Waits until a path exists in the tree.
    pub fn wait_for(&mut self, path: &str) {
        let limit = Instant::now() + PATIENCE;
        while fs::symlink_metadata(self.root().join(path)).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended before {path:?} was there: {ended:?}\n{}", text(self.dir.path(), "stderr"));
            assert!(Instant::now() < limit, "no {path:?} after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of one that was killed, and of all that it started.
    pub fn killed(mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        let limit = Instant::now() + PATIENCE;
        while !processes_below(self.dir.path()).is_empty() {
            assert!(Instant::now() < limit, "left running: {:?}", processes_below(self.dir.path()));
            std::thread::sleep(Duration::from_millis(5));
        }
        status
    }

    /// Waits for its end and checks that nothing is left mounted or running below its directory.
    pub fn finish(mut self) -> Built {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > PATIENCE {
                self.child.kill().ok();
                self.child.wait().ok();
                panic!("still running after {PATIENCE:?}\n{}", text(self.dir.path(), "stderr"));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(mounts_below(self.dir.path()), Vec::<String>::new(), "left mounted");
        assert_eq!(processes_below(self.dir.path()), Vec::<String>::new(), "left running");
        let Running { dir, layout, files, _machine, .. } = self;
        Built { status, took: started.elapsed(), dir, layout, files, _machine }
    }
}

/// A build that ended, its files still there.
pub struct Built {
    /// How it ended.
    pub status: ExitStatus,
    /// From the call of `finish` to the end.
    pub took: Duration,
    dir: tempfile::TempDir,
    layout: PathBuf,
    files: Option<Times>,
    _machine: File,
}

impl Built {
    /// The tree that the last stage left.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("build/rootfs")
    }

    /// The directory that holds what the run wrote.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the image is, as an OCI layout.
    pub fn layout(&self) -> PathBuf {
        self.layout.clone()
    }

    /// What it said.
    pub fn stderr(&self) -> String {
        text(self.dir.path(), "stderr")
    }

    /// What it printed.
    pub fn stdout(&self) -> String {
        text(self.dir.path(), "stdout")
    }

    /// Expects success, and an image that others can read: every layer of ours is well formed, skopeo copies it, and umoci
    /// unpacks it to the tree that the last stage left.
    pub fn succeeded(self) -> Built {
        assert!(self.status.success(), "{}\n{}", self.status, self.stderr());
        image::check_layers(&self.layout);
        let unpacked = image::unpack(&format!("oci:{}", self.layout.display()));
        if let Some(times) = self.files {
            let (read, left) = (list(&unpacked.tree(), times), list(&self.root(), times));
            assert_same(&read, &left, "the image as umoci unpacks it, the build root");
        }
        self
    }

    /// Expects this exit code and, as the last line of what it said, an error that contains all of `said`.
    pub fn failed(self, code: i32, said: &[&str]) -> Built {
        assert_eq!((self.status.code(), self.status.signal()), (Some(code), None), "{}", self.stderr());
        let stderr = self.stderr();
        let last = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        assert!(last.starts_with("error: "), "the last line is no error:\n{stderr}");
        for part in said {
            assert!(last.contains(part), "{part:?} is not in the last line of\n{stderr}");
        }
        assert!(!stderr.contains("panicked at"), "{stderr}");
        self
    }

    /// The timings that it wrote.
    pub fn timings(&self) -> Value {
        let text = text(self.dir.path(), "benchmark.json");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("BENCHMARK_FILE: {error}: {text:?}"))
    }

    /// The timings of the steps with this instruction, in order.
    pub fn steps(&self, instruction: &str) -> Vec<Value> {
        let timings = self.timings();
        let steps = timings["steps"].as_array().expect("steps").iter();
        let wanted = |step: &&Value| step["instruction"].as_str().is_some_and(|text| text.starts_with(instruction));
        steps.filter(wanted).cloned().collect()
    }

    /// The largest resident set in bytes, of a run that was `measured`.
    pub fn peak(&self) -> u64 {
        let report = text(self.dir.path(), "peak");
        report.lines().last().unwrap().trim().parse::<u64>().unwrap() * 1024
    }
}

/// Whether the stage of a Dockerfile that `target` names, or the last, has an instruction that works on files.
fn has_files(dockerfile: &str, target: Option<&str>) -> bool {
    let word = |line: &str, number: usize| line.split_whitespace().nth(number).unwrap_or_default().to_lowercase();
    let lines: Vec<&str> = dockerfile.lines().collect();
    let is_from = |line: &str| word(line, 0) == "from";
    let starts: Vec<usize> = (0..lines.len()).filter(|at| is_from(lines[*at])).collect();
    let named = |at: &&usize| target.is_some_and(|target| word(lines[**at], 3) == target.to_lowercase());
    let by_number = target.and_then(|target| starts.get(target.parse::<usize>().ok()?));
    let start = starts.iter().find(named).or(by_number).or(starts.last()).map_or(0, |at| at + 1);
    let stage = lines[start..].iter().take_while(|line| !is_from(line));
    stage.into_iter().any(|line| ["run", "copy", "add", "workdir"].contains(&word(line, 0).as_str()))
}

#[test]
fn a_tree_that_is_not_that_of_the_image_is_seen() {
    let built = Build::new("FROM base\nRUN echo 1 > /one\n").base("base", &super::bases::busybox()).arg("--no-push");
    let built = built.run();
    fs::write(built.root().join("two"), "").unwrap();
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(built.succeeded())));
    let said = *seen.expect_err("it was not seen").downcast::<String>().unwrap();
    assert!(said.contains("+ \"two\" file 0"), "{said}");
}

#[test]
fn the_last_stage_is_found() {
    let dockerfile = "FROM a AS one\nRUN x\nFROM b as Two\nCMD x\n";
    assert!(has_files(dockerfile, Some("one")) && has_files(dockerfile, Some("0")));
    assert!(!has_files(dockerfile, None) && !has_files(dockerfile, Some("two")) && !has_files(dockerfile, Some("1")));
}

fn text(dir: &Path, name: &str) -> String {
    String::from_utf8_lossy(&fs::read(dir.join(name)).unwrap_or_default()).into_owned()
}

/// The time of a step's snapshot: recording, comparing, writing the layer.
pub fn snapshot_ns(step: &Value) -> u64 {
    ["record_ns", "diff_ns", "layer_ns"]
        .iter()
        .map(|key| step[key].as_u64().unwrap_or_else(|| panic!("{key}: {step}")))
        .sum()
}

fn mounts_below(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let below = |line: &&str| line.split(' ').nth(4).is_some_and(|place| Path::new(place).starts_with(dir));
    table.lines().filter(below).map(str::to_owned).collect()
}

/// Processes whose root, directory or program lies below a directory.
fn processes_below(dir: &Path) -> Vec<String> {
    let below = |process: &Path| {
        let links = ["root", "cwd", "exe"].iter().filter_map(|name| fs::read_link(process.join(name)).ok());
        links.into_iter().any(|target| target.starts_with(dir))
    };
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let left = processes.filter(|process| process.join("stat").exists() && below(process));
    left.map(|process| format!("{}: {}", process.display(), text(&process, "cmdline").replace('\0', " "))).collect()
}

#[test]
fn a_process_left_below_the_directory_is_seen() {
    let dir = scratch();
    let mut child = Command::new("sleep").arg("60").current_dir(dir.path()).spawn().unwrap();
    assert_eq!(processes_below(dir.path()).len(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(processes_below(dir.path()), Vec::<String>::new());
}

#[test]
fn a_mount_left_below_the_directory_is_seen() {
    let dir = scratch();
    super::run(Command::new("mount").args(["-t", "tmpfs", "left"]).arg(dir.path()));
    let seen = mounts_below(dir.path());
    super::run(Command::new("umount").arg(dir.path()));
    assert_eq!(seen.len(), 1);
}
