//! What is lent comes and goes without a trace, also after a crash at any point.

use std::os::unix::fs::{MetadataExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;
use crate::steps::run::{Access, Outcome, Surroundings};

/// A root, a directory of ours and something to lend.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/var/tmp").expect("a directory");
        for name in ["root/etc", "own", "lent"] {
            fs::create_dir_all(dir.path().join(name)).expect("mkdir");
        }
        fs::write(dir.path().join("lent/x"), "lent").expect("write");
        fs::write(dir.path().join("root/etc/here"), "the image's").expect("write");
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for name in ["root/etc", "root"] {
            fs::File::open(dir.path().join(name)).expect("open").set_modified(old).expect("utimens");
        }
        Scene { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn spec(&self, mounts: Vec<Mount>) -> RunSpec {
        let surroundings = Surroundings { mounts, own: self.path("own").into(), ..Surroundings::default() };
        let (root, isolation) = (self.path("root"), Isolation::Chroot);
        RunSpec {
            root,
            argv: vec![],
            env: vec![],
            cwd: "/".into(),
            uid: 0,
            gid: 0,
            groups: vec![],
            isolation,
            surroundings,
        }
    }

    fn lent(&self, target: &str, after: After) -> Mount {
        let what = What::Lent { source: self.path("lent").into(), access: Access::ReadWrite, after };
        Mount { target: target.into(), what }
    }

    /// Names, mtimes and the content of files below the root.
    fn listing(&self) -> Vec<(PathBuf, i64, Option<Vec<u8>>)> {
        let mut found = vec![];
        let mut open = vec![self.path("root")];
        while let Some(path) = open.pop() {
            let data = fs::symlink_metadata(&path).expect("stat");
            if data.is_dir() {
                open.extend(fs::read_dir(&path).expect("list").map(|entry| entry.expect("entry").path()));
            }
            found.push((path.clone(), data.mtime(), fs::read(&path).ok()));
        }
        found.sort();
        found
    }
}

fn secret(target: &str) -> Mount {
    Mount { target: target.into(), what: What::Secret { bytes: b"s3cret".to_vec(), mode: 0o440, uid: 5, gid: 6 } }
}

/// Runs `look` with the mounts in place, and looks that the root is afterwards as it was.
fn check(scene: &Scene, mounts: Vec<Mount>, look: impl FnOnce(&Path)) {
    let before = scene.listing();
    put_and_take(scene, mounts, look);
    assert_eq!(scene.listing(), before);
}

fn put_and_take(scene: &Scene, mounts: Vec<Mount>, look: impl FnOnce(&Path)) {
    let report = around(&scene.spec(mounts), || {
        look(&scene.path("root"));
        Ok(Outcome::Exited(0))
    });
    assert_eq!(report, Ok(Outcome::Exited(0)));
    assert!(!journal::is_there(&scene.path("own")));
}

#[test]
fn mounts_come_and_go_without_a_trace() {
    let scene = Scene::new();
    let read = |root: &Path, path: &str| fs::read_to_string(root.join(path)).expect(path);
    check(&scene, vec![secret("/run/secrets/a")], |root| {
        assert_eq!(read(root, "run/secrets/a"), "s3cret");
        let data = fs::metadata(root.join("run/secrets/a")).expect("stat");
        assert_eq!((data.mode() & 0o7777, data.uid(), data.gid()), (0o440, 5, 6));
    });
    check(&scene, vec![secret("/etc/here")], |root| assert_eq!(read(root, "etc/here"), "s3cret"));
    check(&scene, vec![scene.lent("/new/cache", After::Kept)], |root| {
        assert_eq!(read(root, "new/cache/x"), "lent");
        fs::write(root.join("new/cache/y"), "made").expect("write");
    });
    assert_eq!(fs::read_to_string(scene.path("lent/y")).expect("kept"), "made");
    check(&scene, vec![scene.lent("/etc", After::Kept), secret("/etc/x2/s")], |root| {
        assert!(!root.join("etc/here").exists());
        assert_eq!(read(root, "etc/x2/s"), "s3cret");
    });
    assert!(!scene.path("lent/x2").exists());
    check(&scene, vec![Mount { target: "/etc".into(), what: What::Memory { size: None } }], |root| {
        assert_eq!(fs::read_dir(root.join("etc")).expect("list").count(), 0);
        fs::create_dir_all(root.join("etc/deep/er")).expect("mkdir");
    });
    check(&scene, vec![scene.lent("/etc", After::Dropped)], |root| assert_eq!(read(root, "etc/x"), "lent"));
    assert!(!scene.path("lent").exists());
}

#[test]
fn links_lead_inside_the_root() {
    let scene = Scene::new();
    symlink("/etc/../../../../etc", scene.path("root/link")).expect("symlink");
    symlink("../etc/fresh", scene.path("root/etc/out")).expect("symlink");
    check(&scene, vec![secret("/link/here")], |root| assert!(root.join("etc/here").exists()));
    check(&scene, vec![secret("/etc/out")], |root| {
        assert_eq!(fs::read(root.join("etc/fresh")).expect("inside"), b"s3cret");
    });
}

/// A step that changes a directory of the image changes its time of modification too.
fn names(scene: &Scene) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    scene.listing().into_iter().map(|(path, _, content)| (path, content)).collect()
}

