//! The layers of a sequence as one image, unpacked by umoci, must show the tree.

use std::path::Path;
use std::process::Command;

use silt::oci::{History, Image, Platform};
use silt::rootfs::Root;
use silt::store::{BlobDir, write_layout};

use crate::job::emptied;
use crate::replay::Replay;

/// Makes an image of the layers of `replay` in `dir` and compares what umoci makes of it with the tree.
///
/// # Errors
/// What differs.
pub fn compare(replay: &Replay, dir: &Path) -> Result<(), String> {
    let dir = emptied(dir, "umoci");
    let blobs = BlobDir::create(&dir.join("blobs")).unwrap();
    let mut image = Image::scratch(&Platform::host());
    for (layer, bytes) in replay.layers() {
        blobs.insert(bytes).unwrap();
        image.append(layer.descriptor.clone(), layer.diff_id.clone(), History::default()).unwrap();
    }
    write_layout(&dir.join("layout"), &image, &blobs, Some("latest")).unwrap();
    let mut command = Command::new("umoci");
    command.args(["raw", "unpack", "--image"]).arg(dir.join("layout:latest")).arg(dir.join("rootfs"));
    let done = command.output().expect("umoci");
    if !done.status.success() {
        return Err(format!("{}: {}", done.status, String::from_utf8_lossy(&done.stderr)));
    }
    replay.is_shown_by(&Root::open(&dir.join("rootfs")).unwrap())
}
