//! What directory watches cost: `watches DIR` makes 20,000 directories in DIR, watches them, and tells the processor time and
//! the kernel's memory for each, then the time of a step that writes one file. DIR is left as it was.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use silt_watcher::{DirWatch, Directories, Inode, Options, Recording};

const DIRECTORIES: usize = 20_000;
const STEPS: u32 = 100;

/// The record of the directories: few are asked for.
struct Record(Vec<(String, Inode)>);

impl Directories for Record {
    fn path_of(&self, inode: Inode) -> Option<Vec<u8>> {
        self.0.iter().find(|(_, other)| *other == inode).map(|(path, _)| path.clone().into_bytes())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: watches DIR")?;
    let top = tempfile::TempDir::new_in(PathBuf::from(directory))?;
    let (root, scratch) = (top.path().join("root"), top.path().join("scratch"));
    std::fs::create_dir(&scratch)?;
    let record = Record(make(&root)?);
    let before = unreclaimable()?;
    let begun = processor_time()?;
    let mut recorder =
        DirWatch::open(&root, &scratch, &Options { watches: Some(DIRECTORIES + 2), ..Options::default() })?;
    recorder.watch(record.0.iter().map(|(path, inode)| (path, *inode)))?;
    let placed = processor_time()? - begun;
    let after = unreclaimable()?;
    let (step, take) = steps(&mut recorder, &root, &record)?;
    let begun = processor_time()?;
    drop(recorder);
    let closed = processor_time()? - begun;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / DIRECTORIES as f64;
    let bytes = after.saturating_sub(before) as f64 * 1024.0 / DIRECTORIES as f64;
    writeln!(
        std::io::stdout(),
        "{DIRECTORIES} directories: {:.1} µs a watch to place, {:.1} to close, {bytes:.0} B of SUnreclaim; \
         a step of one file {step:.0} µs, of it take {take:.0}",
        each(placed),
        each(closed),
    )?;
    Ok(())
}

/// Makes the directories, twenty to a parent, and gives the record of them.
fn make(root: &Path) -> Result<Vec<(String, Inode)>, Box<dyn Error>> {
    let inode = |path: &str| Inode::of(std::fs::File::open(root.join(path))?);
    std::fs::create_dir(root)?;
    let mut record = vec![(String::new(), inode("")?)];
    for number in 0..DIRECTORIES {
        let parent = number / 20;
        let path = if number % 20 == 0 { parent.to_string() } else { format!("{parent}/{number}") };
        std::fs::create_dir(root.join(&path))?;
        record.push((path.clone(), inode(&path)?));
    }
    Ok(record)
}

/// The microseconds of a step that writes one file, and of its `take`.
fn steps(recorder: &mut DirWatch, root: &Path, record: &Record) -> Result<(f64, f64), Box<dyn Error>> {
    let (mut whole, mut take) = (Duration::ZERO, Duration::ZERO);
    for number in 0..STEPS {
        let begun = Instant::now();
        recorder.start()?;
        std::fs::write(root.join(format!("0/file {number}")), "x")?;
        let taken = Instant::now();
        let Recording::Partial(nominated) = recorder.take(record) else { return Err("lost".into()) };
        take += taken.elapsed();
        whole += begun.elapsed();
        if nominated.paths.len() != 2 {
            return Err(format!("nominated {:?}", nominated.paths).into());
        }
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(STEPS);
    Ok((each(whole), each(take)))
}

/// The time that this thread was on a processor: other work on the machine does not count.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    let times = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = times.split(' ').next().ok_or("no schedstat")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// The kernel's memory that it cannot give up, in KiB.
fn unreclaimable() -> Result<u64, Box<dyn Error>> {
    let table = std::fs::read_to_string("/proc/meminfo")?;
    let line = table.lines().find_map(|line| line.strip_prefix("SUnreclaim:")).ok_or("no SUnreclaim")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
