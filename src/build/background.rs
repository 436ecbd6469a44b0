//! The thread that makes blobs of the layers' tars, one after another, while the build goes on.
//!
//! A step writes its layer's tar into a queue, and what the next step needs is known then: contents and diff ID. The blob follows.
//! Whatever goes wrong with it is told by the layer's [`Pending`], which the build asks before each step and at its end.

use std::io::{BufRead as _, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use anyhow::{Context as _, Result, bail};

use super::Request;
use crate::codec::Packing;
use crate::layer::{self, Duty, Memory, Pace, Packer, Pending, Promise, SpoolReader, SpoolWriter, Tar, promise, spool};
use crate::oci::{Descriptor, Repository};
use crate::rootfs::Root;
use crate::snapshot::ChangeSet;
use crate::store::{BlobDir, BlobWriter};

/// Bytes of tars that wait in memory.
const MEMORY: usize = 8 << 20;

/// A blob of the image that is being built, as soon as it is whole.
#[derive(Clone, Copy, Debug)]
pub struct Ready<'a> {
    /// The blob, which is in the request's directory.
    pub blob: &'a Descriptor,
    /// The layer cache that gets it too, if one does.
    pub cache: Option<&'a Repository>,
}

/// Who hears of such blobs. It is called from a thread that has more to do.
pub type Listener<'a> = dyn Fn(Ready<'_>) + Sync + 'a;

/// Who is told of a layer's blob.
#[derive(Clone, Debug)]
pub(super) enum Audience {
    /// Nobody: it is of no image that goes anywhere.
    Nobody,
    /// The build's listener. The cache gets it too, if there is one.
    Listener(Option<Repository>),
}

/// How a step's layer leaves.
pub(super) struct Way<'b> {
    pub(super) request: &'b Request,
    pub(super) background: &'b Background,
    pub(super) haste: Haste,
    pub(super) audience: Audience,
}

/// Whether the build has something better to do than to wait for a layer to be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// Another step follows.
    StepFollows,
    /// None does.
    None,
}

/// A layer that was written.
pub(super) struct Written {
    pub(super) tar: Tar,
    pub(super) pending: Pending,
    /// Bytes of it that did not fit into memory.
    pub(super) spilled: u64,
}

/// The thread, until this is dropped: then it leaves what it has not begun.
pub(super) struct Background {
    jobs: Sender<Job>,
    memory: Arc<Memory>,
    dir: PathBuf,
    is_over: Arc<AtomicBool>,
}

/// A tar to make a blob of.
struct Job {
    tar: SpoolReader,
    blob: BlobWriter,
    audience: Audience,
    duty: Duty,
}

impl Background {
    /// Starts the thread. What does not fit into memory goes into files in `dir`.
    pub(super) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        packing: Packing,
        dir: &Path,
        listener: &'env Listener<'env>,
    ) -> Background {
        let (jobs, queue) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        scope.spawn(move || work(&queue, packing, &seen, listener));
        Background { jobs, memory: Memory::new(MEMORY), dir: dir.to_owned(), is_over }
    }

    /// A queue whose other end becomes a blob in `blobs`.
    fn begin(&self, blobs: &BlobDir, haste: Haste, audience: Audience) -> Result<(SpoolWriter, Promise)> {
        let pace = match haste {
            Haste::StepFollows => Pace::Spill(self.dir.clone()),
            Haste::None => Pace::Wait,
        };
        let (writer, tar) = spool(&self.memory, pace);
        let (promise, duty) = promise();
        // Made here, so that the thread makes no directory after a signal had all of them removed.
        let blob = blobs.writer()?;
        // Without the thread the job is dropped, which its two ends tell.
        let _ = self.jobs.send(Job { tar, blob, audience, duty });
        Ok((writer, promise))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Way<'_> {
    /// Writes the layer for `changes` as far as that takes the step's root.
    pub(super) fn write(&self, root: &Root, changes: &ChangeSet) -> Result<Written> {
        let (mut writer, promise) = self.background.begin(&self.request.blobs, self.haste, self.audience.clone())?;
        let written = layer::write_tar(root, changes, self.request.times.latest(), &mut writer);
        let is_refused = writer.is_refused();
        // One that is dropped instead has the other end know that this was not all.
        let finished = written.and_then(|tar| Ok((tar, writer.finish()?)));
        if is_refused || finished.as_ref().is_err_and(is_broken_pipe) {
            // Why the other end took no more says more.
            promise.wait()?;
        }
        let (tar, spilled) = finished?;
        let pending = Pending { diff_id: tar.diff_id.clone(), blob: promise };
        Ok(Written { tar, pending, spilled })
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| Some(cause.downcast_ref::<std::io::Error>()?.kind());
    error.chain().any(|cause| kind(cause) == Some(std::io::ErrorKind::BrokenPipe))
}

fn work(jobs: &Receiver<Job>, packing: Packing, is_over: &AtomicBool, listener: &Listener<'_>) {
    for Job { tar, blob, audience, duty } in jobs {
        let packed = pack(tar, blob, packing, is_over);
        if let (Ok(blob), Audience::Listener(cache)) = (&packed, &audience) {
            listener(Ready { blob, cache: cache.as_ref() });
        }
        duty.done(packed);
    }
}

fn pack(mut tar: SpoolReader, mut blob: BlobWriter, packing: Packing, is_over: &AtomicBool) -> Result<Descriptor> {
    let mut packer = Packer::create(BufWriter::with_capacity(1 << 17, &mut blob), packing)?;
    loop {
        if is_over.load(Ordering::Relaxed) {
            bail!("the build is over");
        }
        let bytes = tar.fill_buf().context("read the layer's tar")?;
        if bytes.is_empty() {
            break;
        }
        packer.write_all(bytes).context("write the layer")?;
        let length = bytes.len();
        tar.consume(length);
    }
    let descriptor = packer.finish()?;
    blob.finish(Some(&descriptor.digest))?;
    Ok(descriptor)
}
