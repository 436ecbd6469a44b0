//! What COPY and unpacking of many files cost in system calls: counted from outside, as the difference between two sizes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::bases;

const FEW: usize = 1_000;
const MANY: usize = 3_000;

/// The system calls of a build that copies a context of so many files, a hundred in a directory, by name.
fn calls(dir: &Path, files: usize) -> BTreeMap<String, u64> {
    let (context, root, log) = (dir.join("context"), dir.join("root"), dir.join("calls"));
    for number in 0..files {
        let folder = context.join(format!("tree/d{}", number / 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("f{number}")), format!("{number}\n").repeat(100)).unwrap();
    }
    fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY tree /tree\n").unwrap();
    fs::create_dir(&root).unwrap();
    traced(&log, &[format!("--context={}", context.display()), format!("--build-root={}", root.display())])
}

/// The same of one over a base of so many files.
fn calls_over(dir: &Path, files: usize) -> BTreeMap<String, u64> {
    fs::create_dir(dir.join("context")).unwrap();
    fs::create_dir(dir.join("root")).unwrap();
    fs::write(dir.join("context/Dockerfile"), "FROM base\nWORKDIR /made\n").unwrap();
    let base = format!("--build-context=base=oci-layout://{}:latest", bases::files(files).display());
    let place = [format!("--context={}/context", dir.display()), format!("--build-root={}/root", dir.display())];
    traced(&dir.join("calls"), &[place.to_vec(), vec![base]].concat())
}

fn traced(log: &Path, arguments: &[String]) -> BTreeMap<String, u64> {
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-o"]).arg(log).arg(env!("CARGO_BIN_EXE_executor")).arg("--no-push").args(arguments);
    let output = command.stdin(Stdio::null()).output().expect("strace");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(log).unwrap().lines().filter_map(row).collect()
}

/// What threads wait with; and a build with debug assertions looks at each descriptor that it closes.
const NOT_COUNTED: [&str; 4] = ["futex", "epoll_wait", "sched_yield", "fcntl"];

/// A row of `strace -c`: time, seconds, microseconds a call, calls, perhaps errors, the name.
fn row(line: &str) -> Option<(String, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let name = words.last().filter(|name| **name != "total")?;
    Some(((*name).to_owned(), words.get(3)?.parse().ok()?))
}

#[test]
fn a_file_is_copied_and_put_into_a_layer_with_few_calls() {
    let (few, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (few, many) = (calls(few.path(), FEW), calls(many.path(), MANY));
    let each = |name: &str| {
        let of = |calls: &BTreeMap<String, u64>| calls.get(name).copied().unwrap_or_default() as f64;
        (of(&many) - of(&few)) / (MANY - FEW) as f64
    };
    let check = |name: &str, least: f64, most: f64| {
        assert!((least..=most).contains(&each(name)), "{name}: {} a file", each(name));
    };
    // Each byte is read where it comes from and where the layer takes it from, and written once.
    check("read", 1.9, 2.1);
    check("write", 0.9, 1.2);
    // The source, the copy, and the copy again for the layer.
    check("openat", 2.9, 3.1);
    check("unlinkat", 0.0, 0.05);
    let total: f64 = many.keys().filter(|name| !NOT_COUNTED.contains(&name.as_str())).map(|name| each(name)).sum();
    assert!((10.0..=20.5).contains(&total), "{total} calls a file: {many:?}");
}

#[test]
fn a_file_is_unpacked_with_five_calls() {
    let (few, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (few, many) = (calls_over(few.path(), FEW), calls_over(many.path(), MANY));
    let each = |name: &str| {
        let of = |calls: &BTreeMap<String, u64>| calls.get(name).copied().unwrap_or_default() as f64;
        (of(&many) - of(&few)) / (MANY - FEW) as f64
    };
    let total: f64 = many.keys().filter(|name| !NOT_COUNTED.contains(&name.as_str())).map(|name| each(name)).sum();
    // To open, to write, to set the time, to look, to close; and a little for each directory and each block that is read.
    assert!((4.9..=5.5).contains(&total), "{total} calls a file: {many:?}");
}
