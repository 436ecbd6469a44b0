//! What each step cost, as data: the document that `BENCHMARK_FILE` names.
//!
//! It is shared with the thread that handles signals, so that a build that is stopped or fails leaves its figures too.
//! All times are nanoseconds of wall clock unless the name says `cpu`; sizes are bytes.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::crew;
use crate::layer::Promise;

/// The figures of one step.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StepTiming {
    /// Index of the stage in the Dockerfile, from 0.
    pub stage: usize,
    /// First line of the instruction.
    pub line: u32,
    /// The instruction's text.
    pub instruction: String,
    /// Whether the cache had its result: then it was not carried out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// Running the instruction.
    pub execute_ns: u64,
    /// Starting the recording, and the barrier and resolution at its end.
    pub record_ns: u64,
    /// Of that, waiting for the clock before a step that a sweep follows.
    pub wait_ns: u64,
    /// Comparing the candidates with the baseline.
    pub diff_ns: u64,
    /// Writing the layer's tar; compressing it only as far as the step waited for that.
    pub layer_ns: u64,
    /// Processor time of recording, comparing and writing, over all threads.
    pub snapshot_cpu_ns: u64,
    /// What nominated the candidates of a RUN: `fanotify`, `private-mount`, `dirwatch`, `sweep` or `full`. Other
    /// instructions know what they wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorder: Option<&'static str>,
    /// Why a better recorder was not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorder_why: Option<String>,
    /// Events read from the kernel.
    pub events: u64,
    /// Paths and inodes nominated.
    pub candidates: u64,
    /// Paths that the snapshot stat-ed.
    pub stats: u64,
    /// Paths in the change set.
    pub changes: u64,
    /// Bytes read to compare contents, and bytes of the tar.
    pub bytes_in: u64,
    /// Bytes of the compressed layer.
    pub bytes_out: u64,
    /// Bytes of the tar that waited on disk to be compressed.
    pub spilled_bytes: u64,
    /// The compressed layer, which may be made later.
    #[serde(skip)]
    pub blob: Option<Promise>,
}

/// The figures of the whole build.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Fetching base images.
    pub pull_ns: u64,
    /// Unpacking them.
    pub unpack_ns: u64,
    /// Writing the result to its destinations.
    pub push_ns: u64,
    /// From the start to the moment of writing.
    pub wall_ns: u64,
    /// The largest resident size of this process so far; 0 where there is no `/proc`.
    pub peak_rss_bytes: u64,
    /// How many threads are worth having here.
    pub threads: usize,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Document {
    steps: Vec<StepTiming>,
    totals: Totals,
}

/// The document while it grows. Clones share it.
#[derive(Clone, Debug)]
pub struct Timings {
    document: Arc<Mutex<Document>>,
    started: Instant,
}

impl Timings {
    /// An empty document whose clock starts now.
    pub fn start() -> Self {
        Timings { document: Arc::default(), started: Instant::now() }
    }

    /// Appends the figures of one step.
    pub fn step(&self, timing: StepTiming) {
        self.lock().steps.push(timing);
    }

    /// Adds the time since `from` to the total that `which` picks.
    pub fn add_since(&self, from: Instant, which: impl FnOnce(&mut Totals) -> &mut u64) {
        *which(&mut self.lock().totals) += nanos(from.elapsed());
    }

    /// Writes what is known so far to `path`, in place.
    ///
    /// # Errors
    /// Those of writing the file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut document = self.lock().clone();
        for step in &mut document.steps {
            let blob = step.blob.as_ref().and_then(|blob| blob.now()?.ok());
            step.bytes_out = blob.map_or(0, |blob| blob.size);
        }
        document.totals.wall_ns = nanos(self.started.elapsed());
        document.totals.peak_rss_bytes = peak_rss_bytes();
        document.totals.threads = crew::threads();
        std::fs::write(path, serde_json::to_vec_pretty(&document)?)
    }

    fn lock(&self) -> MutexGuard<'_, Document> {
        self.document.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A duration as nanoseconds, saturating after 584 years.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The peak resident size: `VmHWM` of proc_pid_status(5). That of `getrusage(2)` keeps, over an exec, the peak of who started us.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    line.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_steps_and_totals() {
        let timings = Timings::start();
        timings.step(StepTiming { line: 3, recorder: Some("full"), ..StepTiming::default() });
        timings.add_since(Instant::now(), |totals| &mut totals.push_ns);
        let file = tempfile::NamedTempFile::new().expect("file");
        timings.write(file.path()).expect("written");
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).expect("read")).expect("JSON");
        assert_eq!(read["steps"][0]["line"], 3);
        assert_eq!(read["steps"][0]["recorder"], "full");
        assert!(read["steps"][0].get("recorder_why").is_none());
        assert!(read["totals"]["peak_rss_bytes"].as_u64().expect("number") > 1 << 20);
    }
}
