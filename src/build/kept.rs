//! The trees of finished stages that later stages copy from: moved aside, not copied, where the file system allows.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::site::{Place, Site};
use crate::rootfs::{Copier, Onto, Owner, Root, RootPath, Selection, Stamp};

/// Takes the tree of a finished stage out of the way of the next one, into the work directory, and opens it there.
///
/// Below a build root the root directory itself is renamed, if it is no mount and holds nothing protected: a mount would
/// move along, into the directory that is removed at the end. Otherwise what is at the top is moved, and what cannot be
/// (it is, or holds, something protected or spared, or lies on another file system) is copied.
pub(super) fn keep(site: &Site, root: Root, index: usize) -> Result<Root> {
    let kept = site.own_dir("stages")?.join(index.to_string());
    let whole = matches!(site.place, Place::Below(_)) && root.protected().is_empty() && site.spared.is_empty();
    if !(whole && fs::rename(site.root_dir(), &kept).is_ok()) {
        move_top_level(&root, &site.spared, &kept)?;
    }
    Ok(Root::open(&kept)?)
}

fn move_top_level(root: &Root, spared: &[RootPath], kept: &Path) -> Result<()> {
    fs::create_dir_all(kept).with_context(|| format!("create {}", kept.display()))?;
    for name in root.read_dir(&RootPath::root())? {
        let path = RootPath::root().join_name(&name);
        let holds_spared = spared.iter().any(|spared| spared.is_at_or_below(&path));
        if !root.is_protected(&path) && !root.holds_protected(&path) && !holds_spared {
            // What stays is copied.
            let _ = fs::rename(path.below(root.path()), path.below(kept));
        }
    }
    copy_rest(root, &Root::open(kept)?).context("copy what later stages need")
}

/// Copies what is left in `root`, but for what is protected.
fn copy_rest(root: &Root, kept: &Root) -> Result<()> {
    let unprotected = |path: &RootPath, _| if root.is_protected(path) { Selection::Skip } else { Selection::Take };
    let mut copier = Copier::new(root, kept, Stamp { owner: Owner::Kept, mode: None }, Onto::Standing);
    Ok(copier.copy(&RootPath::root(), &RootPath::root(), &unprotected)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    /// A build root with `moved/x` and with `a`, of mode 1777, that holds `f`, `g` (one file) and the protected `own`.
    fn site() -> (tempfile::TempDir, Site) {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("rootfs");
        for made in ["rootfs/moved", "rootfs/a/own", "work"] {
            fs::create_dir_all(dir.path().join(made)).expect("mkdir");
        }
        for file in ["moved/x", "a/f", "a/own/data"] {
            fs::write(root.join(file), file).expect("write");
        }
        fs::hard_link(root.join("a/f"), root.join("a/g")).expect("link");
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o1777)).expect("chmod");
        let (place, work) = (Place::Below(dir.path().to_owned()), dir.path().join("work"));
        (dir, Site { place, work, ignored: Vec::new(), spared: Vec::new() })
    }

    fn check(kept: &Root, expected: &[&str]) {
        let on_disk = |path: &str| kept.path().join(path);
        assert_eq!(fs::read(on_disk("moved/x")).expect("kept"), b"moved/x");
        let (f, g, a) =
            (fs::metadata(on_disk("a/f")), fs::metadata(on_disk("a/g")), fs::metadata(on_disk("a")).expect("kept"));
        assert_eq!(f.expect("kept").ino(), g.expect("kept").ino());
        assert_eq!(a.mode() & 0o7777, 0o1777, "a directory that was copied has its own mode");
        let names = kept.read_dir(&RootPath::clean("a").expect("a path")).expect("list");
        assert_eq!(names, expected.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>());
    }

    #[test]
    fn a_root_moves_as_a_whole() {
        let (_dir, site) = site();
        let kept = keep(&site, Root::open(&site.root_dir()).expect("root"), 3).expect("kept");
        check(&kept, &["f", "g", "own"]);
        assert!(!site.root_dir().exists());
    }

    #[test]
    fn what_is_protected_stays_where_it_is() {
        let (_dir, site) = site();
        let mut root = Root::open(&site.root_dir()).expect("root");
        root.protect(RootPath::clean("a/own").expect("a path"));
        check(&keep(&site, root, 0).expect("kept"), &["f", "g"]);
        assert_eq!(fs::read(site.root_dir().join("a/own/data")).expect("not moved"), b"a/own/data");
    }

    #[test]
    fn what_is_spared_stays_and_is_kept_too() {
        let (_dir, mut site) = site();
        site.spared.push(RootPath::clean("a/own").expect("a path"));
        let kept = keep(&site, Root::open(&site.root_dir()).expect("root"), 0).expect("kept");
        check(&kept, &["f", "g", "own"]);
        for at in [&site.root_dir(), kept.path()] {
            assert_eq!(fs::read(at.join("a/own/data")).expect("there"), b"a/own/data");
        }
    }
}