#[test]
fn what_the_step_did_to_a_mount_is_undone() {
    let scene = Scene::new();
    let before = names(&scene);
    put_and_take(&scene, vec![secret("/etc/here")], |root| {
        fs::remove_file(root.join("etc/here")).expect("remove");
        fs::create_dir_all(root.join("etc/here/instead")).expect("mkdir");
    });
    assert_eq!(names(&scene), before);
    put_and_take(&scene, vec![scene.lent("/etc", After::Kept)], |root| {
        fs::remove_dir_all(root.join("etc")).expect("remove");
        symlink("/", root.join("etc")).expect("symlink");
    });
    assert_eq!(names(&scene), before);
    put_and_take(&scene, vec![secret("/run/secrets/a")], |root| {
        fs::rename(root.join("run"), root.join("moved")).expect("rename");
    });
    let left: Vec<_> = names(&scene).into_iter().filter(|(path, _)| path.ends_with("a")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_target_on_another_file_system_than_ours_is_shadowed_in_its_place() {
    let scene = Scene::new();
    let elsewhere = tempfile::tempdir_in("/dev/shm").expect("a directory");
    fs::create_dir(elsewhere.path().join("own")).expect("mkdir");
    let before = names(&scene);
    let mut spec = scene.spec(vec![secret("/etc/here")]);
    spec.surroundings.own = elsewhere.path().join("own").into();
    let report = around(&spec, || {
        assert_eq!(fs::read(scene.path("root/etc/here")).expect("read"), b"s3cret");
        Ok(Outcome::Exited(0))
    });
    assert_eq!(report, Ok(Outcome::Exited(0)));
    assert_eq!(names(&scene), before);
    let report = around(&spec, || {
        fs::rename(scene.path("root/etc"), scene.path("root/moved")).expect("rename");
        Ok(Outcome::Exited(0))
    });
    assert_eq!(report, Ok(Outcome::Exited(0)));
    fs::rename(scene.path("root/moved"), scene.path("root/etc")).expect("rename");
    assert_eq!(names(&scene), before, "also where the step moved it");
}

#[test]
fn what_a_killed_step_made_a_link_leads_nobody_out_of_the_root() {
    let scene = Scene::new();
    fs::create_dir_all(scene.path("outside/secrets")).expect("mkdir");
    fs::write(scene.path("outside/here"), "not the image's").expect("write");
    let lent = Lent::make(&scene.spec(vec![secret("/etc/here"), secret("/run/secrets/a")])).expect("in place");
    for name in ["etc", "run"] {
        fs::remove_dir_all(scene.path("root").join(name)).expect("remove");
        symlink(scene.path("outside"), scene.path("root").join(name)).expect("symlink");
    }
    std::mem::forget(lent);
    assert_eq!(recover(&scene.path("own")).expect("recovered"), Vec::<String>::new());
    assert_eq!(fs::read_to_string(scene.path("outside/here")).expect("untouched"), "not the image's");
    assert!(scene.path("outside/secrets").is_dir());
}

#[test]
fn a_directory_that_the_step_removed_stays_removed() {
    let scene = Scene::new();
    put_and_take(&scene, vec![secret("/etc/here")], |root| fs::remove_dir_all(root.join("etc")).expect("remove"));
    assert!(!scene.path("root/etc").exists());
}

#[test]
fn what_fails_halfway_leaves_nothing() {
    let scene = Scene::new();
    let before = scene.listing();
    let missing = What::Lent { source: scene.path("gone").into(), access: Access::ReadOnly, after: After::Kept };
    let mounts = vec![secret("/run/secrets/a"), Mount { target: "/etc".into(), what: missing }];
    let error = around(&scene.spec(mounts), || panic!("must not run")).expect_err("nothing to lend").to_string();
    assert!(error.contains("/etc"), "{error}");
    assert_eq!(scene.listing(), before);
}

#[test]
fn a_killed_step_is_undone_by_the_next_build_and_twice_is_as_good_as_once() {
    let scene = Scene::new();
    let before = names(&scene);
    let mounts = vec![secret("/run/secrets/a"), secret("/etc/here"), scene.lent("/cache/dir", After::Kept)];
    let lent = Lent::make(&scene.spec(mounts)).expect("in place");
    fs::write(scene.path("root/cache/dir/y"), "made").expect("write");
    let journal = fs::read(scene.path("own/lent.json")).expect("a journal");
    assert!(!journal.windows(6).any(|bytes| bytes == b"s3cret"));
    // What a process that was killed leaves behind.
    std::mem::forget(lent);
    assert_eq!(recover(&scene.path("own")).expect("recovered"), Vec::<String>::new());
    assert_eq!(names(&scene), before);
    assert_eq!(fs::read_to_string(scene.path("lent/y")).expect("given back"), "made");
    fs::write(scene.path("own/lent.json"), journal).expect("write");
    assert_eq!(recover(&scene.path("own")).expect("recovered"), Vec::<String>::new());
    assert_eq!(names(&scene), before);
}

#[test]
fn no_network_is_refused_where_it_cannot_be_had() {
    let mut spec = Scene::new().spec(vec![]);
    spec.surroundings.network = Network::None;
    let error = around(&spec, || panic!("must not run")).expect_err("refused").to_string();
    assert!(error.contains("--network=none"), "{error}");
}
