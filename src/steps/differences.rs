//! Where the result of a step is another than with kaniko 1.24, as far as only the files of a build can tell.
//!
//! One sentence each, for a warning with the line. [`crate::plan::differences`] has those that the Dockerfile alone tells of. Left out
//! is what holds for every step: times of copies, rows of the history.

use crate::codec::Encoding;
use crate::rootfs::{Noticed, RootPath};

/// Of COPY and ADD: what the sources were, how an archive was compressed, the name of a link that was followed, and the first
/// directory on the way that `--chmod` applied to.
pub(super) fn of_transfer(
    noticed: Noticed,
    archive: Option<Encoding>,
    link: Option<String>,
    way: Option<RootPath>,
) -> Vec<String> {
    let owner = noticed.replaced_owner.map(|(uid, gid)| {
        format!("what belongs to {uid}:{gid} in the context is root's in the image; kaniko 1.24 keeps the owner")
    });
    let archive = match archive {
        Some(Encoding::Xz) => Some("xz"),
        Some(Encoding::Zstd) => Some("zstd"),
        _ => None,
    };
    let archive = archive
        .map(|name| format!("the archive is unpacked; kaniko 1.24 copies it or fails, since it reads no {name}"));
    let link = link.map(|name| format!("what the link {name} leads to is copied; kaniko 1.24 copies the link"));
    let way = way
        .map(|path| format!("--chmod applies to {path}, which is made on the way, too; with kaniko 1.24 it is 0755"));
    let attributes = "extended attributes and file capabilities are kept; kaniko 1.24 loses them".to_owned();
    let links = "names of one file stay names of one file; kaniko 1.24 makes a copy of each".to_owned();
    let rest = [noticed.attributes.then_some(attributes), noticed.links.then_some(links)];
    [owner, archive, link, way].into_iter().chain(rest).flatten().collect()
}

/// Of WORKDIR: that made several directories for a user other than root.
pub(super) fn of_workdir(made: usize, uid: u32) -> Option<String> {
    (made > 1 && uid != 0)
        .then(|| format!("the directories on the way belong to the user {uid} too; with kaniko 1.24 they are root's"))
}

/// Of a step that wrote `path`, which is below a volume of the base.
pub(super) fn of_write(path: &RootPath) -> String {
    format!("{path} is below a VOLUME of the base and stays in the image; kaniko 1.24 drops it")
}

/// Of VOLUME whose directory `path` is not there.
pub(super) fn of_volume(path: &str) -> String {
    format!("the directory {path} is not made; kaniko 1.24 makes it")
}
